"""Synchronous training against one worker that sees all mini-batches at once."""

import pytest
import torch
from torch import nn

from asrtool.errors import AsrtoolError
from asrtool.parallel import ParallelConfig, make_algorithm
from asrtool.parallel.in_process import run_workers

BATCH = 6


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny operations on several threads of a busy machine only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    return model, torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)


def batch(rank: int, epoch: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 * rank + 100 * epoch + step)
    return torch.randn(BATCH, 4, generator=generator, dtype=torch.float64), torch.randint(3, (BATCH,), generator=generator)


def loss_of(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(model(inputs), labels)


@pytest.mark.parametrize("num_steps", [[5, 5, 5], [2, 6, 4], [0, 3, 1]])
def test_equals_one_worker_on_all_data(num_steps):
    """Uneven ends too: the mean is over the workers that still have data, and nobody's momentum is left behind."""

    def work(comm):
        model, optimizer = make()
        algorithm = make_algorithm(ParallelConfig(algorithm="bsp", sync_frames=3 * BATCH))
        algorithm.attach(model, optimizer, comm)
        for epoch in range(3):
            for step in range(num_steps[comm.rank]):
                optimizer.zero_grad()
                loss_of(model, *batch(comm.rank, epoch, step)).backward()
                algorithm.before_step()
                optimizer.step()
                algorithm.after_step(BATCH)
            algorithm.finish()
        return algorithm.global_parameters(), model.state_dict()

    results = run_workers(3, work)
    model, optimizer = make()
    for epoch in range(3):
        for step in range(max(num_steps)):
            active = [rank for rank in range(3) if step < num_steps[rank]]
            optimizer.zero_grad()
            (sum(loss_of(model, *batch(rank, epoch, step)) for rank in active) / len(active)).backward()
            optimizer.step()
    for found, local in results:
        assert all(torch.equal(found[name], local[name]) for name in found)
        for name, value in model.state_dict().items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-13)


@pytest.mark.parametrize("policy", ["skip_worker", "skip_block", "raise"])
def test_nonfinite_gradient(policy):
    def work(comm):
        model, optimizer = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        algorithm = make_algorithm(ParallelConfig(algorithm="bsp", sync_frames=BATCH, nonfinite=policy))
        algorithm.attach(model, optimizer, comm)
        before = model[2].bias.detach().clone()
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, float("nan") if comm.rank == 1 else 1.0 + comm.rank)
        algorithm.before_step()
        optimizer.step()
        algorithm.after_step(BATCH)
        algorithm.finish()
        return before - algorithm.global_parameters()["2.bias"]

    if policy == "raise":
        with pytest.raises(AsrtoolError, match="of rank 1"):
            run_workers(3, work)
    else:
        for moved in run_workers(3, work):
            torch.testing.assert_close(moved, torch.full_like(moved, 2.0 if policy == "skip_worker" else 0.0))
