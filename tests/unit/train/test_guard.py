"""The guard of a worker: which ends it passes on."""

import os
import signal
import subprocess
import sys
import time

import pytest

RUN = "import sys; from asrtool.train import guard; sys.exit(guard.run([sys.executable, '-c', sys.argv[1]]))"
JOIN = "from asrtool.io.guard_note import *; tell_guard(JOINED); "
DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def guard(code: str, rank: int, **more) -> subprocess.Popen:
    environment = {**os.environ, "RANK": str(rank)}
    environment.pop("TORCHELASTIC_RUN_ID", None)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, code], env={**environment, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("code", "rank", "status", "message"),
    [
        ("pass", 1, 0, ""),
        (JOIN + DIE, 1, 0, "worker 1 (host"),
        (JOIN + "sys.exit(1)", 1, 0, "failed with status 1; the others go on"),
        (JOIN + DIE, 0, -signal.SIGKILL, ""),
        (DIE, 1, -signal.SIGKILL, ""),
        ("import sys; sys.exit(3)", 1, 3, ""),
        (JOIN + "tell_guard(CUT_OFF); sys.exit(1)", 1, 1, ""),
        (JOIN + "sys.exit(143)", 1, 143, ""),
    ],
    ids=["done", "killed", "failed", "killed 0", "not joined", "not joined failed", "cut off", "stopped"],
)
def test_which_ends_are_passed_on(code, rank, status, message):
    process = guard("import sys; " + code, rank)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == status
    assert message in errors if message else errors == ""
    assert errors.count("\n") == bool(message)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_worker(number):
    code = (
        JOIN
        + "import signal, sys, time; signal.signal(signal.%s, lambda *_: sys.exit(7)); print('ready', flush=True); time.sleep(60)"
    )
    process = guard(code % number.name, 1)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 7


def test_the_worker_dies_with_its_guard_and_both_with_the_launcher():
    code = "import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(60)"
    launch = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]]).wait()"
    launcher = subprocess.Popen(
        [sys.executable, "-c", launch, RUN.replace("guard.run", "guard.guarded"), code],
        env={**os.environ, "RANK": "1", "TORCHELASTIC_RUN_ID": "x"},
        stdout=subprocess.PIPE,
        text=True,
    )
    pids = [int(word) for word in launcher.stdout.readline().split()]
    launcher.kill()
    launcher.communicate()
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
