"""Where the parallel algorithms keep the parameters, and how much memory they take."""

import pytest
import torch
from parallel_variants import BATCH, EXTRA_FLATS, VARIANTS, assert_same_ends, make, run, step
from torch import nn

from asrtool.parallel import Comm
from asrtool.parallel.exchange.summation import UPDATE_ELEMENTS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", list(VARIANTS))
def test_parameters_that_are_copies_not_views(name):
    """As on a GPU, where a model keeps its own memory beside the flat buffer: the same results to the bit."""

    def work(comm, copies: bool):
        algorithm, model, optimizer = make(name, comm)
        for parameter in model.parameters() if copies else ():
            parameter.data = parameter.data.clone()
        for seed in range(6 + comm.rank):
            step(algorithm, model, optimizer, 10 * seed + comm.rank)
        algorithm.finish()
        return model.state_dict(), algorithm.models(), algorithm.total_frames

    size = 1 if name == "single" else 2
    assert_same_ends(run(size, lambda comm: work(comm, False)), run(size, lambda comm: work(comm, True)))


def tensors_of(value, seen: set[int]):
    """All tensors that an object of the algorithm holds, the model, its optimiser and the comm left out."""
    if id(value) in seen or isinstance(value, nn.Module | torch.optim.Optimizer | Comm):
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_of(part, seen)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_of(part, seen)
    elif type(value).__module__.startswith("asrtool.parallel"):
        yield from tensors_of(getattr(value, "__dict__", {}), seen)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_memory_of_a_worker(name):
    """At most (3 + number of averages) * P / N and one flat buffer beyond model, gradients, optimiser, and a scratch range."""
    size, num_averages, side = (1 if name == "single" else 4), 3, 1024

    def work(comm):
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(side, side), nn.Linear(side, 1))
        algorithm, model, optimizer = make(name, comm, model, ema_alpha=[0.9, 0.99])
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(BATCH, side)).sum().mul(1e-3).backward()
            algorithm.before_step()
            optimizer.step()
            algorithm.after_step(BATCH)
        algorithm.finish()
        storages = {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors_of(algorithm, set())
        }
        for parameter in model.parameters():
            storages.pop(parameter.data.untyped_storage().data_ptr(), None)
        return sum(storages.values()), sum(parameter.numel() for parameter in model.parameters()) * 4

    for held, model_bytes in run(size, work):
        bound = (3 + num_averages) * model_bytes / size + (1 + EXTRA_FLATS.get(name, 0)) * model_bytes
        assert held <= bound + 4 * UPDATE_ELEMENTS + 4096
        assert held >= (1 + num_averages) * model_bytes / size  # they have been found
