"""Exchanges between real processes against virtual workers in one process and against sums in float64."""

import functools
import importlib.util
from pathlib import Path

import pytest
import torch

from asrtool.parallel.simulation.in_process import run_workers

HERE = Path(__file__).parent
SCRIPT = HERE / "exchange_toy.py"


def _load(name: str):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


toy, run_forked = _load("exchange_toy"), _load("forked").run_forked


SIZE = 4


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """[rank][kind][case] of processes."""
    out = tmp_path_factory.mktemp("exchange")
    assert run_forked([str(SCRIPT), str(SIZE), str(out / "store"), str(out), *toy.KINDS], 180) == [0] * SIZE
    return [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(SIZE)]


@functools.cache
def virtual(hosts: tuple[int, ...]) -> list[dict]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    results = run_workers(SIZE, toy.outcome, hosts=hosts)
    torch.set_num_threads(num_threads)
    return results


@pytest.mark.parametrize("kind", toy.KINDS)
def test_processes_equal_virtual_workers(real, kind):
    for rank, reference in enumerate(virtual(tuple(toy.KINDS[kind]["hosts"]))):
        for case, tensors in real[rank][kind].items():
            if case == "bytes":
                continue
            exact = kind != "native" or "bfloat16" in case  # the backend's own sum of four has another order
            for got, expected in zip(tensors, reference[case], strict=True):
                if exact:
                    assert torch.equal(got, expected), (rank, case)
                else:
                    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
        if kind != "two_hosts_messages":  # without shared memory more goes between hosts
            assert real[rank][kind]["bytes"] == reference["bytes"]


def test_sums_are_those_of_float64(real):
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 1e-2)):
        generators = [torch.Generator().manual_seed(rank) for rank in range(SIZE)]
        for number, weights in enumerate(toy.weights_to_try(SIZE)):
            for _ in range(2):
                [torch.randn(SIZE * toy.SHARD, generator=generator, dtype=torch.float64) for generator in generators]
            values = [torch.randn(SIZE * toy.SHARD, generator=generator, dtype=torch.float64) for generator in generators]
            for _ in range(2):
                [torch.randn(SIZE * toy.SHARD, generator=generator, dtype=torch.float64) for generator in generators]
            total = sum(weight * value.to(dtype).double() for weight, value in zip(weights, values))
            for rank in range(SIZE):
                got = real[rank]["messages"][f"{dtype} {number} sum"][0]
                own = total[rank * toy.SHARD : (rank + 1) * toy.SHARD]
                torch.testing.assert_close(got.double(), own, rtol=0, atol=4 * tolerance)
                whole, _, seen = real[rank]["messages"][f"{dtype} {number} whole"]
                assert torch.equal(seen, torch.ones(toy.SHARD))
                assert whole.dtype == dtype and torch.equal(whole, real[0]["messages"][f"{dtype} {number} whole"][0])
