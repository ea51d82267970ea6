"""Push and fetch of 13 million parameters at the servers of all ranks against a bare all_reduce of the same bytes on gloo.

usage: server_requests.py [NUM_WORKERS]     prints NAME ours=... reference=... ratio=... unit=...

All ranks ask at the same time, each for all pieces, as asgd does after a step; the servers add what they get and answer the sum.
The shortest of many times, the two kinds in turns, because other programs can only add to it, and the CPU time of a rank.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from datetime import timedelta

NUM_PARAMETERS = 13_000_000
REPEATS = 25


def work(rank: int, size: int, folder: str, results) -> None:
    import torch
    import torch.distributed as dist

    from asrtool.parallel.sockets.tcp_comm import TcpComm

    class Sum:
        def __init__(self, shard_size: int) -> None:
            self.values = torch.zeros(shard_size)

        def open(self, source, piece, header):
            return header

        def update(self, source, piece, begin, end, values):
            values.copy_(self.values[begin:end].add_(values))

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/gloo", rank=rank, world_size=size, timeout=timedelta(seconds=120)
    )
    comm = TcpComm(dist.FileStore(f"{folder}/tcp", size), rank, size)
    shard_size = -(-NUM_PARAMETERS // size)
    flat = comm.allocate(size * shard_size, torch.float32, torch.device("cpu"))
    comm.serve(Sum(shard_size))
    raw = torch.zeros(size * shard_size)
    reference_s, ours_s, reference_cpu_s, ours_cpu_s = [], [], [], []
    for _ in range(REPEATS):  # in turns, so that both see the same load
        for times, cpu_times, call in (
            (reference_s, reference_cpu_s, lambda: dist.all_reduce(raw)),
            (ours_s, ours_cpu_s, lambda: comm.request(range(size), [0.0] * 8, flat)),
        ):
            comm.barrier()
            start, cpu_start = time.perf_counter(), time.process_time()
            call()
            times.append(time.perf_counter() - start)
            comm.barrier()  # the others' requests are answered too
            cpu_times.append(time.process_time() - cpu_start)
    if rank == 0:
        results.put([(min(reference_s), min(ours_s)), (statistics.median(reference_cpu_s), statistics.median(ours_cpu_s))])
    comm.barrier()
    comm.close()
    dist.destroy_process_group()


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        workers = [context.Process(target=work, args=(rank, size, folder, results)) for rank in range(size)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(300)
            worker.kill()
    if any(worker.exitcode != 0 for worker in workers):
        raise SystemExit("server_requests: a worker failed")
    for suffix, (reference_s, ours_s) in zip(("", "_cpu"), results.get()):
        figures = f"ours={ours_s * 1e3:.1f} reference={reference_s * 1e3:.1f} ratio={reference_s / ours_s:.2f} unit=ms"
        print(f"server_requests{suffix} {figures}", flush=True)


if __name__ == "__main__":
    main()
