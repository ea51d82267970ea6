"""Kaldi's archives of posteriors: pairs of an id and a weight, frame by frame (kaldi/src/hmm/posterior.cc)."""

import struct
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import read_bytes, write_bytes
from asrtool.lattice.posteriors import FramePosteriors
from asrtool.lattice.strings import begins

_PAIR = np.dtype([("label_size", "i1"), ("label", "<i4"), ("weight_size", "i1"), ("weight", "<f4")])


def write_posteriors(path: str | Path, items: Iterable[tuple[str, FramePosteriors]], text: bool = False) -> None:
    """Writes (utterance, posteriors) as Kaldi's PosteriorHolder does; .gz by the suffix, whole or not at all."""
    parts = []
    for utterance, post in items:
        if text:
            pairs = [f"{label} {weight:.7g} " for label, weight in zip(post.label.tolist(), post.weight.tolist())]
            bounds = post.frame_begin.tolist()
            frames = ["[ " + "".join(pairs[a:b]) + "] " for a, b in pairwise(bounds)]
            parts.append(f"{utterance} {''.join(frames)}\n".encode())
            continue
        pairs = np.empty(len(post.label), _PAIR)
        pairs["label_size"] = pairs["weight_size"] = 4
        pairs["label"], pairs["weight"] = post.label, post.weight
        data, bounds = pairs.tobytes(), post.frame_begin.tolist()
        parts.append(utterance.encode() + b" \0B" + struct.pack("<bi", 4, post.num_frames))
        width = _PAIR.itemsize
        parts += [struct.pack("<bi", 4, b - a) + data[a * width : b * width] for a, b in pairwise(bounds)]
    write_bytes(path, b"".join(parts))


def read_posteriors(path: str | Path) -> Iterator[tuple[str, FramePosteriors]]:
    """Yields (utterance, posteriors) of a Kaldi posterior archive, binary or text, gzipped or not.

    Raises:
        AsrtoolError: no such file, or a truncated one or one of another kind.
    """
    data = bytes(read_bytes(path))
    first = data.find(b" ")
    if data and data[first + 1 : first + 3] != b"\0B":
        yield from _read_text(path, data)
        return
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 4096)
        utterance = data[position:space].decode("utf-8", "replace") if space > 0 else f"byte {position}"
        try:
            if space < 0 or data[space + 1 : space + 4] != b"\0B\4":
                raise ValueError("not a posterior")
            frames, position = struct.unpack_from("<i", data, space + 4)[0], space + 8
            pieces, counts = [], []
            for _ in range(frames):
                size, count = struct.unpack_from("<bi", data, position)
                pieces.append(np.frombuffer(data, _PAIR, count, position + 5))
                counts.append(count)
                if size != 4 or count < 0 or (pieces[-1]["label_size"] != 4).any() or (pieces[-1]["weight_size"] != 4).any():
                    raise ValueError("not a posterior")
                position += 5 + count * _PAIR.itemsize
        except (ValueError, struct.error) as error:
            raise AsrtoolError(f"{path}: {utterance}: not a posterior archive, or truncated ({error}); make it again") from None
        pairs = np.concatenate(pieces) if pieces else np.empty(0, _PAIR)
        begin = begins(np.array(counts, np.int64))
        yield utterance, FramePosteriors(begin, pairs["label"].astype(np.int32), pairs["weight"].astype(np.float32))


def _read_text(path: str | Path, data: bytes) -> Iterator[tuple[str, FramePosteriors]]:
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        if not line.strip():
            continue
        utterance, _, rest = line.partition(" ")
        frames = [part.split() for part in rest.split("]")]
        try:
            if frames.pop() or any(frame[:1] != ["["] or len(frame) % 2 == 0 for frame in frames):
                raise ValueError
            begin = begins(np.array([len(frame) // 2 for frame in frames], np.int64))
            label = np.array([token for frame in frames for token in frame[1::2]], np.int32)
            with np.errstate(over="raise"):
                weight = np.array([token for frame in frames for token in frame[2::2]], np.float32)
        except (ValueError, OverflowError, FloatingPointError):
            raise AsrtoolError(f"{path}: line {number}: expected 'utterance [ id weight ... ] ...'; make it again") from None
        yield utterance, FramePosteriors(begin, label, weight)
