"""Tables of features, alignments and recordings in words: sizes, ranges, and what is wrong in them."""

from collections.abc import Iterable, Iterator

import numpy as np

from asrtool.io.audio import read_wav_and_rate, read_wav_header
from asrtool.lattice.posteriors import FramePosteriors

_CODINGS = {1: "PCM", 3: "floating point", 6: "A-law", 7: "mu-law"}


def feature_lines(matrices: Iterable[tuple[str, np.ndarray]]) -> Iterator[str]:
    """Number of matrices, frames, dimension, range of the finite values, and matrices with others or without frames."""
    dims: dict[int, int] = {}
    low, high, total, values, frames, bad, empty = np.inf, -np.inf, 0.0, 0, [], [], []
    for key, matrix in matrices:
        frames.append(len(matrix))
        if not matrix.size:
            empty.append(key)
            continue
        dims[matrix.shape[1]] = dims.get(matrix.shape[1], 0) + 1
        finite = matrix[np.isfinite(matrix)]
        if finite.size < matrix.size:
            bad.append(key)
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            total, values = total + float(finite.sum(dtype=np.float64)), values + finite.size
    yield f"matrices {len(frames)}"
    yield f"frames {sum(frames)}" + (f" ({min(frames)} to {max(frames)})" if frames else "")
    yield "dimension " + " ".join(str(dim) if len(dims) == 1 else f"{dim} ({count})" for dim, count in sorted(dims.items()))
    if values:
        yield f"range {low:.6g} to {high:.6g}, mean {total / values:.6g}"
    for what, keys in (("with NaN or infinity", bad), ("without frames", empty)):
        if keys:
            yield f"{what} {len(keys)}: {' '.join(keys[:5])}{' ...' if len(keys) > 5 else ''}"


def alignment_summary_lines(alignments: Iterable[tuple[str, np.ndarray]]) -> Iterator[str]:
    """Number of alignments, frames, and range of the ids."""
    frames, low, high = [], None, None
    for _, ids in alignments:
        frames.append(len(ids))
        if len(ids):
            low = int(ids.min()) if low is None else min(low, int(ids.min()))
            high = int(ids.max()) if high is None else max(high, int(ids.max()))
    yield f"alignments {len(frames)}"
    yield f"frames {sum(frames)}" + (f" ({min(frames)} to {max(frames)})" if frames else "")
    if low is not None:
        yield f"ids {low} to {high}"


def posterior_lines(posteriors: Iterable[tuple[str, FramePosteriors]]) -> Iterator[str]:
    """Number of utterances and frames, entries a frame, and the sum of the weights a frame, that of negative ones apart."""
    utterances = frames = entries = 0
    positive = negative = 0.0
    for _, post in posteriors:
        utterances, frames, entries = utterances + 1, frames + post.num_frames, entries + len(post.label)
        positive += float(np.maximum(post.weight, 0).sum(dtype=np.float64))
        negative += float(np.minimum(post.weight, 0).sum(dtype=np.float64))
    yield f"utterances {utterances}"
    yield f"frames {frames}"
    yield f"entries a frame {entries / max(frames, 1):.6g}"
    yield f"weight a frame {positive / max(frames, 1):.6g}" + (f" and {negative / frames:.6g}" if negative else "")


def recording_line(name: str, entry: str) -> tuple[str, float]:
    """A line on one recording, a file or a command of wav.scp, and its duration in seconds.

    Raises:
        AsrtoolError: it cannot be read.
    """
    header = None if entry.strip().endswith("|") else read_wav_header(entry.strip())
    if header is None:  # another kind of audio, or a command: it must be read to be known
        samples, rate = read_wav_and_rate(entry)
        return f"{name} {len(samples) / rate:.7g} s, {rate} Hz", len(samples) / rate
    duration_s = header.num_samples / header.rate
    coding = f"{header.bits} bit {_CODINGS.get(header.coding, f'coding {header.coding}')}"
    return f"{name} {duration_s:.7g} s, {header.rate} Hz, {header.channels} channels, {coding}", duration_s
