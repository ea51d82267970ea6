"""Figures of a set of utterances, small enough to be kept with an experiment."""

from typing import Any

import numpy as np

BINS = 40


def length_statistics(num_frames_U: np.ndarray, num_without_alignment: int | None = None) -> dict[str, Any]:
    """Counts and lengths of utterances as a plain dictionary, for JSON.

    Args:
        num_frames_U: 10 ms frames of each utterance.
        num_without_alignment: utterances that are not among them for want of an alignment; None where nobody looked.
    Returns:
        utterances, frames, utterances_without_alignment; shortest, median, longest in frames; histogram: `bin_frames` (the
        width of a bin) and `utterances` by bin, the first bin from 0 on.
    """
    lengths = np.asarray(num_frames_U, np.int64)
    result: dict[str, Any] = {
        "utterances": len(lengths),
        "frames": int(lengths.sum()),
        "utterances_without_alignment": num_without_alignment,
    }
    if len(lengths) == 0:
        return result
    widths = [base * 10**power for power in range(1, 8) for base in (1, 2, 5)]
    width = next(width for width in widths if width * BINS > lengths.max())
    counts = np.bincount(lengths // width)
    return result | {
        "shortest": int(lengths.min()),
        "median": float(np.median(lengths)),
        "longest": int(lengths.max()),
        "histogram": {"bin_frames": width, "utterances": counts.tolist()},
    }
