#!/usr/bin/env python3
"""Runs a command, or one copy a job, on this machine, with a log for each (the contract of Kaldi's run.pl).

    run.py [options] [JOB=1:4] exp/log/step.JOB.log command --option JOB ...

Options: --max-jobs-run N (at most N at once; default: all), and those that matter to a cluster only (--mem,
--num-threads, --gpu, --time, --config), which are taken and passed over. Each log starts with the command and ends
with `# Ended (code N)`. The exit status is 1 if any job failed; the failed logs are named and their last lines shown.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

IGNORED = {"--mem", "--num-threads", "--gpu", "--time", "--config"}
running: set[subprocess.Popen] = set()
stopping = threading.Event()


def parse(arguments: list[str]) -> tuple[dict[str, str], str, int, int, str, list[str]]:
    """Splits the command line into options, job variable, first and last job, log name and command."""
    options: dict[str, str] = {}
    arguments = list(arguments)
    variable, first, last = "", 1, 1
    while arguments:
        if arguments[0].startswith("-"):
            if len(arguments) < 2:
                sys.exit(f"run.py: the option {arguments[0]} needs a value")
            name, value = arguments.pop(0), arguments.pop(0)
            if name not in IGNORED | {"--max-jobs-run"}:
                sys.exit(f"run.py: unknown option {name}")
            options[name] = value
        elif match := re.fullmatch(r"(\w+)=(\d+)(?::(\d+))?", arguments[0]):
            arguments.pop(0)
            variable, first = match[1], int(match[2])
            last = int(match[3] or match[2])
            if not 1 <= first <= last:
                sys.exit(f"run.py: bad job range {match[0]}: it must be FIRST:LAST with 1 <= FIRST <= LAST")
        else:
            break
    if len(arguments) < 2:
        sys.exit(__doc__)
    log = arguments.pop(0)
    if variable and last > first and variable not in log:
        sys.exit(f"run.py: the log name {log} must contain {variable}, else the jobs write to one file")
    return options, variable, first, last, log, arguments


def shell_line(words: list[str]) -> str:
    """Joins words for bash as run.pl does: a word without white space stands as it is (so `|` and `>` work)."""

    def quote(word: str) -> str:
        if re.fullmatch(r"\S+", word):
            return word
        return f'"{word}"' if '"' not in word else "'" + word.replace("'", "'\\''") + "'"

    return " ".join(map(quote, words))


def run_job(command: str, log: str) -> int:
    """Runs one job, unless all are to stop; returns its exit status."""
    if stopping.is_set():
        return 128 + signal.SIGTERM
    os.makedirs(os.path.dirname(log) or ".", exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        print(f"# {command}", f"# Started at {time.ctime()}", "#", sep="\n", file=file, flush=True)
        start = time.time()
        job = subprocess.Popen(
            ["bash", "-c", f"set -o pipefail; {command}"],
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        running.add(job)
        if stopping.is_set():  # the signal came between
            end(job)
        code = job.wait()
        running.discard(job)
        file.seek(0, os.SEEK_END)
        print(f"# Accounting: time={time.time() - start:.0f} threads=1", file=file)
        print(f"# Ended (code {code}) at {time.ctime()}", file=file)
    return code


def end(job: subprocess.Popen) -> None:
    """Sends SIGTERM to a job's process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(job.pid, signal.SIGTERM)


def stop_all(signal_number: int, _frame: object) -> None:
    """Passes the signal on to every running job's process group; those that wait never start."""
    stopping.set()
    for job in list(running):
        end(job)
    sys.exit(128 + signal_number)


def main() -> int:
    options, variable, first, last, log, words = parse(sys.argv[1:])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop_all)
    command = shell_line(words)
    jobs = range(first, last + 1)
    logs = [log.replace(variable, str(job)) if variable else log for job in jobs]
    commands = [command.replace(variable, str(job)) if variable else command for job in jobs]
    at_once = min(int(options.get("--max-jobs-run", len(jobs))), len(jobs))
    pool = ThreadPoolExecutor(max(at_once, 1))
    futures = [pool.submit(run_job, *pair) for pair in zip(commands, logs)]
    codes = [future.result() for future in futures]
    failed = [name for name, code in zip(logs, codes) if code]
    if failed:
        print(f"run.py: {len(failed)} of {len(logs)} failed, log is in {failed[0]}", file=sys.stderr)
        with open(failed[0], encoding="utf-8", errors="replace") as file:
            tail = [line.rstrip() for line in file if not line.startswith("#")][-5:]
        print(*tail, sep="\n", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
