"""The training loop of one worker. It knows no parallel algorithm by name, only the protocol."""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.errors import AsrtoolError
from asrtool.loader.batch import Batch
from asrtool.loader.loader import Loader
from asrtool.nnet.model import AcousticModel, State, reset_state
from asrtool.optim.optimizer import set_learning_rate
from asrtool.optim.schedule import Schedule
from asrtool.parallel.protocol import Comm, ParallelAlgorithm, SyncReport
from asrtool.train.checkpoint import CheckpointStore
from asrtool.train.config import TrainConfig
from asrtool.train.evaluate import evaluate
from asrtool.train.metrics import MetricsLog, ProgressLine, Sums

RECORDS_PER_EPOCH = 50


class Stopped(Exception):
    """SIGTERM arrived; the state is saved."""


@dataclass
class Parts:
    """What a trainer works with; all on the model's device where they are tensors.

    Attributes:
        evaluation_model: a second model of the same kind, into which models are loaded for validation.
        train_frames: 10 ms frames of an epoch, all workers together.
        save_models: called as save_models(weights by model name, label, info) on every rank; label is "<epoch>.<part>".
        keep_models: called as keep_models(label by model name) at the end: those saved models are the final ones.
    """

    config: TrainConfig
    model: AcousticModel
    evaluation_model: AcousticModel
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    algorithm: ParallelAlgorithm
    comm: Comm
    train_loader: Loader
    valid_loader: Loader
    train_frames: int
    checkpoints: CheckpointStore
    metrics: MetricsLog
    save_models: Callable[[dict[str, dict[str, Tensor]], str, dict[str, Any]], None]
    keep_models: Callable[[dict[str, str]], None]


class Trainer:
    """Runs the epochs; `run` starts or goes on from the last checkpoint.

    Everything between two minibatches is in the attributes that `state_dict` saves, so that a resumed run takes the same
    steps as one that was never interrupted.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.config = parts.config
        self.device = next(parts.model.parameters()).device
        self.epoch = 0
        self.batches_done = 0
        self.state: State = ()
        self.epoch_sums = Sums()
        self.block_sums = Sums()
        self.record_sums = Sums()
        self.parts_saved = 0
        self.frames_before_epoch = 0
        self.total_frames = 0
        self.kept: dict[str, tuple[float, int]] = {}  # model -> its validation FER in % and the epoch that had it
        self.recorded_fraction = 0.0
        self._stop_requested = False  # here, by SIGTERM
        self._stop_agreed = False  # by all workers at a sync
        self._syncs_since_save = 0
        self._saved_at = self._recorded_at = time.monotonic()
        self._progress = ProgressLine(parts.comm.rank == 0)
        self._batches_in_epoch = 0
        parts.algorithm.on_sync.append(self._on_sync)

    # --- the loop

    def run(self) -> None:
        """Trains to the end.

        Raises:
            AsrtoolError: the loss is not finite or explodes; a worker is lost.
            Stopped: after SIGTERM, when the state is saved.
        """
        previous = signal.signal(signal.SIGTERM, self._request_stop)
        try:
            self._restore()
            while self.epoch < self.config.num_epochs and not self.parts.schedule.stopped:
                self._train_epoch()
                self._end_epoch()
            self.parts.keep_models({name: f"{epoch}.{self.config.models_per_epoch}" for name, (_, epoch) in self.kept.items()})
            kept = ", ".join(f"{name} of epoch {epoch} (FER {fer:.2f} %)" for name, (fer, epoch) in self.kept.items())
            self._progress.message(f"final models: {kept}")
        finally:
            signal.signal(signal.SIGTERM, previous)

    def _train_epoch(self) -> None:
        loader, parts = self.parts.train_loader, self.parts
        self._batches_in_epoch = loader.num_batches(self.epoch)
        parts.model.train()
        for batch in loader.epoch(self.epoch, self.batches_done):
            self._step(batch)
            self.batches_done += 1
            parts.algorithm.after_step(batch.num_frames)
        parts.algorithm.finish()
        if self.epoch_sums.frames != loader.num_frames:
            raise RuntimeError(f"epoch {self.epoch + 1}: {self.epoch_sums.frames} frames seen of {loader.num_frames}")

    def _step(self, batch: Batch) -> None:
        parts, optimizer = self.parts, self.parts.optimizer
        set_learning_rate(optimizer, parts.schedule.learning_rate(self.epoch + self.batches_done / self._batches_in_epoch))
        state = reset_state(parts.model, self.state, batch.reset_B.to(self.device))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16):
            logits, state = parts.model(batch.x_BTF.to(self.device, non_blocking=True), state)
        loss, errors = cross_entropy(logits, batch.target_BT.to(self.device))
        self._check_loss(loss, batch)
        scale = 1.0 / parts.train_loader.nominal_targets if self.config.optimizer.gradient == "mean" else 1.0
        optimizer.zero_grad()
        (loss * scale).backward()
        parts.algorithm.before_step()
        if self.config.optimizer.max_gradient_norm > 0:
            torch.nn.utils.clip_grad_norm_(parts.model.parameters(), self.config.optimizer.max_gradient_norm)
        optimizer.step()
        self.state = tuple(tensor.detach() for tensor in state)
        for sums in (self.epoch_sums, self.block_sums):
            sums.add(batch.num_frames, batch.num_targets, loss.item(), errors.item())

    def _check_loss(self, loss: Tensor, batch: Batch) -> None:
        mean = loss.item() / max(batch.num_targets, 1)
        if math.isfinite(mean) and mean <= self.config.max_loss:
            return
        shown = list(dict.fromkeys(batch.utterances))
        raise AsrtoolError(
            f"epoch {self.epoch + 1}, minibatch {self.batches_done + 1}, worker {self.parts.comm.rank}: loss {mean:g} a target; "
            f"utterances {' '.join(shown[:20])}{' ...' if len(shown) > 20 else ''}; check their features and alignments, or "
            "lower schedule.learning_rate or optimizer.max_gradient_norm"
        )

    # --- synchronisations

    def _on_sync(self, report: SyncReport) -> None:
        """Runs on every rank at every sync, also on ranks that are out of data and wait in `finish`."""
        self._syncs_since_save += 1
        self.total_frames = report.total_frames
        due, stop = self._agree()
        fraction = min(1.0, (report.total_frames - self.frames_before_epoch) / self.parts.train_frames)
        self._record(fraction, force=report.finished)
        if report.finished:  # the end of the epoch saves everything
            return
        count = self.config.models_per_epoch
        while self.parts_saved + 1 < count and fraction * count >= self.parts_saved + 1:
            self.parts_saved += 1
            label = f"{self.epoch + 1}.{self.parts_saved}"
            info = {"epoch": self.epoch + self.parts_saved / count, "frames": self.total_frames}
            self.parts.save_models(self.parts.algorithm.models(), label, info)
        if due or stop:
            self._save()
        if stop:
            raise Stopped

    def _agree(self) -> tuple[bool, bool]:
        """Adds up the block's sums over the workers, and asks all whether to save and whether to stop."""
        config = self.config.checkpoint
        due = bool(config.every_syncs) and self._syncs_since_save >= config.every_syncs
        if config.every_minutes and time.monotonic() - self._saved_at >= 60 * config.every_minutes:
            due = due or self.parts.comm.rank == 0
        message = torch.cat((self.block_sums.tensor(), torch.tensor([due, self._stop_requested], dtype=torch.float64)))
        message = message.to(self.device)
        self.parts.comm.all_reduce_(message)
        *sums, due_count, stop_count = message.tolist()
        self.block_sums = Sums()
        self.record_sums.add(*sums)
        self._stop_agreed = stop_count > 0
        return due_count > 0, self._stop_agreed

    def _record(self, fraction: float, force: bool) -> None:
        """Writes a "train" record when a fiftieth of an epoch has gone by."""
        if not self.record_sums.targets or not (force or fraction - self.recorded_fraction >= 1 / RECORDS_PER_EPOCH):
            return
        now = time.monotonic()
        sums, seconds, epoch = self.record_sums, now - self._recorded_at, self.epoch + fraction
        rate = self.parts.schedule.learning_rate(epoch)
        self.parts.metrics.write("train", epoch, self.parts.algorithm.name, sums, seconds, learning_rate=rate)
        self._progress.show(epoch, self.config.num_epochs, sums, sums.frames / max(seconds, 1e-9), rate)
        self.record_sums, self.recorded_fraction, self._recorded_at = Sums(), fraction, now

    def _end_epoch(self) -> None:
        """Validates, saves the models and a checkpoint; all of them as of the end of the epoch."""
        self._report_frames()
        self.epoch += 1
        models = self.parts.algorithm.models()
        results = {}
        for name, weights in models.items():
            start = time.monotonic()
            self.parts.evaluation_model.load_state_dict(weights)
            sums = results[name] = evaluate(self.parts.evaluation_model, self.parts.valid_loader, self.parts.comm)
            self.parts.metrics.write("valid", self.epoch, name, sums, time.monotonic() - start)
            if self.config.keep_epoch == "last" or name not in self.kept or sums.fer < self.kept[name][0]:
                self.kept[name] = (sums.fer, self.epoch)
        shown = ", ".join(f"{name}: loss {sums.mean_loss:.4f} FER {sums.fer:.2f} %" for name, sums in results.items())
        self._progress.message(f"epoch {self.epoch} of {self.config.num_epochs}, validation: {shown}")
        self.parts.schedule.after_epoch(next(iter(results.values())).mean_loss)
        info = {"epoch": float(self.epoch), "frames": self.total_frames}
        self.parts.save_models(models, f"{self.epoch}.{self.config.models_per_epoch}", info)
        self.batches_done, self.state, self.epoch_sums, self.parts_saved = 0, (), Sums(), 0
        self.frames_before_epoch, self.recorded_fraction = self.total_frames, 0.0
        self._save()
        self._recorded_at = time.monotonic()
        if self._stop_agreed:
            raise Stopped

    def _report_frames(self) -> None:
        """Logs how many frames each worker has seen; equal to what there is, or `_train_epoch` has raised."""
        seen = torch.zeros(self.parts.comm.size, dtype=torch.float64, device=self.device)
        seen[self.parts.comm.rank] = self.epoch_sums.frames
        self.parts.comm.all_reduce_(seen)
        by_worker = " + ".join(f"{int(count)}" for count in seen.tolist())
        self._progress.message(
            f"epoch {self.epoch + 1}: {int(seen.sum())} of {self.parts.train_frames} frames seen ({by_worker})"
        )

    # --- saving and going on

    def _request_stop(self, number: int, frame: object) -> None:
        self._stop_requested = True

    def _save(self) -> None:
        self.parts.checkpoints.save(self.state_dict())
        self._syncs_since_save, self._saved_at = 0, time.monotonic()

    def _restore(self) -> None:
        saved = self.parts.checkpoints.load()
        if saved is None:
            self.parts.metrics.cut(0)
            return
        self.load_state_dict(saved)
        self._progress.message(f"going on from the checkpoint at epoch {self.epoch}, minibatch {self.batches_done}")

    def state_dict(self) -> dict[str, Any]:
        """Everything of this rank that the rest of the training depends on."""
        parts = self.parts
        return {
            "epoch": self.epoch,
            "batches_done": self.batches_done,
            "stream_state": list(self.state),
            "sums": [list(vars(sums).values()) for sums in (self.epoch_sums, self.block_sums, self.record_sums)],
            "parts_saved": self.parts_saved,
            "frames_before_epoch": self.frames_before_epoch,
            "total_frames": self.total_frames,
            "kept": {name: list(value) for name, value in self.kept.items()},
            "recorded_fraction": self.recorded_fraction,
            "model": parts.model.state_dict(),
            "optimizer": parts.optimizer.state_dict(),
            "schedule": parts.schedule.state_dict(),
            "algorithm": parts.algorithm.state_dict(),
            "random": torch.get_rng_state(),
            "metrics": parts.metrics.position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        parts = self.parts
        self.epoch, self.batches_done = state["epoch"], state["batches_done"]
        self.state = tuple(tensor.to(self.device) for tensor in state["stream_state"])
        self.epoch_sums, self.block_sums, self.record_sums = (Sums(*values) for values in state["sums"])
        self.parts_saved, self.frames_before_epoch = state["parts_saved"], state["frames_before_epoch"]
        self.total_frames, self.recorded_fraction = state["total_frames"], state["recorded_fraction"]
        self.kept = {name: (fer, epoch) for name, (fer, epoch) in state["kept"].items()}
        parts.algorithm.load_state_dict(state["algorithm"])
        parts.model.load_state_dict(state["model"])
        parts.optimizer.load_state_dict(state["optimizer"])
        parts.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        parts.metrics.cut(state["metrics"])
