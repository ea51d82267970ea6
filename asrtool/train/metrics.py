"""Records of a training for machines (EXP/metrics.jsonl) and for people.

A line of metrics.jsonl is one of

    {"kind": "train", "epoch": 0.25, "model": "bmuf", "loss": ..., "fer": ..., "frames": ..., "targets": ...,
     "learning_rate": ..., "frames_per_s": ...}
    {"kind": "valid", "epoch": 1.0, "model": "bmuf" | "ma" | "ema", "loss": ..., "fer": ..., "frames": ..., "targets": ...,
     "frames_per_s": ...}

`epoch` is the time of training, `loss` nats a target, `fer` a fraction of the targets. "train" is the mean over all workers
since the record before, with the workers' own models as they were; `frames` counts 10 ms frames and `frames_per_s` those of
all workers together; "valid" is a model on the validation data. The global model goes by the algorithm's name.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass
class Sums:
    """Totals over minibatches."""

    frames: float = 0.0
    targets: float = 0.0
    loss: float = 0.0
    errors: float = 0.0

    def add(self, frames: float, targets: float, loss: float, errors: float) -> None:
        self.frames += frames
        self.targets += targets
        self.loss += loss
        self.errors += errors

    def tensor(self) -> torch.Tensor:
        return torch.tensor([self.frames, self.targets, self.loss, self.errors], dtype=torch.float64)

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.targets, 1.0)

    @property
    def fer(self) -> float:
        """Frame error rate in per cent."""
        return 100.0 * self.errors / max(self.targets, 1.0)


class MetricsLog:
    """Appends records to a file; only rank 0 has one. `position` goes into checkpoints: what came after is cut on resume."""

    def __init__(self, path: Path, active: bool) -> None:
        self.path = path
        self.active = active

    @property
    def position(self) -> int:
        return self.path.stat().st_size if self.active and self.path.exists() else 0

    def cut(self, position: int) -> None:
        if self.active and self.path.exists():
            os.truncate(self.path, position)

    def write(self, kind: str, epoch: float, model: str, sums: Sums, seconds: float, **more: Any) -> None:
        if not self.active:
            return
        record = {
            "kind": kind,
            "epoch": round(epoch, 4),
            "model": model,
            "loss": round(sums.mean_loss, 6),
            "fer": round(sums.fer / 100.0, 6),
            "frames": int(sums.frames),
            "targets": int(sums.targets),
            "frames_per_s": round(sums.frames / max(seconds, 1e-9), 1),
            **more,
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


class ProgressLine:
    """One line that renews itself on a terminal, a plain line now and then in a log; only on rank 0."""

    def __init__(self, active: bool, log_every_s: float = 20.0) -> None:
        self.active = active
        self.terminal = active and sys.stderr.isatty()
        self.every_s = 0.5 if self.terminal else log_every_s
        self.start = self.reported = time.monotonic()
        self.start_fraction: float | None = None

    def show(self, epoch: float, num_epochs: int, sums: Sums, frames_per_s: float, learning_rate: float) -> None:
        """`epoch` of `num_epochs` are done; prints when it is time to."""
        now = time.monotonic()
        if self.start_fraction is None:
            self.start, self.start_fraction = now, epoch
        if not self.active or now - self.reported < self.every_s:
            return
        self.reported = now
        done = max(epoch - self.start_fraction, 1e-9)
        left_s = (now - self.start) / done * (num_epochs - epoch)
        line = (
            f"epoch {epoch:.2f} of {num_epochs}: loss {sums.mean_loss:.3f}, FER {sums.fer:.1f} %, {frames_per_s:,.0f} frames/s "
            f"({frames_per_s / 100:.0f} hours/hour), learning rate {learning_rate:.3g}, {left_s:.0f} s left"
        )
        print(f"\r\x1b[K{line}" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def message(self, text: str) -> None:
        if self.active:
            print(f"\r\x1b[K{text}" if self.terminal else text, file=sys.stderr, flush=True)
