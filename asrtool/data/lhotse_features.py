"""Features of a data directory in lhotse's manifests, and back.

lhotse's storage type "kaldiio" is a place in Kaldi's archives: such features are named, not copied, both ways (lhotse needs the
package kaldi_native_io to read them). Others are read through lhotse and written to an archive.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.data.lhotse_lines import lhotse, reason
from asrtool.data.lhotse_rows import Row, seconds
from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_table import MatrixWriter, read_scp

KALDI_STORAGE = "kaldiio"


def export_features(
    data: DataDir, utterances: Iterable[dict[str, Any]], rates: Mapping[str, int], kind: str
) -> Iterator[dict[str, Any]]:
    """Lines of a features manifest.

    As everywhere in lhotse, the duration is that of the frames (their number times the shift), which is a little less
    than that of the audio.

    Args:
        utterances: supervisions, as in the manifest.
        rates: recording -> sampling rate in Hz.
        kind: lhotse's feature type, kaldi-fbank say.
    """
    places = read_scp(data.file("feats.scp"))
    frames = data.utt2num_frames
    dim, shift_s = None, data.frame_shift_s
    for supervision in utterances:
        name = supervision["id"]
        if name not in places or name not in frames:
            continue
        dim = data.feats[name].shape[1] if dim is None else dim
        yield {
            "type": kind,
            "num_frames": frames[name],
            "num_features": dim,
            "frame_shift": shift_s,
            "sampling_rate": rates[supervision["recording_id"]],
            "start": supervision["start"],
            "duration": round(frames[name] * shift_s, 9),
            "storage_type": KALDI_STORAGE,
            "storage_path": places[name],
            "storage_key": name,
            "recording_id": supervision["recording_id"],
            "channels": supervision["channel"],
        }


def import_features(
    features: Iterable[dict[str, Any]], rows: Mapping[str, Row], directory: Path
) -> tuple[float, dict[str, dict[str, str]]]:
    """Frame shift in s, and the tables feats.scp and utt2num_frames.

    Features belong to the utterance that begins where they begin in their recording.

    Raises:
        AsrtoolError: an utterance without features, several frame shifts, or features that lhotse cannot read.
    """
    wanted = {_place(row.recording, row.channel, row.start_s): row.name for row in rows.values()}
    lines: dict[str, str] = {}
    frames: dict[str, str] = {}
    scp_files: dict[str, dict[str, str]] = {}
    shift_s = writer = None
    ark = (directory / "data" / "raw_lhotse.1.ark").resolve()
    with ExitStack() as stack:
        for item in features:
            name = wanted.get(_place(item["recording_id"], item["channels"], item["start"]))
            if name is None or name in frames:
                continue
            if shift_s not in (None, item["frame_shift"]):
                raise AsrtoolError(f"{name}: its frame shift is {item['frame_shift']} s, others have {shift_s} s")
            shift_s = item["frame_shift"]
            frames[name] = str(item["num_frames"])
            place = _kaldi_place(item, scp_files)
            if place is not None:
                lines[name] = place
                continue
            writer = writer or stack.enter_context(MatrixWriter(ark, ark.with_suffix(".scp")))
            writer.write(name, _load(name, item))
    if writer is not None:
        lines |= read_scp(ark.with_suffix(".scp"))
    missing = [name for name in rows if name not in frames]
    if missing:
        raise AsrtoolError(f"{directory}: {missing[0]}: has no features in the manifest (nor have {len(missing) - 1} more)")
    return shift_s, {"feats.scp": lines, "utt2num_frames": frames}


def _place(recording: str, channel: int | list[int], start_s: float) -> tuple[str, int, str]:
    return recording, channel[0] if isinstance(channel, list) else channel, seconds(round(start_s, 3))


def _kaldi_place(item: Mapping[str, Any], scp_files: dict[str, dict[str, str]]) -> str | None:
    """Its entry of feats.scp, where it lies in Kaldi's archives."""
    if item["storage_type"] != KALDI_STORAGE:
        return None
    path = item["storage_path"]
    if not path.endswith(".scp"):
        return path
    if path not in scp_files:
        scp_files[path] = read_scp(path)
    if item["storage_key"] not in scp_files[path]:
        raise AsrtoolError(f"{path}: {item['storage_key']}: not in it")
    return scp_files[path][item["storage_key"]]


def _load(name: str, item: dict[str, Any]) -> np.ndarray:
    lhotse()
    from lhotse import Features

    try:
        return np.asarray(Features.from_dict(dict(item)).load(), np.float32)
    except Exception as error:  # the storage types raise what their libraries raise
        raise AsrtoolError(f"{name}: its features cannot be read ({type(error).__name__}: {reason(error)})") from None
