"""A whole BMUF sync of 13 million parameters (vote, exchange, momentum, MA, EMA) against a bare all_reduce of them on gloo.

usage: sync_overhead.py [NUM_WORKERS]     prints NAME ours=... reference=... ratio=... unit=...

The shortest of many times, the two kinds in turns, because other programs can only add to it; and the CPU time of a rank, which
they hardly change. "messages" is the exchange between hosts, without shared memory, over the loopback: both kinds are then bound
by the processors, which copy every byte four times, and the update comes on top. "link" is the same on a wire of 1 Gbit/s between
two hosts (tests/distributed/two_hosts.py; needs root), where the update is done while messages arrive.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

NUM_PARAMETERS = 13_000_000
REPEATS = 25
REPEATS_LINK = 4
TWO_HOSTS = Path(__file__).parent.parent / "distributed" / "two_hosts.py"


def work(rank: int, size: int, store: str, shared_memory: bool, repeats: int) -> None:
    """One rank; rank 0 prints the seconds: [[all_reduce, ours] on the clock, the same of CPU time]."""
    import torch
    import torch.distributed as dist
    from torch import nn

    from asrtool.parallel import ParallelConfig, make_algorithm
    from asrtool.parallel.exchange.comm import TorchComm

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=120))
    comm = TorchComm(shared_memory=shared_memory)
    model = nn.ParameterList([nn.Parameter(torch.randn(1000, NUM_PARAMETERS // 10_000)) for _ in range(10)])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    algorithm = make_algorithm(ParallelConfig(sync_frames=1, ma=True, ema_alpha=[0.9]))
    algorithm.attach(model, optimizer, comm)
    raw = torch.zeros(NUM_PARAMETERS)
    calls = [lambda: dist.all_reduce(raw), lambda: algorithm.after_step(1)]
    seconds, cpu_seconds = [[], []], [[], []]
    for _ in range(repeats + 1):  # in turns, so that both see the same load
        for kind, call in enumerate(calls):
            comm.barrier()
            start, cpu_start = time.perf_counter(), time.process_time()
            call()
            seconds[kind].append(time.perf_counter() - start)
            cpu_seconds[kind].append(time.process_time() - cpu_start)
    if rank == 0:  # the first ones open connections
        print(json.dumps([[min(kind[1:]) for kind in seconds], [statistics.median(kind[1:]) for kind in cpu_seconds]]))
    comm.barrier()
    dist.destroy_process_group()


def measure(size: int, shared_memory: bool, network=None) -> list[list[float]]:
    """What `work` prints; with a network each rank is on a host of its own."""
    with tempfile.TemporaryDirectory() as folder:
        repeats = REPEATS if network is None else REPEATS_LINK
        options = [str(size), f"{folder}/store", str(int(shared_memory)), str(repeats)]
        commands = [[sys.executable, __file__, "rank", str(rank), *options] for rank in range(size)]
        pipe = {"stdout": subprocess.PIPE, "text": True}
        if network is None:
            workers = [subprocess.Popen(command, **pipe) for command in commands]
        else:
            workers = [network.start(rank, command, **pipe) for rank, command in enumerate(commands)]
        try:
            outputs = [worker.communicate(timeout=300)[0] for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
    if any(worker.returncode != 0 for worker in workers):
        raise SystemExit("sync_overhead: a worker failed")
    return json.loads(outputs[0])


def report(name: str, measured: list[list[float]]) -> None:
    for suffix, (reference_s, ours_s) in zip(("", "_cpu"), measured):
        figures = f"ours={ours_s * 1e3:.1f} reference={reference_s * 1e3:.1f} ratio={reference_s / ours_s:.2f} unit=ms"
        print(f"{name}{suffix} {figures}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["rank"]:
        rank, size, store, shared_memory, repeats = sys.argv[2:]
        work(int(rank), int(size), store, shared_memory == "1", int(repeats))
        return
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    report("sync_overhead", measure(size, shared_memory=True))
    report("sync_overhead_messages", measure(size, shared_memory=False))
    spec = importlib.util.spec_from_file_location("two_hosts", TWO_HOSTS)
    two_hosts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(two_hosts)
    reason = two_hosts.missing()
    if reason is not None:
        print(f"sync_overhead_link: not measured: {reason}", file=sys.stderr)
        return
    with two_hosts.hosts(size, mbit_per_s=1000, delay_ms=0.1) as network:
        report("sync_overhead_link", measure(size, shared_memory=False, network=network))


if __name__ == "__main__":
    main()
