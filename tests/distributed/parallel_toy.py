"""A small training that tests of the parallel algorithms share; as a script, its ranks on gloo.

usage: parallel_toy.py SIZE STORE OUT SCENARIO...   (SCENARIO: name from SCENARIOS, or a failure from FAILURES)
"""

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from asrtool.parallel import ParallelConfig, make_algorithm
from asrtool.parallel.exchange import hierarchical, summation
from asrtool.parallel.exchange.comm import TorchComm

BATCH = 8

# name -> (settings, number of mini-batches of rank r = list[r % len], (rank, step) that turns NaN or None)
SCENARIOS = {
    "bsp": ({"algorithm": "bsp", "sync_frames": 16}, [6, 3, 4], None),
    "averaging": ({"algorithm": "model_averaging", "sync_frames": 16}, [6], None),
    "bmuf": ({"sync_frames": 16, "ema_alpha": [0.5, 0.9]}, [7, 3, 12, 1], None),
    "nesterov": ({"sync_frames": 16, "nesterov": True, "block_lr": 0.9, "weighting": "frames"}, [3, 9, 2, 5], None),
    "warmup": ({"sync_frames": 16, "warmup_frames": 40, "block_momentum": 0.5}, [12, 6], None),
    "overlap": ({"sync_frames": 16, "overlap": True, "nesterov": True}, [7, 3, 12, 1], None),
    "bfloat16": ({"sync_frames": 16, "exchange_dtype": "bfloat16"}, [7, 3, 12, 1], None),
    "bsp_overlap": ({"algorithm": "bsp", "sync_frames": 16, "overlap": True, "bucket_mb": 1e-4}, [6, 3, 4], None),
    "easgd": ({"algorithm": "easgd", "synchronous": True, "sync_frames": 16, "elastic_steps": 2}, [6, 3, 4], None),
    "nan_worker": ({"sync_frames": 16, "nonfinite": "skip_worker"}, [8], (1, 3)),
    "nan_block": ({"sync_frames": 16, "nonfinite": "skip_block", "nesterov": True}, [8], (1, 3)),
}


def make_model() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 11), nn.BatchNorm1d(11), nn.Tanh(), nn.Linear(11, 4))


def train(comm, scenario: str, algorithm=None, epochs: int = 2):
    """Runs a scenario; returns (algorithm, model, reports)."""
    settings, num_batches, accident = SCENARIOS[scenario]
    model = make_model()
    with torch.no_grad():  # attach must undo this
        for parameter in model.parameters():
            parameter.add_(float(comm.rank))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    algorithm = make_algorithm(ParallelConfig(**settings)) if algorithm is None else algorithm
    algorithm.attach(model, optimizer, comm)
    reports = []
    algorithm.on_sync.append(reports.append)
    generator = torch.Generator().manual_seed(100 + comm.rank)
    for epoch in range(epochs):
        for step in range(num_batches[comm.rank % len(num_batches)]):
            inputs = torch.randn(BATCH, 6, generator=generator)
            labels = torch.randint(4, (BATCH,), generator=generator)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            algorithm.before_step()
            optimizer.step()
            if (comm.rank, step) == accident and epoch == 0:
                with torch.no_grad():
                    model[0].weight[2, 3] = float("nan")
            algorithm.after_step(BATCH)
        algorithm.finish()
    return algorithm, model, reports


def outcome(comm, scenario: str) -> dict:
    algorithm, model, reports = train(comm, scenario)
    return {
        "models": algorithm.models(),
        "local": {name: value.clone() for name, value in model.state_dict().items()},
        "reports": [vars(report) for report in reports],
        "shared_memory": getattr(getattr(comm, "_memory", None), "_buffers", []) != [],
    }


def die(comm, out: Path, overlapped: bool) -> None:
    """The last rank is killed in the middle of training; the others note how long they took to notice and what they said."""
    model = nn.Linear(30, 30)
    algorithm = make_algorithm(ParallelConfig(sync_frames=1))
    algorithm.attach(model, torch.optim.SGD(model.parameters(), 0.1), comm)
    flat = comm.allocate(comm.size * 100, torch.float32, torch.device("cpu"))
    weights = [1.0] * comm.size
    for step in range(10_000):
        if comm.rank == comm.size - 1 and step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        before = time.monotonic()
        try:
            if overlapped:
                comm.start_exchange(flat, weights, lambda begin, end, total: None).wait()
            else:
                algorithm.after_step(1)
        except Exception as error:
            torch.save((type(error).__name__, str(error), time.monotonic() - before), out / f"died{comm.rank}.pt")
            os._exit(0)  # the process group is broken: nothing to close


def main(rank: int, size: int, store: str, out: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    summation.UPDATE_ELEMENTS = hierarchical.UPDATE_ELEMENTS = 24  # many ranges and messages, with ragged ends
    hierarchical.MESSAGE_ELEMENTS = 20
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=60))
    results = {}
    for name in names:
        if name.startswith("die"):
            die(TorchComm(shared_memory=name != "die_in_messages"), out, overlapped=name == "die_overlapped")
        for kind, options in {"memory": {}, "messages": {"shared_memory": False}, "native": {"native": True}}.items():
            results[name, kind] = outcome(TorchComm(**options), name)
    torch.save(results, out / f"rank{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    from forked import fork_ranks

    num_ranks, arguments = int(sys.argv[1]), (sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    fork_ranks(range(num_ranks), lambda rank: main(rank, num_ranks, *arguments))
