"""Exchanges of all kinds on small buffers, with a result that shows every bit; as a script, the ranks of them on gloo.

usage: exchange_toy.py SIZE STORE OUT KIND...   (KIND from KINDS)
"""

import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from asrtool.parallel.exchange import hierarchical, summation
from asrtool.parallel.exchange.comm import TorchComm

SHARD = 103  # several messages and ranges, with ragged ends
DTYPES = [torch.float32, torch.bfloat16]
KINDS = {
    "memory": {"hosts": [0, 0, 0, 0]},
    "messages": {"hosts": [0, 1, 2, 3], "shared_memory": False},
    "native": {"hosts": [0, 0, 0, 0], "native": True},
    "two_hosts": {"hosts": [0, 0, 1, 1]},
    "two_hosts_messages": {"hosts": [0, 0, 1, 1], "shared_memory": False},
    "uneven_hosts": {"hosts": [0, 1, 1, 0]},
    "three_hosts": {"hosts": [0, 0, 1, 2]},
}


def weights_to_try(size: int) -> list[list[float]]:
    mixed = [0.25, 1.0, 1.5, 0.1][:size]
    return [[1.0] * size, [0.0, *mixed[1:]], [0.0, 0.0, *mixed[2:]], [*mixed[:1], *[0.0] * (size - 1)], [0.0] * size]


class Follower:
    """An update with state of its own, which must see each element of the shard once, in float32 at least."""

    def __init__(self, rank: int, shard: int, dtype: torch.dtype) -> None:
        self.dtype = summation.sum_dtype(dtype)
        self.state = torch.linspace(-1 - rank, 1, shard, dtype=self.dtype)
        self.seen = torch.zeros(shard)

    def __call__(self, begin: int, end: int, total: torch.Tensor) -> None:
        assert total.dtype == self.dtype and total.numel() == end - begin
        self.seen[begin:end] += 1
        self.state[begin:end].mul_(0.9).add_(total)
        total.copy_(self.state[begin:end]).mul_(1 / 3)


def outcome(comm) -> dict:
    """Name of a case -> tensors, the same on every kind of comm; and the bytes sent."""
    results = {}
    cpu = torch.device("cpu")
    for dtype in DTYPES:
        flat, other = (comm.allocate(comm.size * SHARD, dtype, cpu) for _ in range(2))
        generator = torch.Generator().manual_seed(comm.rank)
        for number, weights in enumerate(weights_to_try(comm.size)):

            def fill(buffer, weights=weights, generator=generator):
                buffer.copy_(torch.randn(buffer.numel(), generator=generator, dtype=torch.float64))
                if weights[comm.rank] == 0:
                    buffer[::7] = float("nan")  # must not be read

            case = f"{dtype} {number}"
            for name, place in (("whole", flat), ("slice", flat[comm.size * 20 : comm.size * 61])):
                fill(flat)
                follower = Follower(comm.rank, place.numel() // comm.size, dtype)
                comm.exchange(place, weights, follower)
                results[f"{case} {name}"] = [place.clone(), follower.state, follower.seen]
            fill(flat)
            results[f"{case} sum"] = [comm.reduce_scatter(flat, weights)]
            followers = [Follower(comm.rank, SHARD, dtype) for _ in range(2)]
            fill(flat)
            fill(other)
            pending = comm.start_exchange(other, weights, followers[0])
            votes = comm.all_gather(torch.tensor([float(comm.rank)]))
            comm.exchange(flat, weights, followers[1])
            pending.wait()
            results[f"{case} overlapped"] = [flat.clone(), other.clone(), votes, *(one.state for one in followers)]
    results["bytes"] = comm.bytes_sent
    return results


def main(rank: int, size: int, store: str, out: Path, kinds: list[str]) -> None:
    torch.set_num_threads(1)
    summation.UPDATE_ELEMENTS = hierarchical.UPDATE_ELEMENTS = 24
    hierarchical.MESSAGE_ELEMENTS = 20
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=60))
    results = {}
    for kind in kinds:
        options = {**KINDS[kind], "hosts": KINDS[kind]["hosts"][:size]}
        comm = TorchComm(**options)
        results[kind] = outcome(comm)
        comm._background[0].close()
    torch.save(results, out / f"rank{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    from forked import fork_ranks

    num_ranks, arguments = int(sys.argv[1]), (sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    fork_ranks(range(num_ranks), lambda rank: main(rank, num_ranks, *arguments))
