"""A training on two hosts, one of which is cut off: the other goes on alone, from the last checkpoint."""

import json
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MAKE_TOY = runpy.run_path(str(HERE / "training_toy.py"))["make_toy"]
TWO_HOSTS = runpy.run_path(str(HERE / "two_hosts.py"))
LOST_AFTER_S = 4
SETTINGS = ["num_epochs=400", f"parallel.lost_after_s={LOST_AFTER_S}", "checkpoint.every_syncs=5"]


def records(experiment: Path) -> list[dict]:
    path = experiment / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def last_epoch(experiment: Path) -> float:
    return max((record["epoch"] for record in records(experiment) if record["kind"] == "train"), default=0.0)


def wait_for_epoch(experiment: Path, epoch: float, limit_s: float) -> float:
    """Seconds until the training was there."""
    start = time.monotonic()
    while last_epoch(experiment) < epoch:
        assert time.monotonic() - start < limit_s, f"epoch {last_epoch(experiment)} after {limit_s} s, not {epoch}"
        time.sleep(0.5)
    return time.monotonic() - start


@pytest.mark.slow
def test_the_other_host_goes_on(repository, tmp_path):
    TWO_HOSTS["require"]()
    toy = MAKE_TOY(tmp_path / "toy")
    experiment = tmp_path / "exp"
    experiment.mkdir()
    with TWO_HOSTS["hosts"](2, mbit_per_s=1000, delay_ms=1) as network, open(tmp_path / "log", "w") as log:

        def command(host: int) -> list[str]:
            where = ["--host-rank", str(host), "--host-address", network.address(host)]
            where += ["--rendezvous", f"{network.address(0)}:29411", "--num-hosts", "1:2", "--num-workers", "1"]
            training = ["train-nnet", "--config", *map(str, (toy / "config.yaml", toy / "ali", toy / "train", toy / "valid"))]
            launcher = str(repository / "utils" / "torchrun.py")
            return [
                sys.executable,
                launcher,
                *where,
                "--max-restarts",
                "3",
                "--save-s",
                "10",
                *training,
                str(experiment),
                *SETTINGS,
            ]

        launchers = [network.start(host, command(host), stdout=log, stderr=subprocess.STDOUT) for host in (0, 1)]
        try:
            wait_for_epoch(experiment, 2, limit_s=120)
            assert {record["workers"] for record in records(experiment) if record["kind"] == "train"} == {2}
            network.cut_off(1)
            wait_for_epoch(experiment, last_epoch(experiment) + 3, limit_s=120)
        finally:
            for launcher in launchers:
                launcher.terminate()
            for launcher in launchers:
                try:
                    launcher.wait(20)
                except subprocess.TimeoutExpired:  # torchrun of the host that is alone
                    launcher.kill()
                    launcher.wait()
    text = (tmp_path / "log").read_text()
    assert "lost contact with rank 1" in text or "lost contact with rank 0" in text, text
    assert f"no sign of life for {LOST_AFTER_S} s" in text
    assert [record["text"] for record in records(experiment) if record["kind"] == "event"] == [
        "going on with 1 worker(s) instead of 2"
    ]
    assert [record["workers"] for record in records(experiment) if record["kind"] == "train"][-1] == 1
