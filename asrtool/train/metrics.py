"""Records of a training for machines: EXP/metrics.jsonl.

A line is one of

    {"kind": "train", "epoch": 0.25, "model": "bmuf", "loss": ..., "fer": ..., "frames": ..., "targets": ...,
     "frames_per_s": ..., "learning_rate": ..., "workers": 2, "load_s": ..., "step_s": ..., "sync_s": ..., "bytes_sent": ...,
     notes of the algorithm: "staleness_mean": ..., ...}
    {"kind": "valid", "epoch": 1.0, "model": "bmuf" | "ma" | "ema", "loss": ..., "fer": ..., "frames": ..., "targets": ...,
     "frames_per_s": ...}
    {"kind": "frames", "epoch": 1, "seen": [frames of each worker], "total": frames in the data,
     "before": frames that other workers had seen, where their number changed within the epoch, "lost": [workers]}
    {"kind": "event", "epoch": 1.0, "what": "rejected" | "halved" | "stopped" | "rollback" | "skipped" | "workers", "text": ...}

`epoch` is the time of training, `loss` nats a target, `fer` a fraction of the targets. "train" is the mean over all workers
since the record before, with the workers' own models as they were; minibatches that were skipped count as `frames` only.
`frames` counts 10 ms frames and `frames_per_s` those of all workers together, the time for saving left out; the seconds
`load_s` (waiting for data), `step_s` (forward, backward, update) and `sync_s` (exchange between workers, and waiting for them)
are summed over the workers, and so is `bytes_sent`, what the algorithm sent to other workers; `workers` counts those that are
left. An algorithm's notes are joined since the record before: "..._max" by maximum, "..._mean" by the mean over the syncs, others
are sums. "valid" is a model on the validation data; epoch 0 is the one that training starts from (newbob, sequence training).
The global model goes by the algorithm's name.

Sequence training: `loss` of "train" is that of the sequence criterion, a 10 ms frame (sequence_loss.loss_per_frame), as it was
found when the lattices were made; beside it stand figures of the speech module (outer_feed.NOTES), which are sums over the
workers, means and maxima as those of algorithms. "valid" has `loss` and `fer` by frames, then "sequence_loss", "wer" and what
belongs to them (sequence_validation.SequenceValidation).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrtool.train.disk import writing


@dataclass
class Sums:
    """Totals over minibatches, and the seconds that they took."""

    frames: float = 0.0
    targets: float = 0.0
    loss: float = 0.0
    errors: float = 0.0
    skipped: float = 0.0
    load_s: float = 0.0
    step_s: float = 0.0
    sync_s: float = 0.0
    bytes_sent: float = 0.0

    def add(self, frames: float, targets: float, loss: float, errors: float) -> None:
        self.frames += frames
        self.targets += targets
        self.loss += loss
        self.errors += errors

    def merge(self, values: list[float]) -> None:
        """Adds the `values()` of other sums."""
        for name, value in zip(vars(self), values, strict=True):
            setattr(self, name, getattr(self, name) + value)

    def values(self) -> list[float]:
        return list(vars(self).values())

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.targets, 1.0)

    @property
    def fer(self) -> float:
        """Frame error rate in per cent."""
        return 100.0 * self.errors / max(self.targets, 1.0)


Notes = dict[str, tuple[float, int]]
"""Name -> the figures joined so far, and how many they were."""


def join_notes(notes: Notes, more: Mapping[str, float]) -> Notes:
    """Takes the figures of one more synchronisation in."""
    joined = dict(notes)
    for name, value in more.items():
        before, count = notes.get(name, (value if name.endswith("_max") else 0.0, 0))
        joined[name] = (max(before, value) if name.endswith("_max") else before + value, count + 1)
    return joined


def note_values(notes: Notes) -> dict[str, float]:
    """What is recorded of the figures."""
    return {name: round(value / count if name.endswith("_mean") else value, 4) for name, (value, count) in notes.items()}


class MetricsLog:
    """Appends records to a file; only rank 0 has one. `position` goes into checkpoints: what came after is cut on resume.

    Args:
        also: takes every record too (train/tensorboard.py).
    Raises:
        AsrtoolError: from `write`, when the disk is full.
    """

    def __init__(self, path: Path, active: bool, also: Any = None) -> None:
        self.path = path
        self.active = active
        self.also = also

    @property
    def position(self) -> int:
        return self.path.stat().st_size if self.active and self.path.exists() else 0

    def cut(self, position: int) -> None:
        """Drops what was written after `position`; if less is there (a file system lost it), half a line at its end."""
        if not self.active or not self.path.exists():
            return
        if position > self.position:
            position = self.path.read_bytes().rfind(b"\n") + 1
        os.truncate(self.path, position)

    def sums(self, kind: str, epoch: float, model: str, sums: Sums, seconds: float, **more: Any) -> None:
        """A record of kind "train" or "valid"."""
        rates = {"loss": round(sums.mean_loss, 6), "fer": round(sums.fer / 100.0, 6)}
        counts = {"frames": int(sums.frames), "targets": int(sums.targets)}
        speed = {"frames_per_s": round(sums.frames / max(seconds, 1e-9), 1)}
        self.write({"kind": kind, "epoch": round(epoch, 4), "model": model, **rates, **counts, **speed, **more})

    def event(self, epoch: float, what: str, text: str) -> None:
        self.write({"kind": "event", "epoch": round(epoch, 4), "what": what, "text": text})

    def write(self, record: dict[str, Any]) -> None:
        if not self.active:
            return
        with writing(self.path), open(self.path, "ab", buffering=0) as file:
            line = (json.dumps(record) + "\n").encode()
            if file.write(line) != len(line):
                raise OSError("the disk is full")
        if self.also is not None:
            with writing(self.path.parent / "tensorboard"):
                self.also.write(record)
