"""Optimisers against formulas in float64, and under every parallel algorithm."""

import copy
import math

import numpy as np
import pytest
import torch

from asrtool.optim.optimizer import OptimizerConfig, clip_gradients, make_optimizer, parameter_groups, set_learning_rate
from asrtool.parallel import ALGORITHMS, ParallelConfig, SingleComm, make_algorithm
from asrtool.parallel.simulation.in_process import run_workers

STEPS = [(0.1, 2.0), (0.2, -1.0), (0.2, 0.5), (0.05, -3.0)]


def linear(weight: float = 1.0) -> torch.nn.Linear:
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.constant_(model.weight, weight)
    return model


def trained(config: OptimizerConfig) -> float:
    model = linear()
    optimizer = make_optimizer(config, model, 0.0)
    for rate, gradient in STEPS:
        set_learning_rate(optimizer, rate)
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
    return model.weight.item()


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_sgd_by_hand(nesterov):
    weight, velocity = 1.0, 0.0
    for rate, gradient in STEPS:
        gradient += 0.1 * weight
        velocity = 0.5 * velocity + gradient
        weight -= rate * (gradient + 0.5 * velocity if nesterov else velocity)
    config = OptimizerConfig(momentum=0.5, weight_decay=0.1, nesterov=nesterov)
    assert trained(config) == pytest.approx(weight, rel=1e-12)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_by_hand(kind):
    """Kingma and Ba (2015), algorithm 1; adamw: Loshchilov and Hutter (2019), algorithm 2."""
    beta1, beta2, eps, decay = 0.8, 0.95, 1e-3, 0.3
    weight, first, second = 1.0, 0.0, 0.0
    for step, (rate, gradient) in enumerate(STEPS, start=1):
        if kind == "adamw":
            weight *= 1 - rate * decay
        else:
            gradient += decay * weight
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        weight -= rate * first / (1 - beta1**step) / (math.sqrt(second / (1 - beta2**step)) + eps)
    config = OptimizerConfig(kind=kind, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    assert trained(config) == pytest.approx(weight, rel=1e-10)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("decay_biases", [False, True])
def test_decay_leaves_biases_alone_unless_asked(kind, decay_biases):
    model = torch.nn.Linear(3, 2)
    before = copy.deepcopy(model.state_dict())
    optimizer = make_optimizer(OptimizerConfig(kind=kind, weight_decay=0.5, decay_biases=decay_biases), model, 0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert not torch.equal(model.weight, before["weight"])
    assert torch.equal(model.bias, before["bias"]) != decay_biases
    assert len(parameter_groups(OptimizerConfig(), model)) == 1  # nothing to tell apart without decay


def model_with_gradients() -> tuple[torch.nn.Module, np.ndarray]:
    model = torch.nn.Linear(4, 3)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.grad = 10 * torch.randn(parameter.shape, generator=generator)
    return model, np.concatenate([parameter.grad.numpy().ravel() for parameter in model.parameters()])


@pytest.mark.parametrize(("element", "norm"), [(0.0, 0.0), (2.0, 0.0), (0.0, 3.0), (2.0, 3.0), (1e3, 1e3)])
def test_clipping_of_elements_then_of_the_norm(element, norm):
    model, gradient = model_with_gradients()
    given = clip_gradients(OptimizerConfig(max_gradient=element, max_gradient_norm=norm), list(model.parameters()))
    assert given.item() == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
    expected = np.clip(gradient, -element, element) if element else gradient
    if norm:
        expected = expected * min(1.0, norm / np.linalg.norm(expected))
    clipped = np.concatenate([parameter.grad.numpy().ravel() for parameter in model.parameters()])
    np.testing.assert_allclose(clipped, expected, rtol=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clipping_does_not_hide_a_gradient_that_is_not_finite(bad):
    model, _ = model_with_gradients()
    model.weight.grad[1, 2] = bad
    assert not torch.isfinite(clip_gradients(OptimizerConfig(max_gradient=1.0), list(model.parameters())))


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_every_optimizer_learns_and_resumes_under_every_algorithm(name, kind):
    """Two groups of parameters; four workers' worth of data; a state that went through a file gives the same models."""

    def start(comm):
        torch.manual_seed(2)
        model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
        optimizer = make_optimizer(OptimizerConfig(kind=kind, weight_decay=1e-3), model, 0.05)
        algorithm = make_algorithm(ParallelConfig(algorithm=name, sync_frames=16, block_momentum=0.3))
        algorithm.attach(model, optimizer, comm)
        return model, optimizer, algorithm

    def run(comm, model, optimizer, algorithm, seeds):
        for seed in seeds:
            x = torch.randn(8, 3, generator=torch.Generator().manual_seed(100 * seed + comm.rank))
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
            loss.backward()
            algorithm.before_step()
            optimizer.step()
            algorithm.after_step(8)
        algorithm.finish()
        return loss.item()

    def work(comm):
        model, optimizer, algorithm = start(comm)
        first = run(comm, model, optimizer, algorithm, range(1))
        saved = copy.deepcopy([part.state_dict() for part in (algorithm, model, optimizer)])
        last = run(comm, model, optimizer, algorithm, range(1, 40))
        again, optimizer2, algorithm2 = start(comm)
        for part, state in zip((algorithm2, again, optimizer2), saved):
            part.load_state_dict(state)
        run(comm, again, optimizer2, algorithm2, range(1, 40))
        ours, theirs = algorithm.global_parameters(), algorithm2.global_parameters()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        return first, last

    results = [work(SingleComm())] if name == "single" else run_workers(3, work)
    assert all(last < 0.7 * first for first, last in results), results


@pytest.mark.parametrize(
    "settings",
    [{"momentum": 1.0}, {"weight_decay": -1.0}, {"max_gradient": -1.0}, {"betas": (0.9,)}, {"betas": (0.9, 1.0)}, {"eps": 0.0}],
)
def test_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="optimizer: "):
        OptimizerConfig(**settings)
