"""BMUF, model averaging, MA and EMA against independent references on the same pseudo-gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from asrtool.parallel import ParallelConfig, SingleComm, make_algorithm
from asrtool.parallel.simulation.in_process import run_workers

NUM_WORKERS = 3
NUM_SYNCS = 9
SIZE = 37


pytestmark = pytest.mark.usefixtures("one_thread")


class Parameter(nn.Module):
    def __init__(self, dtype=torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, SIZE, dtype=dtype))


def displacement(rank: int, sync: int, dtype=torch.float32) -> torch.Tensor:
    """What worker `rank` learns in a block: any numbers will do."""
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(1000 * sync + rank), dtype=dtype) * 0.1


def run(settings: dict, num_workers: int = NUM_WORKERS, frames=lambda rank: 10, dtype=torch.float32) -> list[dict]:
    """After each sync: the models by name, and "start", the point where the workers go on."""

    def work(comm):
        model = Parameter(dtype)
        algorithm = make_algorithm(ParallelConfig(sync_frames=1, **settings))
        algorithm.attach(model, torch.optim.SGD(model.parameters(), 0.1), comm)
        history = []
        for sync in range(NUM_SYNCS):
            with torch.no_grad():
                model.weight.add_(displacement(comm.rank, sync, dtype))
            algorithm.after_step(frames(comm.rank))
            models = {name: values["weight"] for name, values in algorithm.models().items()}
            history.append({**models, "start": model.weight.detach().clone()})
        return history

    histories = run_workers(num_workers, work) if num_workers > 1 else [work(SingleComm())]
    for history in histories[1:]:
        for mine, first in zip(history, histories[0]):
            assert all(torch.equal(mine[name], first[name]) for name in first)
    return histories[0]


@pytest.mark.parametrize(
    "momentum,block_lr,nesterov",
    [(0.9, 1.0, False), (0.9, 1.0, True), (0.5, 1.0, False), (2 / 3, 0.7, False), (2 / 3, 0.7, True), (0.0, 0.5, False)],
)
def test_workers_follow_torch_sgd(momentum, block_lr, nesterov):
    """The points that the workers start from are those of torch.optim.SGD on the pseudo-gradient."""
    # block learning rate 1, classical: the same operations in the same order; else equal but for rounding
    exact = block_lr == 1 and momentum > 0 and not nesterov
    dtype, tolerance = (torch.float32, 0.0) if exact else (torch.float64, 1e-14)
    history = run({"block_momentum": momentum, "block_lr": block_lr, "nesterov": nesterov}, dtype=dtype)
    outer = nn.Parameter(torch.linspace(-1, 1, SIZE, dtype=dtype))
    optimizer = torch.optim.SGD([outer], lr=block_lr, momentum=momentum, nesterov=nesterov)
    for sync, ours in enumerate(history):
        workers = [outer.detach() + displacement(rank, sync, dtype) for rank in range(NUM_WORKERS)]
        outer.grad = outer.detach() - sum(workers) / NUM_WORKERS
        optimizer.step()
        torch.testing.assert_close(ours["start"], outer.detach(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("weighting", ["workers", "frames"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_equations_in_float64(nesterov, weighting):
    """The recurrences of the paper, written out in numpy float64, with MA and two EMAs of the global model."""
    eta, zeta, alphas = 0.8, 0.9, (0.9, 0.25)
    settings = {"block_momentum": eta, "block_lr": zeta, "nesterov": nesterov, "weighting": weighting, "ema_alpha": list(alphas)}
    history = run(settings, frames=lambda rank: 10 * (rank + 1), dtype=torch.float64)
    shares = np.arange(1, NUM_WORKERS + 1) / 6 if weighting == "frames" else np.full(NUM_WORKERS, 1 / NUM_WORKERS)
    weights = np.linspace(-1, 1, SIZE)
    start, delta = weights.copy(), np.zeros(SIZE)
    past: list[np.ndarray] = []
    ema: dict[float, np.ndarray] = {}
    for sync, ours in enumerate(history):
        mean = sum(share * (start + displacement(rank, sync, torch.float64).numpy()) for rank, share in enumerate(shares))
        delta = eta * delta + zeta * (mean - start)
        weights = weights + delta
        start = weights + eta * delta if nesterov else weights
        past.append(weights)
        ema = {alpha: alpha * ema[alpha] + (1 - alpha) * weights if ema else weights for alpha in alphas}
        expected = {"bmuf": weights, "start": start, "ma": np.mean(past, axis=0), "ema0.9": ema[0.9], "ema0.25": ema[0.25]}
        assert set(ours) == set(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(ours[name].numpy(), values, rtol=0, atol=1e-13, err_msg=f"{name}, sync {sync}")


def test_nesterov_global_model_is_not_the_look_ahead():
    history = run({"block_momentum": 0.9, "nesterov": True})
    assert (history[-1]["bmuf"] - history[-1]["start"]).abs().max() > 0.01


def test_model_averaging_is_bmuf_without_momentum():
    averaging = run({"algorithm": "model_averaging"})
    bmuf = run({"block_momentum": 0.0, "block_lr": 1.0})
    mean = sum(Parameter().weight.detach() + displacement(rank, 0) for rank in range(NUM_WORKERS)) / NUM_WORKERS
    assert torch.equal(averaging[0]["model_averaging"], mean)
    assert all(torch.equal(left["model_averaging"], right["bmuf"]) for left, right in zip(averaging, bmuf))


def test_momentum_follows_the_number_of_workers():
    assert [ParallelConfig().momentum_for(n) for n in (1, 2, 8)] == [0.0, 0.5, 0.875]
    ours, told = run({}), run({"block_momentum": 1 - 1 / NUM_WORKERS})
    assert all(torch.equal(left["bmuf"], right["bmuf"]) for left, right in zip(ours, told))


def test_long_averages_keep_their_precision():
    """2,000 syncs in float32 against float64 sums."""
    from asrtool.parallel.averaging import Averages

    generator = np.random.default_rng(0)
    values = (1 + generator.normal(size=(2000, 50))).astype(np.float32)
    averages = Averages({"ma": None, "ema": 0.99}, torch.zeros(50))
    for row in values:
        averages.advance()
        averages.follow(0, 50, torch.from_numpy(row))
    decay = 0.99 ** np.arange(1999, -1, -1.0)
    weights = np.concatenate([decay[:1], 0.01 * decay[1:]])  # the first model starts the EMA
    np.testing.assert_allclose(averages.shards["ma"].numpy(), values.astype(float).mean(0), atol=2e-6)
    np.testing.assert_allclose(averages.shards["ema"].numpy(), weights @ values.astype(float), atol=2e-6)
