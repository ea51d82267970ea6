"""Ranks as processes that share the seconds of importing torch: one program imports, then forks them."""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence


def fork_ranks(ranks: Sequence[int], work: Callable[[int], None]) -> None:
    """Runs `work(rank)` in a process for each rank and prints their exit codes as the last line, negative for signals.

    No thread may have been started before.
    """
    children = []
    for rank in ranks:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(rank)
                code = 0
            except BaseException:  # the child must not return into its parent's program
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))


def run_forked(command: Sequence[str], time_limit_s: float) -> list[int]:
    """Runs a program that uses `fork_ranks` under a hard time limit; exit codes of its ranks."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    program = subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        return json.loads(program.communicate(timeout=time_limit_s)[0].strip().splitlines()[-1])
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.communicate()
