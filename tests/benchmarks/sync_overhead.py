"""A whole BMUF sync of 13 million parameters (vote, exchange, momentum, MA, EMA) against a bare all_reduce of them on gloo.

usage: sync_overhead.py [NUM_WORKERS]     prints NAME ours=... reference=... ratio=... unit=...

The shortest of many times, the two kinds in turns, because other programs can only add to it; and the CPU time of a rank, which
they hardly change. "messages" is the exchange between hosts, without shared memory.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from datetime import timedelta

NUM_PARAMETERS = 13_000_000
REPEATS = 25


def work(rank: int, size: int, store: str, shared_memory: bool, results) -> None:
    import torch
    import torch.distributed as dist
    from torch import nn

    from asrtool.parallel import ParallelConfig, make_algorithm
    from asrtool.parallel.comm import TorchComm

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=120))
    comm = TorchComm(shared_memory=shared_memory)
    model = nn.ParameterList([nn.Parameter(torch.randn(1000, NUM_PARAMETERS // 10_000)) for _ in range(10)])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    algorithm = make_algorithm(ParallelConfig(sync_frames=1, ma=True, ema_alpha=[0.9]))
    algorithm.attach(model, optimizer, comm)
    raw = torch.zeros(NUM_PARAMETERS)
    reference_s, ours_s, reference_cpu_s, ours_cpu_s = [], [], [], []
    for _ in range(REPEATS):  # in turns, so that both see the same load
        for times, cpu_times, call in (
            (reference_s, reference_cpu_s, lambda: dist.all_reduce(raw)),
            (ours_s, ours_cpu_s, lambda: algorithm.after_step(1)),
        ):
            comm.barrier()
            start, cpu_start = time.perf_counter(), time.process_time()
            call()
            times.append(time.perf_counter() - start)
            cpu_times.append(time.process_time() - cpu_start)
    if rank == 0:
        results.put([(min(reference_s), min(ours_s)), (statistics.median(reference_cpu_s), statistics.median(ours_cpu_s))])
    comm.barrier()
    dist.destroy_process_group()


def measure(size: int, shared_memory: bool) -> list[tuple[float, float]]:
    """(seconds of all_reduce, seconds of our sync), on the clock and of CPU time."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            context.Process(target=work, args=(rank, size, f"{folder}/store", shared_memory, results)) for rank in range(size)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(300)
            worker.kill()
    if any(worker.exitcode != 0 for worker in workers):
        raise SystemExit("sync_overhead: a worker failed")
    return results.get()


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    for name, shared_memory in (("sync_overhead", True), ("sync_overhead_messages", False)):
        for suffix, (reference_s, ours_s) in zip(("", "_cpu"), measure(size, shared_memory)):
            figures = f"ours={ours_s * 1e3:.1f} reference={reference_s * 1e3:.1f} ratio={reference_s / ours_s:.2f} unit=ms"
            print(f"{name}{suffix} {figures}", flush=True)


if __name__ == "__main__":
    main()
