"""Plain training on one worker, with the same averages and the same code path as the parallel algorithms."""

import torch
from torch import nn

from asrtool.errors import AsrtoolError
from asrtool.parallel.bmuf import ModelAveraging
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.protocol import Comm


class Single(ModelAveraging):
    """Model averaging over one worker: a sync takes the worker's parameters as they are and lets MA and EMA follow."""

    name = "single"

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__(config)
        self.config.warmup_frames = 0

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        if comm.size != 1:
            raise AsrtoolError(f"algorithm 'single' is for one worker, not {comm.size}; choose bmuf or model_averaging")
        super().attach(model, optimizer, comm)
