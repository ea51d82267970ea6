"""Saving everything that the rest of a training depends on, and going back to it."""

import time
from typing import Any

import torch

from asrtool.errors import AsrtoolError
from asrtool.train.bad_loss import MEND
from asrtool.train.checkpoint import Workers
from asrtool.train.elastic import merged
from asrtool.train.parts import Parts
from asrtool.train.position import Position


class Saver:
    """Checkpoints of a training. All methods are collective.

    A checkpoint holds the model, the optimiser, the schedule, the parallel algorithm (with MA and EMA), the position in the
    data, the streams' states, the random generators' states, the features' normalisation and the length of metrics.jsonl.
    """

    def __init__(self, parts: Parts, position: Position) -> None:
        self.parts = parts
        self.position = position
        self.syncs_since_save = 0
        self.saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether this worker thinks that it is time to save; the clock of rank 0 counts."""
        config = self.parts.config.checkpoint
        by_count = bool(config.every_syncs) and self.syncs_since_save >= config.every_syncs
        minutes = (time.monotonic() - self.saved_at) / 60
        return by_count or (self.parts.comm.rank == 0 and config.every_minutes > 0 and minutes >= config.every_minutes)

    def save(self, accepted: bool = False) -> None:
        """Writes a checkpoint; `accepted`: newbob returns to it.

        Raises:
            AsrtoolError: one of the workers cannot write; the checkpoint before is still there.
        """
        position, checkpoints = self.position, self.parts.checkpoints
        if accepted and self.parts.schedule.config.rejects:
            position.accepted = checkpoints.serial + 1
        self.syncs_since_save, self.saved_at = 0, time.monotonic()
        checkpoints.save(self.state_dict, needed={position.accepted})

    def try_to_save(self) -> None:
        """Writes a checkpoint, or warns and goes on without."""
        try:
            self.save()
        except AsrtoolError as error:
            self.parts.progress.message(f"WARNING: checkpoint skipped, the one before stays: {error}")

    def restore(self) -> bool:
        """Goes on from the last checkpoint, if there is one; with other workers than it was saved by, see elastic.py."""
        state, saved_by = self._load()
        if state is None:
            self.parts.metrics.cut(0)
            return False
        self.load_state_dict(state)
        if saved_by is not None:
            self._take_share(saved_by)
        return True

    def return_to_accepted(self) -> None:
        """Puts the accepted model in place of a rejected one: the global model with what follows or moves it (MA, EMA, block
        momentum) as of that time, all workers on it, the optimisers' momentum zero. Epochs are counted on."""
        saved, _ = self._load(self.position.accepted)
        self._load_model(saved)
        self.parts.optimizer.state.clear()
        self.position.total_frames = saved["position"]["total_frames"]

    def _load(self, serial: int | None = None) -> tuple[dict[str, Any] | None, Workers | None]:
        """This worker's state of a checkpoint, and who saved it if others did than are there now."""
        checkpoints, comm = self.parts.checkpoints, self.parts.comm
        if not checkpoints.serial:
            return None, None
        before, now = checkpoints.workers(serial), Workers(comm.size, list(comm.alive))
        if before == now:
            return checkpoints.load(serial), None
        return merged(checkpoints.load_all(serial), now.ranks.index(comm.rank)), before

    def _take_share(self, before: Workers) -> None:
        """This worker's place in the current epoch, of which all workers before had done some share together."""
        parts, position = self.parts, self.position
        parts.share_data()
        share = position.batches_done / max(position.batches_in_epoch, 1)
        position.batches_in_epoch = parts.train_loader.num_batches(position.epoch)
        position.batches_done = round(share * position.batches_in_epoch)
        epoch = position.epoch + position.recorded_fraction
        parts.announce(epoch, "workers", f"going on with {len(parts.comm.alive)} worker(s) instead of {len(before.ranks)}")

    def roll_back(self, why: str) -> None:
        """Returns to the last checkpoint with a lower rate, and saves that.

        Raises:
            AsrtoolError: it was done too often.
        """
        limits, rollbacks = self.parts.config.bad_loss_limits, self.position.rollbacks + 1
        if rollbacks > limits.max_rollbacks:
            raise AsrtoolError(f"{why}; after {limits.max_rollbacks} rollbacks, more than bad_loss_limits allows; {MEND}")
        self.restore()
        self.position.rollbacks = rollbacks
        self.parts.schedule.lower(limits.rollback_factor)
        text = f"rollback {rollbacks} of at most {limits.max_rollbacks}, learning rate times {limits.rollback_factor:g}: {why}"
        self.parts.announce(self.position.epoch + self.position.recorded_fraction, "rollback", text)
        self.save()

    def state_dict(self) -> dict[str, Any]:
        """Everything of this rank."""
        parts = self.parts
        return {
            "position": self.position.state_dict(),
            "model": parts.model.state_dict(),
            "optimizer": parts.optimizer.state_dict(),
            "schedule": parts.schedule.state_dict(),
            "algorithm": parts.algorithm.state_dict(),
            "random": torch.get_rng_state(),
            "random_gpu": torch.cuda.get_rng_state(parts.device) if parts.device.type == "cuda" else None,
            "normalisation": (parts.data.mean_D, parts.data.scale_D),
            "metrics": parts.metrics.position,
            **({"more": {name: part.state_dict() for name, part in parts.stateful.items()}} if parts.stateful else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        parts = self.parts
        self.position.load_state_dict(state["position"], parts.device)
        self._load_model(state)
        parts.optimizer.load_state_dict(state["optimizer"])
        parts.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        if state["random_gpu"] is not None and parts.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_gpu"], parts.device)
        parts.metrics.cut(state["metrics"])
        for name, part in parts.stateful.items():
            part.load_state_dict(state["more"][name])

    def _load_model(self, state: dict[str, Any]) -> None:
        self.parts.algorithm.load_state_dict(state["algorithm"])
        self.parts.model.load_state_dict({**self.parts.model.state_dict(), **state["model"]})
