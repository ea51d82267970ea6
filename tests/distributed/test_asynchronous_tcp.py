"""Ranks over TCP: equal to virtual workers, and what they do when one of them dies or falls silent."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from asrtool.parallel.exchange import summation
from asrtool.parallel.simulation.in_process import run_workers

SCRIPT = Path(__file__).with_name("asynchronous_toy.py")
_spec = importlib.util.spec_from_file_location("asynchronous_toy", SCRIPT)
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

TIME_LIMIT_S = 60


class Nursery:
    """A process that has imported everything and forks ranks."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, str(SCRIPT)], stdin=pipe, stdout=pipe, env=environment, text=True)

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Ranks:
    """The processes of a scenario."""

    def __init__(
        self,
        nursery: Nursery,
        size: int,
        out: Path,
        scenario: str,
        environment: dict[str, str] | None = None,
        namespaces: list[str] | None = None,
    ) -> None:
        self.nursery, self.size, self.out = nursery, size, out
        self.logs = [out / f"log{rank}" for rank in range(size)]
        self.pids: list[int] = []
        self.ended: dict[int, int] = {}
        for rank in range(size):
            job = {"rank": rank, "size": size, "out": str(out), "scenario": scenario, "log": str(self.logs[rank])}
            place = {"NAMESPACE": namespaces[rank]} if namespaces else {}
            self.pids.append(nursery.ask(start={**job, "environment": {**(environment or {}), **place, "RANK": str(rank)}}))

    def poll(self, rank: int) -> int | None:
        """Its exit status, negative for a signal, None while it runs."""
        if rank not in self.ended:
            status = self.nursery.ask(poll=self.pids[rank])
            if status is None:
                return None
            self.ended[rank] = status
        return self.ended[rank]

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + TIME_LIMIT_S
        while any(not (self.out / f"ready{rank}").exists() for rank in range(self.size)):
            assert time.monotonic() < deadline, self.errors()
            assert all(self.poll(rank) is None for rank in range(self.size)), self.errors()
            time.sleep(0.01)

    def hurt(self, rank: int, number: int) -> float:
        """When."""
        os.kill(self.pids[rank], number)
        (self.out / "killed").touch()
        return time.time()

    def statuses(self, of: list[int] | None = None) -> list[int]:
        chosen = list(range(self.size)) if of is None else of
        deadline = time.monotonic() + TIME_LIMIT_S
        while any(self.poll(rank) is None for rank in chosen):
            assert time.monotonic() < deadline, self.errors()
            time.sleep(0.01)
        return [self.ended[rank] for rank in chosen]

    def result(self, rank: int) -> dict:
        return torch.load(self.out / f"rank{rank}.pt", weights_only=True)

    def error(self, rank: int) -> str:
        return self.logs[rank].read_text()

    def errors(self) -> str:
        return "\n".join(log.read_text() for log in self.logs)

    def end(self) -> None:
        for rank, pid in enumerate(self.pids):
            if self.poll(rank) is None:
                os.kill(pid, signal.SIGKILL)
        self.statuses()


@pytest.fixture(scope="module")
def nursery():
    with contextlib.closing(Nursery()) as process:
        yield process


@pytest.fixture
def start(nursery, tmp_path):
    with contextlib.ExitStack() as stack:

        def begin(size: int, scenario: str, **more) -> Ranks:
            ranks = Ranks(nursery, size, tmp_path, scenario, **more)
            stack.callback(ranks.end)
            return ranks

        yield begin


def assert_equal(one, other, where="") -> None:
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other), where
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, (left, right) in enumerate(zip(one, other)):
            assert_equal(left, right, f"{where}/{index}")
    else:
        assert one == other, where


@pytest.mark.parametrize("size", [2, 3])
def test_values_equal_virtual_workers(start, tmp_path, size, monkeypatch):
    ranks = start(size, "values")
    assert ranks.statuses() == [0] * size, ranks.errors()
    monkeypatch.setattr(summation, "UPDATE_ELEMENTS", 96)
    virtual = run_workers(size, lambda comm: toy.values_scenario(comm, tmp_path))
    for rank in range(size):
        real, expected = ranks.result(rank), virtual[rank]
        real["requests"].pop("payload"), expected["requests"].pop("payload")
        assert_equal(real, expected)
    assert ranks.errors().strip() == ""


def test_payload_of_requests_is_counted(start):
    ranks = start(2, "values")
    assert ranks.statuses() == [0, 0], ranks.errors()
    piece = toy.SHARD * 4
    # of 4 rounds each rank asks in 2 with three kinds of request, and in 21 more; what it asks for the other answers
    expected = (2 * 2 + 21) * piece + (2 * 2 + 21) * piece
    assert ranks.result(0)["requests"]["payload"] == expected
    assert ranks.result(1)["requests"]["payload"] == expected


def test_the_others_go_on_without_a_killed_rank(start):
    ranks = start(3, "requests")
    ranks.wait_until_ready()
    ranks.hurt(2, signal.SIGKILL)
    assert ranks.statuses() == [0, 0, -9], ranks.errors()
    for rank in range(2):
        result = ranks.result(rank)
        assert result["missing"] == [2]
        assert result["alive"][1] == [0, 1]
        assert result["total"] == 2.0
        assert result["gathered"] == [1.0, 1.0, 2.0, 2.0, 0.0, 0.0]
        assert result["shard"] == [1.0, 1.0]
        assert "rank 2" in result["message"] and "lost" in result["message"]
        assert result["again"] == [True, True, False]
        assert result["slowest"] < 5 and result["collective_s"] < 5
    assert ranks.error(0).count("WARNING: rank 2 (host") == 1
    assert ranks.error(1) == ""


def test_all_end_when_rank_0_is_killed(start):
    ranks = start(3, "waiting")
    ranks.wait_until_ready()
    when = ranks.hurt(0, signal.SIGKILL)
    assert ranks.statuses() == [-9, 0, 0], ranks.errors()
    for rank in (1, 2):
        result = ranks.result(rank)
        assert f"rank {rank} (host " in result["message"] and "lost contact with rank 0" in result["message"]
        assert "start again" in result["message"] and "\n" not in result["message"]
        assert result["time"] - when < 5


def test_a_silent_rank_is_lost_and_told_so(start):
    ranks = start(3, "waiting")
    ranks.wait_until_ready()
    when = ranks.hurt(2, signal.SIGSTOP)
    assert ranks.statuses([0, 1]) == [0, 0], ranks.errors()
    for rank in (0, 1):
        result = ranks.result(rank)
        assert result["alive"] == [0, 1]
        assert toy.LOST_AFTER_S / 2 < result["time"] - when < toy.LOST_AFTER_S + 4
    assert f"no sign of life for {toy.LOST_AFTER_S:g} s" in ranks.error(0)
    ranks.hurt(2, signal.SIGCONT)
    assert ranks.statuses([2]) == [0], ranks.errors()
    assert "lost contact with rank 0" in ranks.result(2)["message"]


def test_a_short_stop_is_no_loss(start):
    ranks = start(2, "waiting")
    ranks.wait_until_ready()
    ranks.hurt(1, signal.SIGSTOP)
    time.sleep(toy.LOST_AFTER_S / 2)
    ranks.hurt(1, signal.SIGCONT)
    time.sleep(toy.LOST_AFTER_S)
    assert [ranks.poll(0), ranks.poll(1)] == [None, None], ranks.errors()


@pytest.mark.parametrize("name", list(toy.SETTINGS))
def test_training_goes_on_without_a_killed_rank(start, name):
    ranks = start(3, name)
    ranks.wait_until_ready()
    ranks.hurt(2, signal.SIGKILL)
    assert ranks.statuses() == [0, 0, -9], ranks.errors()
    results = [ranks.result(rank) for rank in range(2)]
    for result in results:
        assert result["alive"] == [0, 1]
        assert result["lost"][-1] == 1.0
        assert result["loss"] < 0.3  # log 2 at the start
        assert_equal(result["models"], results[0]["models"])
        if name == "asgd":  # all have fetched at the last meeting
            assert_equal(result["local"], result["models"]["asgd"])


def place() -> dict[str, str]:
    """What torchrun would say."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "TORCHELASTIC_RESTART_COUNT": "3"}


def test_silence_ends_a_rank_that_waits_inside_the_backend(start):
    ranks = start(2, "gloo", environment=place())
    ranks.wait_until_ready()
    when = ranks.hurt(1, signal.SIGSTOP)
    assert ranks.statuses([0]) == [1], ranks.errors()
    assert time.time() - when < toy.LOST_AFTER_S + 5
    lines = [line for line in ranks.error(0).splitlines() if "rank 1" in line]
    assert len(lines) == 1 and f"no sign of life for {toy.LOST_AFTER_S:g} s" in lines[0] and "start again" in lines[0]


def test_watched_ranks_end_in_order(start, tmp_path):
    ranks = start(2, "gloo", environment=place())
    ranks.wait_until_ready()
    (tmp_path / "enough").touch()
    assert ranks.statuses() == [0, 0], ranks.errors()
    assert "lost" not in ranks.errors()


@pytest.fixture
def two_networks():
    """Two network namespaces with a cable between them: their names, and a function that cuts it."""
    names = [f"asrtool{os.getpid()}{side}" for side in "ab"]

    def ip(*words: str, check: bool = True) -> bool:
        return subprocess.run(["ip", *words], check=check, capture_output=True).returncode == 0

    if shutil.which("ip") is None:
        pytest.skip("`ip` is not installed")
    try:
        if os.geteuid() != 0 or not all(ip("netns", "add", name, check=False) for name in names):
            pytest.skip("network namespaces need root and `ip netns`")
        ip("-n", names[0], "link", "add", "cable", "type", "veth", "peer", "cable", "netns", names[1])
        for number, name in enumerate(names, start=1):
            ip("-n", name, "address", "add", f"10.231.77.{number}/24", "dev", "cable")
            for device in ("lo", "cable"):
                ip("-n", name, "link", "set", device, "up")
        yield names, lambda: ip("-n", names[1], "link", "set", "cable", "down")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def test_a_rank_that_is_cut_off_stops_and_the_others_go_on(start, two_networks):
    (near, far), cut = two_networks
    ranks = start(3, "waiting", environment={"MASTER_ADDR": "10.231.77.1"}, namespaces=[near, near, far])
    ranks.wait_until_ready()
    cut()
    when = time.time()
    assert ranks.statuses() == [0, 0, 0], ranks.errors()
    results = [ranks.result(rank) for rank in range(3)]
    for result in results[:2]:
        assert result["alive"] == [0, 1]
        assert result["time"] - when < toy.LOST_AFTER_S + 4
    assert "lost contact with rank 0" in results[2]["message"]
    assert f"for {toy.LOST_AFTER_S:g} s; see" in results[2]["message"]  # no sign of life, or no answer to a request
    assert results[2]["time"] - when < toy.LOST_AFTER_S + 4
