"""steps/nnet/train.sh through utils/slurm.py: two "hosts" of a fake Slurm that runs the scripts on this machine."""

import os
import runpy
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

MAKE_TOY = runpy.run_path(str(Path(__file__).parents[1] / "distributed" / "training_toy.py"))["make_toy"]
SBATCH = """#!/usr/bin/env python3
# Runs the script; again when it has asked for it. What scancel sends goes to the script.
import os, signal, subprocess, sys
from pathlib import Path
fake = Path(os.environ["FAKE_SLURM"])
print("77;cluster", flush=True)
text = Path(sys.argv[-1]).read_text()
nodes = [line.split("=")[1] for line in text.splitlines() if line.startswith("#SBATCH --nodes=")][0].split("-")[-1]
for attempt in range(3):
    (fake / "requeue").unlink(missing_ok=True)
    more = {"SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": nodes, "SLURM_JOB_NODELIST": "node[1-2]"}
    more["SLURM_RESTART_COUNT"] = str(attempt)
    job = subprocess.Popen(["bash", sys.argv[-1]], env={**os.environ, **more}, start_new_session=True)
    (fake / "batch_pid").write_text(str(job.pid))
    while job.poll() is None:
        if (fake / "requeue").exists():
            os.killpg(job.pid, signal.SIGKILL)
        try:
            job.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
    if not (fake / "requeue").exists():
        sys.exit(job.returncode)
"""
SRUN = """#!/usr/bin/env python3
# One task a host, on this machine; passes SIGTERM on; the highest exit status.
import os, signal, subprocess, sys
words = [word for word in sys.argv[1:] if not word.startswith("--")]
tasks = [subprocess.Popen(words, env={**os.environ, "SLURM_NODEID": str(node)}, start_new_session=True)
         for node in range(int(os.environ["SLURM_JOB_NUM_NODES"]))]
signal.signal(signal.SIGTERM, lambda *_: [os.killpg(task.pid, signal.SIGTERM) for task in tasks])
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = """#!/bin/bash
case "$1 $2" in
  "show hostnames") echo localhost; echo node2 ;;
  "requeue 77") touch "$FAKE_SLURM/requeue" ;;
  *) exit 1 ;;
esac
"""
SCANCEL = """#!/bin/bash
[ "$*" = "--signal=TERM --batch 77" ] && kill -TERM "$(cat "$FAKE_SLURM/batch_pid")"
"""
TIME_LIMIT_S = 100


@pytest.fixture
def recipe(tmp_path, repository):
    """A recipe directory with the toy task, and the fake Slurm on its path."""
    for name in ("steps", "utils", "conf"):
        (tmp_path / name).symlink_to(repository / name)
    fake = tmp_path / "slurm"
    fake.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL), ("scancel", SCANCEL)):
        (fake / name).write_text(text)
        (fake / name).chmod(0o755)
    path = f"{fake}:{repository}/.venv/bin:$PATH"
    (tmp_path / "path.sh").write_text(f"export PATH={path} PYTHONWARNINGS=ignore FAKE_SLURM={fake}\n")
    return MAKE_TOY(tmp_path / "toy", num_utterances=40).parent


def start(recipe: Path, *settings: str) -> subprocess.Popen:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    options = ["--num-hosts", "2", "--num-workers", "1", "--nnet-config", "toy/config.yaml"]
    command = ["steps/nnet/train.sh", "--cmd", f"utils/slurm.py --partition gpu --port {port}", *options]
    command += ["toy/ali", "toy/train", "toy/valid", "exp", *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=recipe, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + TIME_LIMIT_S
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.02)


def test_a_preempted_job_is_requeued_and_goes_on(recipe):
    process = start(recipe, "num_epochs=6")
    wait_for(recipe / "exp" / "models" / "ma" / "1.2.pt", process)
    os.kill(int((recipe / "slurm/batch_pid").read_text()), signal.SIGTERM)
    _, error = process.communicate(timeout=TIME_LIMIT_S)
    log = (recipe / "exp/log/train.log").read_text()
    assert process.returncode == 0, error + log
    assert "done: final_bmuf.pt final_ema.pt final_ma.pt in exp" in error
    assert log.count("# Started at") == 2 and "stopped on request; the same command goes on from here" in log
    assert "going on from the checkpoint at epoch" in log and "2 worker(s)" in log and log.count("# Ended (code 0)") == 1
    script = (recipe / "exp/log/train.log.sh").read_text()
    for line in ("--partition=gpu", "--nodes=2", "--ntasks-per-node=1", "--requeue", "--signal=B:TERM@180"):
        assert f"#SBATCH {line}\n" in script


def test_what_is_told_to_stop_is_not_requeued(recipe):
    """A command that would be requeued for its status 143 is not, when it was slurm.py that was stopped."""
    (recipe / "task.sh").write_text('trap "exit 143" TERM; touch started.$ASRTOOL_HOST_RANK; while :; do sleep 0.05; done\n')
    command = "utils/slurm.py --num-hosts 2 log/x.log exec bash task.sh"
    script = ["bash", "-c", f". ./path.sh; exec {command}"]
    process = subprocess.Popen(script, cwd=recipe, stderr=subprocess.PIPE, text=True)
    wait_for(recipe / "started.0", process)
    wait_for(recipe / "started.1", process)
    process.terminate()
    _, error = process.communicate(timeout=TIME_LIMIT_S)
    log = (recipe / "log/x.log").read_text()
    assert process.returncode == 1 and "jobs failed (sbatch says 143)" in error, error
    assert log.count("# Started at") == 1 and "# Ended (code 143)" in log


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--num-hosts 2", "--num-hosts 2 needs --rendezvous HOST:PORT, or utils/slurm.py as train_cmd"),
        ("--num-hosts 2:x --rendezvous a:1", "--num-hosts takes a number from 1, not 'x'"),
        ("--max-restarts -1", "--max-restarts takes a number from 0, not '-1'"),
    ],
)
def test_bad_options_about_hosts(recipe, words, message):
    command = f"steps/nnet/train.sh --nnet-config toy/config.yaml {words} toy/ali toy/train toy/valid exp"
    result = subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and message in result.stderr
