"""The training loop of one worker. It knows no parallel algorithm by name, only the protocol."""

from contextlib import closing

from asrtool.parallel.registry import needs_servers
from asrtool.train.at_sync import AtSync
from asrtool.train.bad_loss import BadLossPolicy, RollBack
from asrtool.train.clock import Clock
from asrtool.train.epoch_end import EpochEnd
from asrtool.train.minibatch import MinibatchStep
from asrtool.train.parts import Parts
from asrtool.train.position import Position
from asrtool.train.save_state import Saver
from asrtool.train.stop import Stopped, StopSignal


class Trainer:
    """Runs the epochs; `run` starts or goes on from the last checkpoint.

    Everything that changes between two minibatches is in `position` and in the parts that `Saver` saves, so that a resumed
    run takes the same steps as one that was never interrupted.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.position = Position()
        self.clock = Clock()
        self.policy = BadLossPolicy(parts.config, self.position, parts.comm.rank, at_once=parts.device.type == "cpu")
        self.step = MinibatchStep(parts, self.position, self.policy, self.clock)
        self.saver = Saver(parts, self.position)
        needed = [0] if needs_servers(parts.config.parallel) else range(parts.comm.size)
        self.stop = StopSignal(parts.comm, parts.device, needed)
        self.epoch_end = EpochEnd(parts, self.position, self.saver)
        self.at_sync = AtSync(parts, self.position, self.saver, self.policy, self.stop, self.clock)
        parts.algorithm.on_sync.append(self.at_sync)

    def run(self) -> None:
        """Trains to the end.

        Raises:
            AsrtoolError: bad minibatches, as far as they are not to be passed over; a worker is lost; a file cannot be written.
            Stopped: after SIGTERM, when the state is saved.
        """
        position, parts = self.position, self.parts
        with self.stop.watching():
            if self.saver.restore():
                text = f"going on from the checkpoint at epoch {position.epoch}, minibatch {position.batches_done}"
                parts.progress.message(text)
            else:
                self.epoch_end.before_first()
            while position.epoch < parts.config.num_epochs and not parts.schedule.stopped:
                try:
                    self._train_epoch()
                except RollBack as request:
                    self.policy.forget()
                    self.saver.roll_back(str(request))
                    continue
                self.epoch_end()
                if self.stop.agreed:
                    raise Stopped
            self.epoch_end.make_final()

    def _train_epoch(self) -> None:
        """Takes the epoch's minibatches that are left, and meets the other workers at its end."""
        parts, position, clock = self.parts, self.position, self.clock
        parts.share_data()
        num_batches = parts.train_loader.num_batches(position.epoch)
        position.batches_in_epoch = self.policy.batches_in_epoch = num_batches
        self.at_sync.begin()
        parts.model.train()
        clock.spent("other")
        with closing(parts.train_loader.epoch(position.epoch, position.batches_done)) as batches:
            for batch in batches:
                clock.spent("load")
                self.stop.check()
                rate = parts.schedule.learning_rate(position.epoch + position.batches_done / num_batches)
                self.step(batch, rate)
                position.batches_done += 1
                clock.spent("step")
                parts.algorithm.after_step(batch.num_frames)
                clock.spent("sync")
            clock.spent("load")
        parts.algorithm.finish()
