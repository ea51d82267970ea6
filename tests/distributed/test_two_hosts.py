"""Two hosts of two ranks each, as network namespaces: equal to virtual workers, fewer bytes between hosts, a host cut off."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from asrtool.parallel.simulation.in_process import run_workers

HERE = Path(__file__).parent
SCRIPT = HERE / "two_hosts_toy.py"


def _load(name: str):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


two_hosts = _load("two_hosts")
toy = _load("parallel_toy")
SIZE, HOSTS = 4, [0, 0, 1, 1]


def start(network, verb: str, out: Path) -> list[subprocess.Popen]:
    """The ranks of each host."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        network.start(host, [sys.executable, str(SCRIPT), verb, str(SIZE), str(out), *ranks], **pipes)
        for host, ranks in enumerate((["0", "1"], ["2", "3"]))
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What each rank saved."""
    two_hosts.require()
    out = tmp_path_factory.mktemp("two_hosts")
    with two_hosts.hosts(2, mbit_per_s=2000, delay_ms=0.5) as network:
        workers = start(network, "train", out)
        for worker in workers:
            codes, errors = worker.communicate(timeout=120)
            assert codes == "[0, 0]\n", errors
    return [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(SIZE)]


@pytest.mark.parametrize("scenario", ["bmuf", "nesterov"])
def test_training_equals_virtual_workers(trained, scenario):
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    references = run_workers(SIZE, lambda comm: toy.outcome(comm, scenario), hosts=HOSTS)
    torch.set_num_threads(num_threads)
    for rank, reference in enumerate(references):
        assert trained[rank]["host"] == HOSTS
        mine = trained[rank][scenario]
        assert mine["shared_memory"]
        assert mine["reports"] == reference["reports"]
        for name, model in [*mine["models"].items(), ("local", mine["local"])]:
            expected = reference["local"] if name == "local" else reference["models"][name]
            assert list(model) == list(expected)
            for key, value in model.items():
                assert torch.equal(value, expected[key]), (rank, name, key)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_between_hosts_fall_by_the_ranks_of_a_host(trained, dtype):
    piece = 250_000 * dtype.itemsize
    direct = sum(trained[rank]["direct", dtype] for rank in (0, 2)) / 2  # bytes that a host sends
    hierarchical = sum(trained[rank]["hierarchical", dtype] for rank in (0, 2)) / 2
    # a host sends: directly, its two ranks' values of two pieces and two pieces back to two ranks each; else two sums, two pieces
    overhead = 1.02  # headers of packets
    assert 8 * piece <= direct < 8 * piece * overhead + 20_000
    sums = 2 * 250_000 * 4  # of bfloat16 travel in float32
    assert sums + 2 * piece <= hierarchical < (sums + 2 * piece) * overhead + 20_000


def test_host_that_is_cut_off_ends_all_ranks_in_seconds(tmp_path):
    two_hosts.require()
    with two_hosts.hosts(2, mbit_per_s=1000, delay_ms=0.2) as network:
        workers = start(network, "lose", tmp_path)
        deadline = time.monotonic() + 100
        while not all((tmp_path / f"begun{rank}").exists() for rank in range(SIZE)):
            assert time.monotonic() < deadline and all(worker.poll() is None for worker in workers)
            time.sleep(0.05)
        network.cut_off(1)
        before = time.monotonic()
        ends = [worker.communicate(timeout=30) for worker in workers]
        assert time.monotonic() - before < 2.0 + 18.0  # lost_after_s and some seconds, more on a busy machine
    for rank, host in enumerate(HOSTS):
        codes, errors = ends[host]
        assert codes == "[1, 1]\n"
        own = [line for line in errors.splitlines() if f"rank {rank} (host host{host}): lost contact with rank" in line]
        assert own and "training goes on from the last checkpoint" in own[-1], errors


def test_a_cut_wire_is_silent_and_can_be_mended():
    two_hosts.require()
    listen = "import socket; s = socket.create_server(('', 5000)); c, _ = s.accept(); print(c.recv(9)); print(c.recv(9))"
    talk = (
        "import socket, sys; c = socket.create_connection((sys.argv[1], 5000)); c.send(b'one'); print('1', flush=True)\n"
        "sys.stdin.readline(); c.send(b'two'); print('2', flush=True); sys.stdin.readline()"
    )
    with two_hosts.hosts(3, mbit_per_s=100, delay_ms=20) as network:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        listener = network.start(2, [sys.executable, "-c", listen], **pipes)
        network.run(2, ["sh", "-c", "until grep -q ':1388 ' /proc/net/tcp; do sleep 0.02; done"])
        talker = network.start(0, [sys.executable, "-c", talk, network.address(2)], **pipes)
        assert talker.stdout.readline() == "1\n"
        assert listener.stdout.readline() == "b'one'\n"
        network.cut_off(2)
        talker.stdin.write("\n")
        assert talker.stdout.readline() == "2\n"  # no error: the sender is not told
        time.sleep(0.5)
        assert listener.poll() is None
        network.mend(2)
        assert listener.stdout.readline() == "b'two'\n"
        names = network.names
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert not any(name in left for name in names)
