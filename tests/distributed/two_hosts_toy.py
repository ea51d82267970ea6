"""The ranks of one of several "hosts" (two_hosts.py).

usage: two_hosts_toy.py train SIZE OUT RANK...    trains the scenarios of parallel_toy.py, then counts bytes on the wire
       two_hosts_toy.py lose SIZE OUT RANK...     exchanges without end; writes to OUT that it has begun
"""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import parallel_toy
import torch
import torch.distributed as dist
from forked import fork_ranks

from asrtool.parallel import make_comm
from asrtool.parallel.exchange.comm import TorchComm

SCENARIOS = ["bmuf", "nesterov"]
SHARD = 250_000
SENT = Path("/sys/class/net/wire/statistics/tx_bytes")


def train(rank: int, size: int, out: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/store", rank=rank, world_size=size, timeout=timedelta(seconds=60))
    results = {name: parallel_toy.outcome(TorchComm(), name) for name in SCENARIOS}
    results["host"] = TorchComm().host
    for kind, options in {"hierarchical": {}, "direct": {"shared_memory": False}}.items():
        comm = TorchComm(**options)
        for dtype in (torch.float32, torch.bfloat16):
            flat = comm.allocate(size * SHARD, dtype, torch.device("cpu")).fill_(1.0)
            comm.barrier()
            before = int(SENT.read_text())
            comm.barrier()
            comm.exchange(flat, [1.0] * size, lambda begin, end, total: None)
            comm.barrier()
            results[kind, dtype] = int(SENT.read_text()) - before
            assert torch.equal(flat, torch.full_like(flat, size))
    torch.save(results, out / f"rank{rank}.pt")
    comm.barrier()
    dist.destroy_process_group()


def lose(rank: int, size: int, out: Path) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), MASTER_PORT="29400", LOCAL_WORLD_SIZE="2")
    comm = make_comm(backend="gloo", lost_after_s=2.0)
    flat = comm.allocate(size * 1000, torch.float32, torch.device("cpu"))
    for step in range(1_000_000):
        comm.exchange(flat, [1.0] * size, lambda begin, end, total: None)
        if step == 3:
            (out / f"begun{rank}").touch()
        time.sleep(0.01)


if __name__ == "__main__":
    work, size, out = {"train": train, "lose": lose}[sys.argv[1]], int(sys.argv[2]), Path(sys.argv[3])
    fork_ranks([int(rank) for rank in sys.argv[4:]], lambda rank: work(rank, size, out))
