"""Scenarios for ranks over TCP. As a script it starts ranks for the tests: torch is imported once, and each rank is a fork.

A rank leaves its outcome in OUT/rankR.pt; it touches OUT/readyR where the test is to do something to it.
"""

import ctypes
import gc
import json
import os
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from asrtool.errors import AsrtoolError
from asrtool.parallel import ParallelConfig, make_algorithm, make_comm
from asrtool.parallel.exchange import summation
from asrtool.parallel.sockets.tcp_comm import TcpComm
from asrtool.train.guard import die_with_parent

SHARD = 1000
LOST_AFTER_S = 3.0  # in the scenarios where a rank falls silent
SETTINGS = {
    "asgd": {"algorithm": "asgd", "push_steps": 2, "fetch_steps": 2},
    "easgd": {"algorithm": "easgd", "elastic_steps": 2},
}


class Adder:
    """A server that adds up what is sent and answers the sum; the last number of its header counts requests."""

    def __init__(self, pieces: dict[int, torch.Tensor]) -> None:
        self.pieces = pieces
        self.requests = 0
        self.busy = threading.Lock()

    def open(self, source: int, piece: int, header: list[float]) -> list[float]:
        assert self.busy.acquire(blocking=False), "two calls at a time"
        self.requests += 1
        self.busy.release()
        return [*(2 * number + piece for number in header[:-1]), float(self.requests)]

    def update(self, source: int, piece: int, begin: int, end: int, values: torch.Tensor) -> None:
        assert self.busy.acquire(blocking=False), "two calls at a time"
        if not self.only_fetch:
            self.pieces[piece][begin:end] += values
        values.copy_(self.pieces[piece][begin:end])
        self.busy.release()

    only_fetch = False


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def collectives(comm) -> dict:
    """Every collective method, also with weights, with bfloat16 and empty tensors."""
    rank, size = comm.rank, comm.size
    total = numbers(rank, 7, 3)
    comm.all_reduce_(total)
    wide = numbers(rank, 3, 4).double().t()  # not contiguous
    comm.all_reduce_(wide)
    chosen = numbers(rank, 5)
    comm.broadcast_(chosen, size - 1)
    weights = [0.0, 0.3, 0.7, 1.0][:size]
    results = {"sum": total, "wide": wide, "broadcast": chosen, "empty": comm.all_gather(torch.zeros(0))}
    results["gathered"] = comm.all_gather(numbers(rank, 4))
    for dtype in (torch.float32, torch.bfloat16):
        results[f"shard {dtype}"] = comm.reduce_scatter(numbers(rank, size * 9).to(dtype), weights)
        flat = comm.allocate(size * 50, dtype, torch.device("cpu"))
        flat.copy_(numbers(rank + 10, size * 50))
        comm.exchange(flat, weights, lambda begin, end, values: values.mul_(3).add_(begin))
        results[f"exchanged {dtype}"] = flat
    flat = numbers(rank, size * 50)
    comm.start_exchange(flat, [1.0] * size, lambda begin, end, values: values.neg_()).wait()
    results["started"] = flat
    comm.barrier()
    return results


def requests(comm) -> dict:
    """Requests of the ranks one after the other, so that their order is the same everywhere; then all at the same time."""
    rank, size = comm.rank, comm.size
    server = Adder({rank: numbers(rank, SHARD)})
    comm.serve(server)
    results = {}
    before = comm.bytes_sent
    for turn in range(2 * size):
        for send, receive in ((True, True), (True, False), (False, True)):
            flat = numbers(100 + rank, size * SHARD)
            server.only_fetch = not send
            comm.barrier()
            if turn % size == rank:
                results[turn, send, receive, "replies"] = comm.request(range(size), [float(turn)] * 8, flat, send, receive)
                results[turn, send, receive, "flat"] = flat
            comm.barrier()
    server.only_fetch = False
    comm.barrier()
    for _ in range(20):
        comm.request(range(size), [0.0] * 8, torch.ones(size * SHARD))  # whole numbers: any order gives the same sum
    comm.barrier()
    flat = torch.zeros(size * SHARD)
    comm.request(range(size), [0.0] * 8, flat)
    results["at once"] = flat
    comm.barrier()
    results["payload"] = comm.bytes_sent - before
    owners = [size - 1] * size  # several pieces with one owner
    if rank == size - 1:
        server.pieces = {piece: torch.full((SHARD,), float(piece)) for piece in range(size)}
    comm.barrier()
    flat = torch.zeros(size * SHARD)
    results["one owner"] = (comm.request(owners, [1.0] * 8, flat)[0][:-1], flat)
    comm.barrier()
    return results


def values_scenario(comm, out: Path) -> dict:
    return {"collectives": collectives(comm), "requests": requests(comm), "host": list(comm.host)}


def requests_scenario(comm, out: Path) -> dict:
    """Requests without end, while the test kills the last rank; then a collective method without it."""
    rank, size = comm.rank, comm.size
    comm.serve(Adder({rank: torch.zeros(200 * SHARD)}))
    flat = torch.zeros(size * 200 * SHARD)
    replies: list = [[]]
    slowest = 0.0
    for turn in range(100_000):
        before = time.monotonic()
        flat.fill_(1.0)
        replies = comm.request(range(size), [0.0] * 8, flat)
        slowest = max(slowest, time.monotonic() - before)
        if None in replies:
            break
        if turn == 20:
            (out / f"ready{rank}").touch()
    missing = [piece for piece, reply in enumerate(replies) if reply is None]
    before = list(comm.alive)
    start = time.monotonic()
    total = torch.ones(1)
    comm.all_reduce_(total)
    gathered = comm.all_gather(torch.full((2,), rank + 1.0))
    shard = comm.reduce_scatter(torch.ones(size * 2), [0.5] * size)
    message = ""
    try:
        comm.broadcast_(total, source=size - 1)
    except AsrtoolError as error:
        message = str(error)
    again = comm.request(range(size), [0.0] * 8, flat)
    comm.barrier()
    return {
        "missing": missing,
        "alive": (before, list(comm.alive)),
        "total": total.item(),
        "gathered": gathered.tolist(),
        "shard": shard.tolist(),
        "message": message,
        "again": [reply is not None for reply in again],
        "slowest": slowest,
        "collective_s": time.monotonic() - start,
    }


def waiting_scenario(comm, out: Path) -> dict:
    """All ranks ask and meet, until one of them is hurt."""
    comm.serve(Adder({comm.rank: torch.zeros(SHARD)}))
    flat = torch.zeros(comm.size * SHARD)
    for turn in range(100_000):
        try:
            comm.request(range(comm.size), [0.0] * 8, flat)
            comm.barrier()
        except AsrtoolError as error:
            return {"message": str(error), "time": time.time()}
        if len(comm.alive) < comm.size:
            return {"alive": list(comm.alive), "time": time.time()}
        if turn == 20:
            (out / f"ready{comm.rank}").touch()
    return {}


def training_scenario(comm, out: Path, name: str = "asgd") -> dict:
    """A small network learns to tell which of two halves of its input is larger; the last rank is killed on the way."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 2))
    config = ParallelConfig(sync_frames=400, ema_alpha=[0.5], **SETTINGS[name])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
    algorithm = make_algorithm(config)
    algorithm.attach(model, optimizer, comm)
    generator = torch.Generator().manual_seed(comm.rank)
    lost: list[float] = []
    algorithm.on_sync.append(lambda report: lost.append(report.notes.get("lost_workers", 0.0)))
    for step in range(300):
        inputs = torch.randn(20, 8, generator=generator)
        labels = (inputs[:, :4].sum(1) > inputs[:, 4:].sum(1)).long()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        algorithm.before_step()
        optimizer.step()
        algorithm.after_step(20)
        if step == 50:
            (out / f"ready{comm.rank}").touch()
        while step == 100 and len(comm.alive) == comm.size and comm.rank < comm.size - 1 and not (out / "killed").exists():
            time.sleep(0.01)
    algorithm.finish()
    inputs = torch.randn(2000, 8, generator=torch.Generator().manual_seed(77))
    labels = (inputs[:, :4].sum(1) > inputs[:, 4:].sum(1)).long()
    models = algorithm.models()
    with torch.no_grad():
        local = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(models[algorithm.name])
        loss = nn.functional.cross_entropy(model(inputs), labels).item()
    return {"models": models, "local": local, "loss": loss, "lost": lost, "alive": list(comm.alive)}


def asgd_scenario(comm, out: Path) -> dict:
    return training_scenario(comm, out, "asgd")


def easgd_scenario(comm, out: Path) -> dict:
    return training_scenario(comm, out, "easgd")


def gloo_scenario(out: Path) -> None:
    """A rank of a process group by torchrun's environment, waiting inside the backend for one that is silent."""
    comm = make_comm("gloo", lost_after_s=LOST_AFTER_S)
    for turn in range(100_000):
        enough = torch.tensor([float((out / "enough").exists())])
        comm.all_reduce_(enough)
        if turn == 20:
            (out / f"ready{comm.rank}").touch()
        if enough > 0:
            break
    comm.close()


def run_rank(rank: int, size: int, out: Path, scenario: str) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    if scenario == "gloo":
        gloo_scenario(out)
        return
    if scenario == "values":
        summation.UPDATE_ELEMENTS = 96  # many ranges, the last one ragged
    limit_s = LOST_AFTER_S if scenario == "waiting" else 60.0
    comm = TcpComm(dist.FileStore(str(out / "store"), size), rank, size, lost_after_s=limit_s, timeout_s=60)
    try:
        result = globals()[f"{scenario}_scenario"](comm, out)
    finally:
        comm.close()
        comm.close()
    assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
    torch.save(result, out / f"rank{rank}.pt")
    del comm
    gc.collect()  # complains of what is not closed


def enter_network(name: str) -> None:
    """This process goes into a network namespace of `ip netns`."""
    clone_newnet = 0x40000000
    with open(f"/var/run/netns/{name}") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), clone_newnet):
            raise OSError(ctypes.get_errno(), f"network namespace {name}")


def start(job: dict) -> int:
    """Forks a rank; its process."""
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    status = 1
    try:
        die_with_parent(parent)
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.environ.update(job["environment"])
        if "NAMESPACE" in os.environ:
            enter_network(os.environ["NAMESPACE"])
        run_rank(job["rank"], job["size"], Path(job["out"]), job["scenario"])
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def serve_tests() -> None:
    """A line of JSON in, a line out: {"start": JOB} -> process, {"poll": PROCESS} -> exit status (negative: signal) or null."""
    torch.optim.SGD([torch.zeros(1)], lr=0.1)  # imports more, which the ranks need not do each for itself
    for line in sys.stdin:
        command = json.loads(line)
        if "start" in command:
            answer = start(command["start"])
        else:
            pid, status = os.waitpid(command["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve_tests()
