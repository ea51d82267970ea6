"""The end of an epoch: frames counted, models validated, the epoch accepted or rejected, everything saved."""

import time

import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.optim.schedule import Decision
from asrtool.train.parts import Parts
from asrtool.train.position import Position
from asrtool.train.save_state import Saver
from asrtool.train.validation import Measured

Models = dict[str, dict[str, Tensor]]


class EpochEnd:
    """All methods are collective; every rank sees the same results and takes the same decisions.

    The global model's validation loss decides on the epoch. When newbob rejects it, the global model, MA, EMA and the
    algorithm's state all go back to the end of the accepted epoch: the averages follow the accepted global models alone.
    """

    def __init__(self, parts: Parts, position: Position, saver: Saver) -> None:
        self.parts = parts
        self.position = position
        self.saver = saver

    def before_first(self) -> None:
        """Saves the untrained model where training may have to go back to it; newbob also measures it, as others may."""
        if self.parts.schedule.config.rejects or self.parts.validation.from_start:
            name, weights = next(iter(self.parts.algorithm.models().items()))
            results = self._validate({name: weights})
            self.parts.schedule.begin(results[name].loss)
            self.parts.validation.after_epoch(self.parts, results, accepted=True)
        if self.parts.schedule.config.rejects or self.parts.config.bad_loss == "rollback":
            self.saver.save(accepted=True)

    def __call__(self) -> None:
        """Books the epoch that has ended and makes ready for the next one."""
        parts, position = self.parts, self.position
        self._count_frames()
        position.epoch += 1
        models = parts.algorithm.models()
        results = self._validate(models)
        decision = parts.schedule.after_epoch(position.epoch, next(iter(results.values())).loss)
        info = {"epoch": float(position.epoch), "frames": position.total_frames}
        parts.save_models(models, self._label(position.epoch), info)
        self._choose(results, decision)
        for what, text in decision.events + parts.validation.after_epoch(parts, results, decision.accepted):
            parts.announce(position.epoch, what, text)
        if not decision.accepted:
            self.saver.return_to_accepted()
        position.begin_epoch()
        self.saver.save(accepted=decision.accepted)

    def make_final(self) -> None:
        """Names the final models.

        Raises:
            AsrtoolError: no epoch was accepted.
        """
        kept = self.position.kept
        if not kept:
            raise AsrtoolError("no epoch has lowered the validation loss of the untrained model; lower schedule.learning_rate")
        self.parts.keep_models({name: self._label(epoch) for name, (_, epoch) in kept.items()})
        show_score = self.parts.validation.show_score
        shown = ", ".join(f"{name} of epoch {epoch} ({show_score(score)})" for name, (score, epoch) in kept.items())
        self.parts.progress.message(f"final models: {shown}")

    def _label(self, epoch: int) -> str:
        return f"{epoch}.{self.parts.config.models_per_epoch}"

    def _validate(self, models: Models) -> dict[str, Measured]:
        """Model name -> what was found of it on the validation data."""
        parts, epoch, results = self.parts, self.position.epoch, {}
        parts.share_data()
        for name, weights in models.items():
            start = time.monotonic()
            parts.evaluation_model.load_state_dict(weights)
            found = results[name] = parts.validation.measure(parts, name)
            parts.metrics.sums("valid", epoch, name, found.sums, time.monotonic() - start, **found.more)
        shown = ", ".join(f"{name}: {found.shown}" for name, found in results.items())
        parts.progress.message(f"epoch {epoch} of {parts.config.num_epochs}, validation: {shown}")
        return results

    def _choose(self, results: dict[str, Measured], decision: Decision) -> None:
        """Which epoch's models would be the final ones if training ended now."""
        kept, config = self.position.kept, self.parts.config
        latest = config.keep_epoch == "last" or self.parts.schedule.config.rejects
        for name, found in results.items() if decision.accepted else ():
            if latest or name not in kept or found.score < kept[name][0]:
                kept[name] = (found.score, self.position.epoch)

    def _count_frames(self) -> None:
        """Compares the frames that each worker has seen with those in its data; minibatches, where it came in later."""
        parts, position, loader = self.parts, self.position, self.parts.train_loader
        seen, expected, what = position.frames_in_epoch, loader.num_frames, "frames"
        if position.frames_before:
            seen, expected, what = position.batches_done, loader.num_batches(position.epoch), "minibatches"
        if seen != expected:
            raise RuntimeError(f"epoch {position.epoch + 1}: {seen} {what} seen of {expected}")
        frames = torch.zeros(parts.comm.size, dtype=torch.float64, device=parts.device)
        frames[parts.comm.rank] = position.frames_in_epoch
        parts.comm.all_reduce_(frames)
        counts = [int(count) for count in frames.tolist()]
        lost = [rank for rank in range(parts.comm.size) if rank not in parts.comm.alive]
        record = {"kind": "frames", "epoch": position.epoch + 1, "seen": counts, "total": parts.train_frames}
        by_worker, all_seen = " + ".join(map(str, counts)), sum(counts) + position.frames_before
        if position.frames_before:
            record["before"] = position.frames_before
            by_worker = f"{position.frames_before} by the workers before, then {by_worker}"
        if lost:
            record["lost"] = lost
            by_worker += f"; lost: {', '.join(map(str, lost))}"
        parts.metrics.write(record)
        parts.progress.message(f"epoch {position.epoch + 1}: {all_seen} of {parts.train_frames} frames seen ({by_worker})")
