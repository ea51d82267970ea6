"""What the synchronous algorithms keep in memory, counted in the tensors that they hold."""

import gc

import pytest
import torch
from torch import nn

from asrtool.parallel import ParallelConfig, make_algorithm
from asrtool.parallel.simulation.in_process import run_workers

NUM_WORKERS = 4
NUM_AVERAGES = 3  # MA and two EMAs
MODULES = ["bmuf", "bsp", "buckets", "averaging", "flat_buffer", "buffers", "travel", "block_adam", "global_model"]
CONSTANT = 2**20  # bytes of scratch space, whatever the model's size


def tensors_of(root: object, known: set[int]) -> dict[int, int]:
    """Start of each storage that can be reached from `root` -> its bytes, without those in `known`."""
    found: dict[int, int] = {}
    visited: set[int] = set()
    waiting = [root]
    while waiting:
        thing = waiting.pop()
        if id(thing) in visited or isinstance(thing, (type, nn.Module, torch.optim.Optimizer)):
            continue
        visited.add(id(thing))
        if isinstance(thing, torch.Tensor):
            storage = thing.untyped_storage()
            if storage.data_ptr() not in known:
                found[storage.data_ptr()] = storage.nbytes()
        elif type(thing) in (dict, list, tuple) or type(thing).__module__.removeprefix("asrtool.parallel.") in MODULES:
            waiting.extend(gc.get_referents(thing))
    return found


# settings -> flat buffers beside the one that the model lives in, and shards of P/N, both of float32
CASES = {
    "model_averaging": ({"algorithm": "model_averaging"}, 0, 1),
    "bmuf": ({}, 0, 2),
    "nesterov": ({"nesterov": True, "weighting": "frames"}, 0, 2),
    "bsp": ({"algorithm": "bsp"}, 1, 1),
    "bsp_overlap": ({"algorithm": "bsp", "overlap": True, "bucket_mb": 1.0}, 1, 1),
    "overlap": ({"overlap": True}, 2, 2),
    "bfloat16": ({"exchange_dtype": "bfloat16"}, 1.5, 2),
    "both": ({"overlap": True, "exchange_dtype": "bfloat16"}, 2.5, 2),
    "block_adam": ({"block_adam": True}, 1, 4),
}


@pytest.mark.parametrize("name", CASES)
def test_memory_of_a_worker(name):
    """As the docstrings say; without the options that state more, at most one flat buffer and (3 + averages) P/N."""
    settings, flats, shards = CASES[name]

    def work(comm):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(700, 1000), nn.Linear(1000, 700))
        optimizer = torch.optim.Adam(model.parameters()) if "block_adam" in settings else torch.optim.SGD(model.parameters(), 0.1)
        algorithm = make_algorithm(ParallelConfig(sync_frames=4, ema_alpha=[0.9, 0.99], **settings))
        algorithm.attach(model, optimizer, comm)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(2, 700)).square().mean().backward()
            algorithm.before_step()
            optimizer.step()
            algorithm.after_step(4)
        known = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        held = sum(tensors_of(algorithm, known).values())
        return held, algorithm.buffer.flat.nbytes, algorithm.buffer.flat.untyped_storage().data_ptr() in known

    for held, flat, lives_there in run_workers(NUM_WORKERS, work):
        assert lives_there, "on the CPU the model's parameters are views of the flat buffer"
        stated = flats * flat + (shards + NUM_AVERAGES) * flat / NUM_WORKERS
        assert stated <= held <= stated + CONSTANT
        if not {"overlap", "exchange_dtype", "block_adam"} & set(settings) or settings.get("algorithm") == "bsp":
            assert held <= flat + (3 + NUM_AVERAGES) * flat / NUM_WORKERS
