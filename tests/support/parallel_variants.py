"""Every registered parallel algorithm, with settings that take other paths through its code, on a small model."""

import torch
from torch import nn

from asrtool.parallel import ALGORITHMS, ParallelConfig, SingleComm, make_algorithm
from asrtool.parallel.registry import needs_servers
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.parallel.simulation.simulated_time import SimulatedTime

BATCH = 4
SYNC_FRAMES = 8


def make_model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2))


# every algorithm by its name, and settings of some that take another path through the code
VARIANTS = {name: {"algorithm": name, "elastic_steps": 2} for name in ALGORITHMS} | {
    "asgd_intervals": {"algorithm": "asgd", "push_steps": 2, "fetch_steps": 3},
    "asgd_gradients": {"algorithm": "asgd", "push": "gradients", "push_steps": 2, "server_momentum": 0.5},
    "asgd_bound": {"algorithm": "asgd", "max_staleness": 1, "barrier": True},
    "easgd_barrier": {"algorithm": "easgd", "elastic_steps": 1, "barrier": True},
    "easgd_mean": {"algorithm": "easgd", "elastic_steps": 2, "evaluate": "mean"},
    "easgd_synchronous": {"algorithm": "easgd", "elastic_steps": 2, "synchronous": True},
    "easgd_synchronous_mean": {"algorithm": "easgd", "elastic_steps": 1, "synchronous": True, "evaluate": "mean"},
    "bmuf_overlap": {"algorithm": "bmuf", "overlap": True, "nesterov": True},
    "bmuf_bfloat16": {"algorithm": "bmuf", "exchange_dtype": "bfloat16"},
    "averaging_both": {"algorithm": "model_averaging", "overlap": True, "exchange_dtype": "bfloat16"},
    "bsp_overlap": {"algorithm": "bsp", "overlap": True, "bucket_mb": 1e-4},
}
EXTRA_FLATS = {"bmuf_overlap": 2.0, "bmuf_bfloat16": 1.5, "averaging_both": 2.5}  # flat buffers beyond the one that all may have
CASES = [(name, size) for name in VARIANTS for size in ([1] if name == "single" else [1, 2, 3])]


def make(name: str, comm, model: nn.Module | None = None, **settings):
    model = make_model() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    algorithm = make_algorithm(ParallelConfig(sync_frames=SYNC_FRAMES, **VARIANTS[name], **settings))
    algorithm.attach(model, optimizer, comm)
    return algorithm, model, optimizer


def workers_differ(name: str) -> bool:
    """Whether the workers' models are their own even at a sync."""
    return VARIANTS[name]["algorithm"] == "easgd"


def in_step(name: str) -> bool:
    """Whether workers that have taken equally many steps have taken part in equally many syncs."""
    config = ParallelConfig(**VARIANTS[name])
    return not needs_servers(config) or config.barrier


def take_gradient(model, optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(torch.randn(BATCH, 3, generator=generator)), torch.arange(BATCH) % 2).backward()


def step(algorithm, model, optimizer, seed: int) -> None:
    take_gradient(model, optimizer, seed)
    algorithm.before_step()
    optimizer.step()
    algorithm.after_step(BATCH)


def run(size: int, work):
    """No two virtual workers take the same time, so that the order of asynchronous requests has no ties."""
    times = SimulatedTime([1 + rank / 64 for rank in range(size)])
    return run_workers(size, work, times) if size > 1 else [work(SingleComm())]


def equal(left: dict, right: dict) -> bool:
    """Models equal to the bit; counts of mini-batches are each worker's own."""
    return list(left) == list(right) and all(torch.equal(left[key], right[key]) for key in left if "num_batches" not in key)


def assert_same_ends(lefts: list, rights: list) -> None:
    """Of all workers: model, evaluated models, frames."""
    for (model, models, frames), (model2, models2, frames2) in zip(lefts, rights, strict=True):
        assert equal(model, model2)
        assert all(equal(models[key], models2[key]) for key in models)
        assert frames == frames2
