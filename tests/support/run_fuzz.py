"""Reads damaged files of every kind and prints what became of them.

e.g.: python tests/support/run_fuzz.py --inputs 10000
      python tests/support/run_fuzz.py --inputs 500 --only lattice --show 5
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import fuzz_kaldi
import fuzz_text
from fuzz import Outcome, Target, fuzz

HANG_S = 300  # without progress: inside a library, where the limit of processor time does not reach
MEMORY = "/dev/shm"  # a file system in memory: many thousands of files are written


def _run(target: Target, inputs: int, first: int, progress, queue) -> None:
    def started(number: int) -> None:
        progress.value = number

    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as directory:
        begin = time.process_time()
        outcome = fuzz(target, inputs, Path(directory), first, started)
        queue.put((outcome, time.process_time() - begin))


def in_a_process(target: Target, inputs: int, first: int) -> tuple[Outcome, float]:
    """A process of its own, so that a crash or a hang is told with its input."""
    context = multiprocessing.get_context("fork")
    progress, queue = context.Value("q", -1), context.Queue()
    process = context.Process(target=_run, args=(target, inputs, first, progress, queue))
    process.start()
    last = (-1, time.monotonic())
    while True:
        try:
            result = queue.get(timeout=1)
            process.join()
            return result
        except Exception:
            if progress.value != last[0]:
                last = (progress.value, time.monotonic())
            hangs = time.monotonic() - last[1] > HANG_S
            if hangs:
                process.kill()
            if hangs or not process.is_alive():
                why = "FAILED: hangs" if hangs else f"FAILED: the process ended with {process.exitcode}"
                return Outcome(failures=[(progress.value, why, b"")]), 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="damaged files a kind")
    parser.add_argument("--after", default="", help="leave out the kinds up to this one")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--only", default="", help="kinds with this in their names")
    parser.add_argument("--show", type=int, default=3, help="different failures to print a kind")
    parser.add_argument("--messages", action="store_true", help="print the refusals too")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    num_failures = 0
    print(f"{'kind':32} {'inputs':>7} {'read':>7} {'refused':>7} {'failed':>7} {'ms each':>8}")
    folder = tempfile.TemporaryDirectory()
    targets = [*fuzz_kaldi.targets(), *fuzz_text.targets(Path(folder.name))]
    names = [target.name for target in targets]
    for target in targets[names.index(options.after) + 1 if options.after else 0 :]:
        if options.only not in target.name:
            continue
        outcome, seconds = in_a_process(target, options.inputs, options.first)
        num_failures += len(outcome.failures)
        counts = f"{outcome.read:7} {outcome.refused:7} {len(outcome.failures):7} {1000 * seconds / options.inputs:8.2f}"
        print(f"{target.name:32} {options.inputs:7} {counts}", flush=True)
        shown: dict[str, tuple[int, str, bytes]] = {}
        for failure in outcome.failures:
            shown.setdefault(failure[1].rpartition(" at ")[2][:60] + failure[1][:20], failure)
        for number, why, data in list(shown.values())[: options.show]:
            print(f"    input {number}: {why[:400]}\n        {data[:160]!r}")
        if options.messages:
            print("".join(f"    {message}\n" for message in sorted(outcome.messages)), end="")
    return 1 if num_failures else 0


if __name__ == "__main__":
    sys.exit(main())
