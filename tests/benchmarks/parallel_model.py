"""The model of time (simulation/simulated_time.py) against real processes at N = 1, 2 and 4 and two speeds of the link.

usage: parallel_model.py [SECONDS_OF_ONE_BLOCK]     prints NAME ours=MODELLED reference=MEASURED ratio=... unit=s

A feed-forward network of 2.4 million parameters is trained by BMUF with MA and EMA on random frames. At N = 2 each worker is on
a host of its own, at N = 4 two are: network namespaces joined by wires of limited rate (tests/distributed/two_hosts.py; without
them only N = 1 and workers of one host are measured). In turns, blocks are trained without and with a synchronisation at the end.
The first tell how fast each worker computes, at the same N, in the same seconds; the model adds the synchronisations, by running
the real algorithm in virtual workers. Measured is the time of the second. Between the two a plain transfer in both directions
and a ping tell what the links do just then; the line "nominal" is the model with the links as they are set.

All figures are those of the median round: a block, and a synchronisation where there is one. The line "sync" compares the
synchronisations alone: the measured time beyond that of the blocks without. Where cores are shared (N = 4 on two cores) workers
that wait leave them to the others; other programs on the machine disturb both.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from statistics import median

TWO_HOSTS = Path(__file__).resolve().parents[1] / "distributed" / "two_hosts.py"
BATCH = 256
ROUNDS = 8
LINKS_MBIT = (200.0, 1000.0)
DELAY_MS = 0.5
PROBE_ELEMENTS = 2_000_000
PINGS = 5
TIME_LIMIT_S = 280


def make_model():
    import torch
    from torch import nn

    torch.manual_seed(1)
    layers = [nn.Linear(440, 512), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Linear(512, 512), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(512, 1600))


def attached(comm, model, frames: int):
    """BMUF that synchronises every `frames` frames of a worker."""
    import torch

    from asrtool.parallel import ParallelConfig, make_algorithm

    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    algorithm = make_algorithm(ParallelConfig(sync_frames=frames, block_momentum=0.5))
    algorithm.attach(model, optimizer, comm)
    return algorithm, optimizer


def probe(comm, rank: int, size: int) -> list[float]:
    """Bytes a second of a host's link, each way at once; seconds of a message, there or back."""
    import torch
    import torch.distributed as dist

    half = size // 2
    peer, sent, received = (rank + half) % size, torch.zeros(PROBE_ELEMENTS), torch.zeros(PROBE_ELEMENTS)
    comm.barrier()
    start = time.perf_counter()
    for work in (dist.irecv(received, peer), dist.isend(sent, peer)):
        work.wait()
    transfer_s = torch.tensor([time.perf_counter() - start], dtype=torch.float64)
    start = time.perf_counter()
    for number in range(2 * PINGS):
        (dist.send if (number + (rank < half)) % 2 else dist.recv)(sent[:1], peer)
    ping_s = (time.perf_counter() - start) / (2 * PINGS)
    return [half * PROBE_ELEMENTS * 4 / comm.all_gather(transfer_s).max().item(), ping_s]


def worker(rank: int, size: int, store: str, seconds: float) -> None:
    """One real worker; rank 0 prints [rounds][ranks] seconds of blocks without a sync and with one."""
    import torch
    import torch.distributed as dist
    from torch import nn

    from asrtool.parallel.exchange.comm import TorchComm
    from asrtool.parallel.exchange.single_comm import SingleComm

    torch.set_num_threads(1)
    comm = SingleComm()
    if size > 1:
        timeout = timedelta(seconds=TIME_LIMIT_S)
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timeout)
        comm = TorchComm()
    model = make_model()
    algorithm, optimizer = attached(comm, model, 1 << 60)
    inputs, labels = torch.randn(BATCH, 440), torch.randint(1600, (BATCH,))

    def train(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            algorithm.before_step()
            optimizer.step()

    train(3)
    comm.barrier()
    start = time.perf_counter()
    train(5)
    count = torch.tensor([seconds * 5 / (time.perf_counter() - start)])
    comm.all_reduce_(count)
    count = max(1, round(count.item() / size))
    algorithm.config.sync_frames = count * BATCH
    rows, links = [], []
    for number in range(ROUNDS + 1):
        comm.barrier()
        start = time.perf_counter()
        train(count)
        without_s = time.perf_counter() - start
        link = probe(comm, rank, size) if size > 1 else [1.0, 0.0]
        comm.barrier()
        start = time.perf_counter()
        train(count)
        algorithm.after_step(count * BATCH)
        with_s = time.perf_counter() - start
        if number:  # the first sync makes connections and buffers
            links.append(link)
            rows.append(comm.all_gather(torch.tensor([without_s, with_s], dtype=torch.float64)).view(size, 2).tolist())
    if rank == 0:
        print(json.dumps({"count": count, "rows": rows, "links": links}), flush=True)
    comm.barrier()


def measure(size: int, link_mbit: float | None, seconds: float) -> dict:
    """Runs the workers, on two hosts if there is a link."""
    with tempfile.TemporaryDirectory() as folder:
        begin = [sys.executable, __file__, "worker"]
        commands = [[*begin, str(rank), str(size), f"{folder}/store", str(seconds)] for rank in range(size)]
        if link_mbit is None:
            return run_all([subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands])
        with runpy.run_path(str(TWO_HOSTS))["hosts"](2, link_mbit, DELAY_MS) as network:
            hosts = [rank * 2 // size for rank in range(size)]
            return run_all([network.start(h, c, stdout=subprocess.PIPE, text=True) for h, c in zip(hosts, commands)])


def run_all(processes: list[subprocess.Popen]) -> dict:
    try:
        outputs = [process.communicate(timeout=TIME_LIMIT_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(process.returncode for process in processes):
        raise SystemExit("parallel_model: a worker failed")
    return json.loads(outputs[0])


def modelled(size: int, link_mbit: float | None, found: dict, update_s: float, nominal: bool = False) -> list[float]:
    """Seconds of each round's block with a sync: those without, and what the model of time adds."""
    from asrtool.parallel.simulation.in_process import run_workers
    from asrtool.parallel.simulation.simulated_time import Link, SimulatedTime

    frames = found["count"] * BATCH
    hosts = [0 if link_mbit is None else rank * 2 // size for rank in range(size)]

    def block(seconds: list[float], link: Link) -> float:
        def work(comm):
            algorithm, _ = attached(comm, make_model(), frames)
            algorithm.after_step(frames)
            return comm.clocks.now[comm.rank]

        rates = [one / frames for one in seconds]
        times = SimulatedTime(rates, link=link, inner=Link(5e9, 2e-5), update_s_per_element=update_s)
        return max(run_workers(size, work, times, hosts))

    links = [Link(*link) for link in found["links"]]
    if nominal:
        links = [Link(link_mbit * 1e6 / 8, DELAY_MS / 1e3)] * len(links)
    return [block([without_s for without_s, _ in row], link) for row, link in zip(found["rows"], links)]


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    from asrtool.parallel import ParallelConfig
    from asrtool.train.measure_speed import update_seconds_per_element

    missing = runpy.run_path(str(TWO_HOSTS))["missing"]()
    if missing:
        print(f"parallel_model: no hosts to measure ({missing}); workers of one host only", file=sys.stderr)
    cases = [(1, None), *((size, link) for size in (2, 4) for link in ((None,) if missing else LINKS_MBIT))]
    for size, link_mbit in cases:
        found = measure(size, link_mbit, seconds)
        update_s = update_seconds_per_element(ParallelConfig(block_momentum=0.5), size)
        ours = median(modelled(size, link_mbit, found, update_s))
        reference = median(max(with_s for _, with_s in row) for row in found["rows"])
        compute = median(max(without_s for without_s, _ in row) for row in found["rows"])
        name = f"parallel_model_{size}" + (f"_{link_mbit:.0f}mbit" if link_mbit else "")
        report(name, ours, reference)
        if size > 1:
            report(f"{name}_sync", ours - compute, max(reference - compute, 1e-9))
        if link_mbit:
            report(f"{name}_nominal", median(modelled(size, link_mbit, found, update_s, nominal=True)), reference)


def report(name: str, ours: float, reference: float) -> None:
    print(f"{name} ours={ours:.3f} reference={reference:.3f} ratio={ours / reference:.3f} unit=s", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if sys.argv[1:2] == ["worker"]:
        worker(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], float(sys.argv[5]))
    else:
        main()
