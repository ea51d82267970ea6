"""Where a training stands between two minibatches: counts, sums, the streams' states. All of it goes into checkpoints."""

from dataclasses import dataclass, field, fields
from typing import Any

import torch

from asrtool.nnet.model import State
from asrtool.train.metrics import Sums


@dataclass
class Position:
    """Attributes:
    epoch: epochs done.
    batches_done: of this worker in the current epoch.
    batches_in_epoch: of this worker, those to come included.
    frames_in_epoch: 10 ms frames of those done.
    frames_before: in an epoch that was begun by other workers (another number of them), the frames that they have seen.
    streams: the recurrent state of this worker's streams.
    block: sums of this worker since the last synchronisation.
    record: sums of all workers since the last "train" record.
    notes: figures of the algorithm since then (SyncReport.notes), joined, and how many there were of each.
    recorded_fraction: of the epoch, at that record.
    parts_saved: intermediate models saved in this epoch.
    frames_before_epoch, total_frames: of all workers in the global model, at the start of the epoch and now.
    kept: model -> its validation score (FER in %, see validation.py) and the epoch that had it; these become the final models.
    accepted: number of the checkpoint of the accepted model, to which newbob returns; 0 for none.
    skipped_in_row, skipped_in_epoch: bad minibatches of this worker.
    rollbacks: of the whole training.
    """

    epoch: int = 0
    batches_done: int = 0
    batches_in_epoch: int = 0
    frames_in_epoch: int = 0
    frames_before: int = 0
    streams: State = ()
    block: Sums = field(default_factory=Sums)
    record: Sums = field(default_factory=Sums)
    notes: dict[str, tuple[float, int]] = field(default_factory=dict)
    recorded_fraction: float = 0.0
    parts_saved: int = 0
    frames_before_epoch: int = 0
    total_frames: int = 0
    kept: dict[str, tuple[float, int]] = field(default_factory=dict)
    accepted: int = 0
    skipped_in_row: int = 0
    skipped_in_epoch: int = 0
    rollbacks: int = 0

    def begin_epoch(self) -> None:
        """The last epoch is over and booked."""
        self.batches_done = self.frames_in_epoch = self.frames_before = self.parts_saved = self.skipped_in_epoch = 0
        self.streams = ()
        self.frames_before_epoch, self.recorded_fraction = self.total_frames, 0.0

    def state_dict(self) -> dict[str, Any]:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        sums = {name: values[name].values() for name in ("block", "record")}
        return {**values, **sums, "streams": list(self.streams), "kept": dict(self.kept), "notes": dict(self.notes)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        for item in fields(self):
            setattr(self, item.name, state[item.name])
        self.block, self.record = Sums(*state["block"]), Sums(*state["record"])
        self.streams = tuple(tensor.to(device) for tensor in state["streams"])
        self.kept, self.notes = dict(state["kept"]), dict(state["notes"])
