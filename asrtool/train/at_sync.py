"""What the trainer does at every synchronisation of the workers: records, models within an epoch, checkpoints, stopping."""

import torch

from asrtool.parallel.protocol import SyncReport
from asrtool.train.bad_loss import BadLossPolicy, RollBack
from asrtool.train.clock import Clock
from asrtool.train.metrics import Sums, join_notes, note_values
from asrtool.train.parts import Parts
from asrtool.train.position import Position
from asrtool.train.save_state import Saver
from asrtool.train.stop import Stopped, StopSignal

RECORDS_PER_EPOCH = 50


class AtSync:
    """Called on every rank at every sync, also on ranks that are out of data and wait in `finish`.

    What a worker wants (a checkpoint, to stop, to roll back) goes into one small all-reduce, so that all do the same.

    Raises:
        Stopped, RollBack: on all ranks at the same sync.
    """

    def __init__(
        self, parts: Parts, position: Position, saver: Saver, policy: BadLossPolicy, stop: StopSignal, clock: Clock
    ) -> None:
        self.parts = parts
        self.position = position
        self.saver = saver
        self.policy = policy
        self.stop = stop
        self.clock = clock
        self.seconds = 0.0  # since the last record, without saving and validating
        self.alive = list(parts.comm.alive)
        self._bytes_before = 0

    def begin(self) -> None:
        """Training starts or goes on: what was sent before that is not its own."""
        self._bytes_before = self.parts.comm.bytes_sent

    def __call__(self, report: SyncReport) -> None:
        self.policy.read()
        self.clock.spent("sync")
        position = self.position
        self.saver.syncs_since_save += 1
        position.total_frames = report.total_frames
        position.notes = join_notes(position.notes, report.notes)
        if self.parts.worker_notes is not None:
            self.parts.worker_notes.collect()
        due, stop, rollback = self._agree()
        if rollback:
            raise RollBack(self.policy.wants_rollback or "another worker had a bad minibatch")
        fraction = min(1.0, (report.total_frames - position.frames_before_epoch) / self.parts.train_frames)
        self._tell_of_lost_workers(fraction)
        self._record(fraction, force=report.finished)
        if not report.finished:  # the end of the epoch saves everything
            self._save_models(fraction)
            if stop:
                self.saver.save()
                raise Stopped
            if due:
                self.saver.try_to_save()
        self.clock.spent("other")
        self.begin()

    def _agree(self) -> tuple[bool, bool, bool]:
        """Adds up the block's sums over the workers, and asks all whether to save, to stop, to roll back."""
        position, block = self.position, self.position.block
        seconds = self.clock.take()
        self.seconds += seconds["load"] + seconds["step"] + seconds["sync"]
        block.load_s, block.step_s, block.sync_s = seconds["load"], seconds["step"], seconds["sync"]
        block.bytes_sent = self.parts.comm.bytes_sent - self._bytes_before
        wishes = [float(self.saver.due), float(self.stop.requested), float(bool(self.policy.wants_rollback))]
        message = torch.tensor(block.values() + wishes, dtype=torch.float64).to(self.parts.device)
        self.parts.comm.all_reduce_(message)
        *sums, due, stop, rollback = message.tolist()
        position.block = Sums()
        position.record.merge(sums)
        self.stop.agreed = stop > 0
        return due > 0, stop > 0, rollback > 0

    def _tell_of_lost_workers(self, fraction: float) -> None:
        alive = list(self.parts.comm.alive)
        lost, self.alive = [rank for rank in self.alive if rank not in alive], alive
        if lost:
            text = f"worker {', '.join(map(str, lost))} is lost; training goes on with {len(alive)} of {self.parts.comm.size}"
            self.parts.announce(self.position.epoch + fraction, "workers", text)

    def _record(self, fraction: float, force: bool) -> None:
        """Writes a "train" record when a fiftieth of an epoch has gone by."""
        position, parts = self.position, self.parts
        if not position.record.frames or not (force or fraction - position.recorded_fraction >= 1 / RECORDS_PER_EPOCH):
            return
        sums, seconds, epoch = position.record, self.seconds, position.epoch + fraction
        rate = parts.schedule.learning_rate(epoch)
        times = {name: round(getattr(sums, name), 4) for name in ("load_s", "step_s", "sync_s")}
        more = {"learning_rate": rate, "workers": len(self.alive), **times, "bytes_sent": int(sums.bytes_sent)}
        more |= note_values(position.notes)
        if parts.worker_notes is not None:
            more |= parts.worker_notes.take(parts.comm, parts.device)
        parts.metrics.sums("train", epoch, parts.algorithm.name, sums, seconds, **more)
        parts.progress.show(epoch, parts.config.num_epochs, sums, sums.frames / max(seconds, 1e-9), rate)
        if sums.skipped:
            parts.announce(epoch, "skipped", f"{int(sums.skipped)} bad minibatches skipped")
        position.record, position.notes, position.recorded_fraction, self.seconds = Sums(), {}, fraction, 0.0

    def _save_models(self, fraction: float) -> None:
        """Saves the models when the next of the epoch's equal parts is done."""
        position, count = self.position, self.parts.config.models_per_epoch
        while position.parts_saved + 1 < count and fraction * count >= position.parts_saved + 1:
            position.parts_saved += 1
            label = f"{position.epoch + 1}.{position.parts_saved}"
            info = {"epoch": position.epoch + position.parts_saved / count, "frames": position.total_frames}
            self.parts.save_models(self.parts.algorithm.models(), label, info)
