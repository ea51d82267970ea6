"""How fast this machine trains: a few minibatches of the real training, in a directory that is thrown away."""

import contextlib
import dataclasses
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from asrtool.parallel.bmuf import Bmuf
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.exchange.single_comm import SingleComm
from asrtool.parallel.exchange.summation import weighted_sum_
from asrtool.parallel.protocol import UpdateRange
from asrtool.train.config import TrainConfig
from asrtool.train.parts import Parts
from asrtool.train.run import TrainPaths, train_network

FIRST_MINIBATCHES = 5
"""Not measured: what runs for the first time compiles, allocates and reads."""
UPDATE_PARAMETERS = 1_000_000


def clock() -> float:
    """Seconds of this process: of CPU time where it computes in one thread, so that other programs do not count."""
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time() if alone else time.perf_counter()


class _Enough(Exception):
    """Everything is measured."""


class _MeasuringComm(SingleComm):
    """Adds up frames, and the time from one minibatch to the next; ends the training after `seconds` of that.

    Attributes:
        frames, seconds: of all minibatches but the first ones and those behind which something else was done: an epoch's end.
    """

    def __init__(self, seconds: float) -> None:
        self.limit_s = seconds
        self.frames, self.seconds = 0, 0.0
        self._minibatches = 0
        self._last: float | None = None

    def computed(self, num_frames: int) -> None:
        now = clock()
        self._minibatches += 1
        if self._last is not None and self._minibatches > FIRST_MINIBATCHES:
            self.frames += num_frames
            self.seconds += now - self._last
            if self.seconds >= self.limit_s:
                raise _Enough
        self._last = clock()

    def all_gather(self, tensor: Tensor) -> Tensor:
        self._last = None
        return super().all_gather(tensor)


def seconds_per_frame(
    config: TrainConfig, paths: TrainPaths, seconds: float = 5.0, train: Callable[..., None] = train_network
) -> float:
    """Seconds that one worker takes for a frame: loading it, forward, backward and the optimiser's step.

    Nothing is written to the experiment directory.

    Raises:
        AsrtoolError: as training does.
    """
    parallel = ParallelConfig(algorithm="single", sync_frames=1 << 60, ma=False, ema_alpha=[])
    schedule = dataclasses.replace(config.schedule, kind="constant")  # newbob would validate first
    config = dataclasses.replace(config, parallel=parallel, schedule=schedule, num_epochs=1_000_000, models_per_epoch=1)
    comm = _MeasuringComm(seconds)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(_Enough):
        train(config, dataclasses.replace(paths, experiment=Path(folder)), comm, prepare=_do_not_measure_models)
    return comm.seconds / comm.frames


def _do_not_measure_models(parts: Parts) -> None:
    parts.validation.from_start = False


class _TimedExchange(SingleComm):
    """Adds up the time that updates take."""

    seconds = 0.0

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        begin = clock()
        super().exchange(flat, weights, update)
        self.seconds += clock() - begin


def update_seconds_per_element(config: ParallelConfig, num_workers: int) -> float:
    """Seconds that a synchronisation of N workers takes for the sum and the update of one element of a shard.

    The update is BMUF's, with the averages that are set; those of the other algorithms take less.
    """
    model = nn.Linear(UPDATE_PARAMETERS // 1000, 1000, bias=False)
    comm, rounds = _TimedExchange(), 5
    momentum = 0.9 if config.block_momentum is None else config.block_momentum
    settings = dataclasses.replace(config, sync_frames=1, block_momentum=momentum)
    algorithm = Bmuf(dataclasses.replace(settings, exchange_dtype="float32", overlap=False, block_adam=False, warmup_frames=0))
    algorithm.attach(model, torch.optim.SGD(model.parameters(), lr=0.1), comm)
    for _ in range(2):  # the first time allocates
        comm.seconds = 0.0
        for _ in range(rounds):
            algorithm.finish()
            algorithm.after_step(1)
    piece, total = torch.ones(100_000), torch.zeros(100_000)
    begin = clock()
    for _ in range(rounds * 10):
        weighted_sum_([piece, piece], [1.0, 1.0], total)
    sum_s = (clock() - begin) / (rounds * 10 * piece.numel())
    return comm.seconds / rounds / UPDATE_PARAMETERS + (num_workers - 1) * sum_s / 2
