"""TensorBoard event files, read back byte by byte: TFRecords, their checksums, the Event messages in them."""

import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrtool.errors import AsrtoolError
from asrtool.train.tensorboard import TensorBoardLog, scalars, step_of

START = 1  # SessionLog.START


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def tfrecords(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        header = data[position : position + 8]
        (length,) = struct.unpack("<Q", header)
        content = data[position + 12 : position + 12 + length]
        checks = struct.unpack("<I", data[position + 8 : position + 12]) + struct.unpack_from("<I", data, position + 12 + length)
        assert checks == (masked(header), masked(content))
        yield content
        position += 16 + length


def fields(message: bytes) -> Iterator[tuple[int, object]]:
    """Field number and value of a protobuf message: int, or bytes."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        yield key >> 3, message[position : position + size]
        position += size


def points(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: files in the order of their names; a START message voids what was there from its step on."""
    shown: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(directory.iterdir()):
        for record in tfrecords(path.read_bytes()):
            event = dict(fields(record))
            step = event.get(2, 0)
            if 7 in event and dict(fields(event[7])).get(1) == START:
                shown = {tag: [point for point in found if point[0] < step] for tag, found in shown.items()}
            for _, value in fields(event.get(5, b"")):
                summary = dict(fields(value))
                if 2 in summary:
                    shown.setdefault(summary[1].decode(), []).append((step, struct.unpack("<f", summary[2])[0]))
                else:
                    shown.setdefault(summary[1].decode(), []).append((step, summary[8]))
    return shown


def train(epoch: float, loss: float = 1.0, **more) -> dict:
    return {"kind": "train", "epoch": epoch, "model": "bmuf", "loss": loss, "fer": 0.25, "frames_per_s": 1000.0, **more}


def valid(epoch: float, model: str, fer: float) -> dict:
    return {"kind": "valid", "epoch": epoch, "model": model, "loss": 2.0, "fer": fer, "frames_per_s": 1.0}


def test_every_record_is_on_disk_at_once(tmp_path):
    log = TensorBoardLog(tmp_path / "tensorboard", True)
    log.write(train(0.5, 1.5, learning_rate=0.125, load_s=1.0, step_s=6.0, sync_s=1.0))
    log.write({"kind": "frames", "epoch": 1, "seen": [10, 20], "total": 30})
    log.write(valid(1, "bmuf", 0.5))
    log.write(valid(1, "ema", 0.375))
    log.write({"kind": "event", "epoch": 1.0, "what": "rejected", "text": "<worse>"})
    shown = points(tmp_path / "tensorboard")  # not closed yet: a run that is killed here has them all
    assert shown["train/loss"] == [(500, 1.5)] and shown["train/fer"] == [(500, 25.0)]
    assert shown["learning_rate"] == [(500, 0.125)] and shown["frames_per_s"] == [(500, 1000.0)]
    assert [shown[f"workers/{part}_share"] for part in ("load", "step", "sync")] == [
        [(500, 0.125)],
        [(500, 0.75)],
        [(500, 0.125)],
    ]
    assert shown["valid/fer/bmuf"] == [(1000, 50.0)] and shown["valid/fer/ema"] == [(1000, 37.5)]
    assert shown["frames_seen"] == [(1000, 30.0)]
    (tag,) = [tag for tag in shown if tag.startswith("events/rejected")]
    assert b"<worse>" in shown[tag][0][1]
    log.close()


def test_a_run_that_goes_on_shows_each_point_once(tmp_path):
    first = TensorBoardLog(tmp_path, True)
    for epoch in (0.2, 0.4, 0.6, 0.8):
        first.write(train(epoch, loss=1.0))
    first.close()
    second = TensorBoardLog(tmp_path, True)  # within the same second; went back to a checkpoint before 0.6
    for epoch in (0.6, 0.8, 1.0):
        second.write(train(epoch, loss=2.0))
    second.write(valid(1, "bmuf", 0.5))
    second.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert points(tmp_path)["train/loss"] == [(200, 1.0), (400, 1.0), (600, 2.0), (800, 2.0), (1000, 2.0)]
    assert points(tmp_path)["valid/fer/bmuf"] == [(1000, 50.0)]


@pytest.mark.parametrize("back_to", [0.6, 0.8])
def test_records_that_go_back_in_time_replace_what_was_there(tmp_path, back_to):
    log = TensorBoardLog(tmp_path, True)
    for epoch in (0.4, 0.6, 0.8):
        log.write(train(epoch, loss=1.0))
    log.write(train(back_to, loss=2.0))
    log.write(train(1.0, loss=2.0))
    log.close()
    expected = [(step, 1.0) for step in (400, 600) if step < 1000 * back_to] + [(step_of(back_to), 2.0), (1000, 2.0)]
    assert points(tmp_path)["train/loss"] == expected


def test_only_one_worker_writes_and_unknown_records_are_passed_over(tmp_path):
    log = TensorBoardLog(tmp_path / "none", False)
    log.write(train(0.5))
    log.close()
    assert not (tmp_path / "none").exists()
    assert scalars({"kind": "new", "epoch": 1}) == {}


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AsrtoolError, match="pip install tensorboardX"):
        TensorBoardLog(tmp_path, True)
    TensorBoardLog(tmp_path, False)
