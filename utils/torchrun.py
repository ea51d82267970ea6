#!/usr/bin/env python3
"""Starts a training's workers on this host under torchrun, alone or together with other hosts.

    torchrun.py [options] train-nnet ...

Options:
    --num-workers N         of this host; default: its GPUs, else 2
    --num-hosts H           or MIN:MAX: goes on with fewer hosts, at least MIN, when some are lost (with --max-restarts)
    --rendezvous HOST:PORT  for several hosts: a port that is free on one of them; the same on all
    --host-rank R           of this host: 0 on that of the rendezvous; needed where it goes by several names
    --host-address A        by which the other hosts reach this one; default: its name
    --max-restarts N        a worker that dies makes all start again from the last checkpoint, so many times
    --save-s S              seconds that workers have to save and end before they are killed; default: 120

In a job of utils/slurm.py --num-hosts H the rendezvous and the host's rank come from the environment. SIGTERM, SIGINT and SIGHUP
make the workers save at their next synchronisation and end. Exit status: 0 done, 143 stopped in that
way, 1 a worker has failed.
"""

import argparse
import os
import sys

STOPPED = 143
MODULE = "asrtool.train.guard"  # starts the worker proper; see there


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("torchrun.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    environment = os.environ.get
    parser.add_argument("--num-workers", type=int)
    parser.add_argument("--num-hosts", default=environment("ASRTOOL_NUM_HOSTS", "1"))
    parser.add_argument("--rendezvous", default=environment("ASRTOOL_RENDEZVOUS"))
    parser.add_argument("--host-rank", type=int, default=environment("ASRTOOL_HOST_RANK"))
    parser.add_argument("--host-address")
    parser.add_argument("--max-restarts", type=int, default=0)
    parser.add_argument("--save-s", type=int, default=120)
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="train-nnet ...")
    given = parser.parse_args(words)
    if not given.words:
        parser.error("which command?")
    if given.num_hosts != "1" and not given.rendezvous:
        sys.exit("torchrun.py: ERROR: several hosts need --rendezvous HOST:PORT, the same on all, or train_cmd=utils/slurm.py")
    return given


def torchrun_words(given: argparse.Namespace, num_workers: int) -> list[str]:
    """The command line of torchrun."""
    words = ["--nproc-per-node", str(num_workers), "--max-restarts", str(given.max_restarts)]
    words += ["--shutdown-timeout", str(given.save_s)]
    if given.rendezvous is None:
        words.append("--standalone")
    else:
        words += ["--nnodes", given.num_hosts, "--rdzv-backend", "c10d", "--rdzv-endpoint", given.rendezvous]
        words += ["--rdzv-id", "asrtool"]
        if given.host_rank is not None:
            words += ["--rdzv-conf", f"is_host={int(given.host_rank == 0)}"]
    if given.host_address is not None:
        words += ["--local-addr", given.host_address]
    return [*words, "-m", MODULE, *given.words]


def main() -> int:
    given = parse(sys.argv[1:])

    import torch
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    num_workers = given.num_workers or torch.cuda.device_count() or 2
    threads = len(os.sched_getaffinity(0)) // num_workers
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, threads)))  # torchrun would set 1
    try:
        run.main(torchrun_words(given, num_workers))
    except SignalException as error:
        print(f"torchrun.py: stopped by signal {int(error.sigval)}", file=sys.stderr)
        return STOPPED
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        how = f"status {failure.exitcode}" if failure.exitcode >= 0 else f"signal {-failure.exitcode}"
        print(f"torchrun.py: worker {rank} was the first to fail, with {how}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
