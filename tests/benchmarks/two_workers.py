"""Throughput of two single-thread BMUF workers against one, at 60,000 frames a worker between syncs.

usage: two_workers.py [SECONDS_OF_ONE_BLOCK]     prints NAME ours=... reference=... ratio=... unit=...

A feed-forward network of 13 million parameters is trained on random frames. A block of 60,000 of its frames takes
minutes on one core, so each run trains for some seconds and then does one sync, and the sync's time is charged in
proportion: block time = 60,000 / (measured frames/s while both train) + measured sync. The line "cpu" has frames a second of CPU
time of a worker, for machines on which other programs run. "two_apart" are two workers that know nothing of each other: what the
machine itself gives two processes.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from datetime import timedelta

SYNC_FRAMES = 60_000
BATCH = 256
ROUNDS = 3


def work(rank: int, size: int, store: str, seconds: float, apart: bool, results) -> None:
    import torch
    import torch.distributed as dist
    from torch import nn

    from asrtool.parallel import ParallelConfig, SingleComm, make_algorithm
    from asrtool.parallel.exchange.comm import TorchComm

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=120))
    comm = SingleComm() if size == 1 or apart else TorchComm()
    layers = [nn.Linear(440, 1024), nn.ReLU()]
    for _ in range(9):
        layers += [nn.Linear(1024, 1024), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(1024, 3000))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    algorithm = make_algorithm(ParallelConfig(sync_frames=1 << 60, block_momentum=0.5))
    algorithm.attach(model, optimizer, comm)
    inputs, labels = torch.randn(BATCH, 440), torch.randint(3000, (BATCH,))

    def train(seconds: float) -> tuple[float, float]:
        """Frames/s of this worker, on the clock and of CPU time."""
        start, cpu_start, frames = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < seconds:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            algorithm.before_step()
            optimizer.step()
            algorithm.after_step(BATCH)
            frames += BATCH
        return frames / (time.perf_counter() - start), frames / (time.process_time() - cpu_start)

    train(0.5)
    rates, syncs = [], []
    for _ in range(ROUNDS):
        dist.barrier()
        rates.append(train(seconds))
        dist.barrier()  # waiting for the other's last mini-batch is not the sync's cost
        start = time.perf_counter()
        algorithm.finish()
        syncs.append(time.perf_counter() - start)
    clock, cpu = zip(*rates)
    results.put((max(clock), statistics.median(cpu), min(syncs)))
    dist.barrier()
    dist.destroy_process_group()


def throughput(size: int, seconds: float, apart: bool = False) -> list[float]:
    """Frames/s of all workers together, syncs included: on the clock and of CPU time."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        arguments = [(rank, size, f"{folder}/store", seconds, apart, results) for rank in range(size)]
        workers = [context.Process(target=work, args=each) for each in arguments]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(300)
            worker.kill()
    if any(worker.exitcode != 0 for worker in workers):
        raise SystemExit("two_workers: a worker failed")
    measured = [results.get() for _ in range(size)]
    sync_s = max(row[2] for row in measured)
    return [size * SYNC_FRAMES / (max(SYNC_FRAMES / row[kind] for row in measured) + sync_s) for kind in (0, 1)]


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    one, two, apart = throughput(1, seconds), throughput(2, seconds), throughput(2, seconds, apart=True)
    for suffix, together, without, reference in zip(("", "_cpu"), two, apart, one):
        for name, ours in (("two_workers", together), ("two_apart", without)):
            print(f"{name}{suffix} ours={ours:.0f} reference={reference:.0f} ratio={ours / reference:.2f} unit=frames/s")


if __name__ == "__main__":
    main()
