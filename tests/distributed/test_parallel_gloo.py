"""Real processes on gloo against virtual workers in one process; dead peers."""

import importlib.util
from pathlib import Path

import pytest
import torch

from asrtool.parallel.simulation.in_process import run_workers

HERE = Path(__file__).parent
SCRIPT = HERE / "parallel_toy.py"


def _load(name: str):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


toy, run_forked = _load("parallel_toy"), _load("forked").run_forked


def launch(size: int, out: Path, names: list[str], time_limit_s: float = 120) -> list[int]:
    """Runs the ranks as processes under a hard time limit; exit codes."""
    return run_forked([str(SCRIPT), str(size), str(out / "store"), str(out), *names], time_limit_s)


@pytest.fixture(
    scope="module",
    params=[(2, list(toy.SCENARIOS)), (4, ["bmuf", "bsp_overlap"])],
    ids=["2", "4"],
)
def gloo_and_virtual(request, tmp_path_factory):
    """Outcomes of the scenarios: [rank][scenario, kind of exchange] on gloo, [scenario][rank] in one process."""
    size, names = request.param
    out = tmp_path_factory.mktemp(f"gloo{size}")
    assert launch(size, out, names) == [0] * size
    real = [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(size)]
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    virtual = {name: run_workers(size, lambda comm, name=name: toy.outcome(comm, name)) for name in names}
    torch.set_num_threads(num_threads)
    return size, real, virtual


KINDS = ["memory", "messages", "native"]


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], exact: bool = True) -> None:
    assert list(left) == list(right)
    for name in left:
        if exact:
            assert torch.equal(left[name], right[name]), name
        else:
            torch.testing.assert_close(left[name], right[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_processes_equal_virtual_workers(gloo_and_virtual, kind):
    size, real, virtual = gloo_and_virtual
    exact = kind != "native" or size == 2  # the backend's own sum of four has another order
    for scenario, references in virtual.items():
        for rank, reference in enumerate(references):
            mine = real[rank][scenario, kind]
            assert mine["shared_memory"] == (kind == "memory")
            assert mine["reports"] == reference["reports"] == references[0]["reports"]
            for name, model in mine["models"].items():
                assert_same(model, reference["models"][name], exact)
            assert_same(mine["local"], reference["local"], exact)


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_agree_at_the_end(gloo_and_virtual, kind):
    size, real, virtual = gloo_and_virtual
    for scenario in virtual:
        first = real[0][scenario, kind]["models"]
        for rank in range(1, size):
            for name, model in real[rank][scenario, kind]["models"].items():
                for key in (key for key in model if "num_batches" not in key):  # a count of the worker's own
                    assert torch.equal(model[key], first[name][key]), (scenario, name, key)


@pytest.mark.parametrize("how", ["die_in_memory", "die_in_messages", "die_overlapped"])
def test_killed_peer_is_noticed_in_seconds(tmp_path, how):
    assert launch(2, tmp_path, [how], time_limit_s=40) == [0, -9]
    kind, message, seconds = torch.load(tmp_path / "died0.pt", weights_only=True)
    assert kind == "AsrtoolError"
    assert "rank 0: lost contact with" in message
    assert "\n" not in message
    assert seconds < 5
