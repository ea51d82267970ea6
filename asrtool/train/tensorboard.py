"""TensorBoard event files of a training: the same records as metrics.jsonl, as scalars.

The step of a point is the epoch times 1000, rounded: 1250 is a quarter into the second epoch, whatever the data's size and
the number of workers. Tags: train/loss, train/fer, learning_rate, frames_per_s, workers/{step,load,sync}_share (shares of the
workers' time), parallel/<figure> (bytes_sent, and the algorithm's own such as staleness_mean), valid/loss/<model>,
valid/fer/<model>, frames_seen, and events as text. FER is in %.
"""

import importlib.util
import time
from pathlib import Path
from typing import Any

from asrtool.errors import AsrtoolError

STEPS_PER_EPOCH = 1000
OF_EVERY_TRAINING = ("epoch", "loss", "fer", "frames", "targets", "frames_per_s", "learning_rate", "workers")
"""Keys of a "train" record, besides the seconds; other numbers in it are about the exchange between the workers."""


def step_of(epoch: float) -> int:
    """The step at which TensorBoard shows what happened at `epoch`."""
    return round(STEPS_PER_EPOCH * epoch)


class TensorBoardLog:
    """Writes records to an event file in `directory`; every point is on disk when `write` returns.

    A run that goes on opens a new file. What an earlier file holds from the first new point on is marked as void, and so is
    what was written before the records went back in time (a rollback): TensorBoard shows each point once.

    Args:
        directory: made when the first record comes.
        active: false on all workers but one: nothing is written.
    Raises:
        AsrtoolError: tensorboardX is not installed.
    """

    def __init__(self, directory: Path, active: bool) -> None:
        self.directory = directory
        self.active = active
        self._file = None
        self._last_step: dict[str, int] = {}  # by tag
        if active and importlib.util.find_spec("tensorboardX") is None:
            raise AsrtoolError(
                "tensorboard: true needs the package tensorboardX: pip install tensorboardX, or set tensorboard=false"
            )

    def write(self, record: dict[str, Any]) -> None:
        """Writes what a record (a line of metrics.jsonl) holds; kinds that are not known are passed over."""
        if not self.active or "epoch" not in record:
            return
        from tensorboardX import summary

        step, points = step_of(record["epoch"]), scalars(record)
        self._open(step)
        if any(step <= self._last_step.get(tag, -1) for tag in points):
            self._void_from(step)
        for tag, value in points.items():
            self._add(step, summary=summary.scalar(tag, value))
            self._last_step[tag] = step
        if record.get("kind") == "event":
            self._add(step, summary=summary.text(f"events/{record.get('what', 'event')}", str(record.get("text", ""))))
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, step: int) -> None:
        if self._file is not None:
            return
        from tensorboardX.event_file_writer import EventsWriter

        self.directory.mkdir(parents=True, exist_ok=True)
        earlier = len(list(self.directory.glob("events.out.tfevents.*")))
        # the library names files by second and machine, and would overwrite one of the same second
        self._file = EventsWriter(str(self.directory / "events"), f".{earlier:04d}")
        if earlier:
            self._void_from(step)

    def _void_from(self, step: int) -> None:
        """All points at `step` and later that were written before this are no more."""
        from tensorboardX.proto.event_pb2 import SessionLog

        self._add(step, session_log=SessionLog(status=SessionLog.START))
        self._last_step = {tag: last for tag, last in self._last_step.items() if last < step}

    def _add(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._file.write_event(Event(wall_time=time.time(), step=step, **content))


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """Tag -> value of a record."""
    kind, model = record.get("kind"), record.get("model")
    if kind == "valid":
        return {f"valid/loss/{model}": record["loss"], f"valid/fer/{model}": 100 * record["fer"]}
    if kind == "frames":
        return {"frames_seen": sum(record["seen"])}
    if kind != "train":
        return {}
    found = {"train/loss": record["loss"], "train/fer": 100 * record["fer"]}
    found |= {key: record[key] for key in ("learning_rate", "frames_per_s") if key in record}
    parts = {name: record[f"{name}_s"] for name in ("step", "load", "sync") if f"{name}_s" in record}
    total = sum(parts.values())
    others = {key: value for key, value in record.items() if key not in OF_EVERY_TRAINING and not key.endswith("_s")}
    found |= {f"parallel/{key}": value for key, value in others.items() if isinstance(value, int | float)}
    return found | ({f"workers/{name}_share": value / total for name, value in parts.items()} if total > 0 else {})
