"""Atomic files, gzipped or not, counts of failures, progress."""

import gzip
import os
import threading

import pytest

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path, write_text
from asrtool.io.progress import Meter, duration, progress, size
from asrtool.io.tally import Tally
from asrtool.io.whole_file import opened, opened_to_write, read_text, text_to_write


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.txt"
    write_text(path, "old\n")
    with pytest.raises(RuntimeError, match="disk"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_name_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "a.b.gz") as temporary:
        assert temporary.suffix == ".gz" and temporary.parent == tmp_path
        temporary.write_bytes(b"1")


def test_streams_are_packed_by_the_name_and_unpacked_by_the_content(tmp_path):
    for name in ("a.gz", "a.txt"):
        with text_to_write(tmp_path / name) as file:
            file.write("好\n" * 1000)
        with opened(tmp_path / name) as file:
            assert file.read(4) == "好\n".encode() and len(file.read()) == 3996
    packed = (tmp_path / "a.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "a.txt").read_bytes()
    assert packed[3:8] == bytes(5)  # neither a name nor a time
    with opened_to_write(tmp_path / "b.gz", 1) as file:
        file.write((tmp_path / "a.txt").read_bytes())
    (tmp_path / "b.gz").rename(tmp_path / "b.txt")
    with opened(tmp_path / "b.txt") as file:
        assert file.read() == (tmp_path / "a.txt").read_bytes()


def test_a_stream_that_fails_leaves_no_file(tmp_path):
    for name in ("a.gz", "a.txt"):
        with pytest.raises(RuntimeError, match="disk"), opened_to_write(tmp_path / name, 6) as file:
            file.write(b"half")
            raise RuntimeError("disk")
    assert not list(tmp_path.iterdir())


def test_a_pipe_can_be_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(gzip.compress(b"text"),), daemon=True)
    writer.start()
    with opened(tmp_path / "pipe") as file:
        assert file.read() == b"text"
    writer.join()


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "cut.gz").write_bytes(gzip.compress(bytes(99))[:-4])
    with (
        pytest.raises(AsrtoolError, match=r"cut.gz: damaged .gz file \(.*\); make it again"),
        opened(tmp_path / "cut.gz") as file,
    ):
        file.read()
    for missing, path in {"no such file": tmp_path / "x", "none; make it": tmp_path / "cut.gz" / "x"}.items():
        with pytest.raises(AsrtoolError, match=f"x: {missing}"), opened(path, missing):
            pass
        with pytest.raises(AsrtoolError, match=f"x: {missing}"):
            read_text(path, missing)
    with pytest.raises(AsrtoolError, match="is a folder"):
        read_text(tmp_path)
    with pytest.raises(AsrtoolError, match=r"cut.gz: not UTF-8 at byte 1; convert it"):
        read_text(tmp_path / "cut.gz")


def test_tally_allows_the_stated_rate_only(capsys):
    tally = Tally(max_failed=0.5)
    tally.ok()
    tally.failed("utt1", "too short")
    tally.close()
    tally.failed("utt2", "too short")
    with pytest.raises(AsrtoolError, match=r"2 of 3 utterances failed \(allowed: 50%\); the first: utt1: too short"):
        tally.close()
    assert "WARNING: utt2: too short" in capsys.readouterr().err


def test_tally_of_nothing_is_an_error():
    with pytest.raises(AsrtoolError, match="no utterances in the input"):
        Tally().close()


def test_progress_passes_items_on_and_reports_plain_lines(capsys):
    assert list(progress(range(3), 3, "aligning", log_every_s=0)) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("aligning: 1 of 3 (33%)") and "\r" not in "".join(lines)


def test_a_meter_tells_rate_and_time_left(capsys, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("asrtool.io.progress.time.monotonic", lambda: next(clock))
    meter = Meter(3e9, "x.tgz", start=1e9, unit=size)
    meter.show(1.1e9)  # too early
    meter.show(1.2e9)
    meter = Meter(None, "lattices")
    meter.show(5)
    meter.show(6)
    assert capsys.readouterr().err.splitlines() == ["x.tgz: 1.2 GB of 3.0 GB (40%), 10 MB/s, 3 min 00 s left", "lattices: 6"]


def test_durations_and_sizes():
    assert [duration(s) for s in (0.4, 119, 125, 7260, 200000)] == ["0 s", "119 s", "2 min 05 s", "2 h 01 min", "2 d 07 h"]
    assert [size(b) for b in (12, 3400, 5.6e7, 1.25e9, 3e12)] == ["12 bytes", "3.4 kB", "56 MB", "1.2 GB", "3.0 TB"]
