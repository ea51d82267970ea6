"""BMUF-Adam against its equations in numpy, and against steady gradients, where the answer is known."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from asrtool.errors import AsrtoolError
from asrtool.parallel import ParallelConfig, SingleComm, make_algorithm, merge_states
from asrtool.parallel.simulation.in_process import run_workers

SIZE = 37
BETAS = (0.9, 0.99)
RATE, EPS = 0.01, 1e-8


pytestmark = pytest.mark.usefixtures("one_thread")


class Two(nn.Module):
    """Two parameters, one of which is frozen."""

    def __init__(self, dtype) -> None:
        super().__init__()
        self.frozen = nn.Parameter(torch.ones(3, dtype=dtype), requires_grad=False)
        self.weight = nn.Parameter(torch.linspace(-1, 1, SIZE, dtype=dtype))


def attach(comm, dtype=torch.float64, fused=False, kind=torch.optim.Adam, **settings):
    model = Two(dtype)
    optimizer = kind([model.weight], lr=RATE, betas=BETAS, eps=EPS, fused=fused)
    algorithm = make_algorithm(ParallelConfig(**{"sync_frames": 40, "block_adam": True, **settings}))
    algorithm.attach(model, optimizer, comm)
    return algorithm, model, optimizer


def gradient(weight, rank: int, block: int, step: int):
    """Depends on where the worker is; numpy or torch."""
    noise = np.random.default_rng(10_000 * block + 100 * step + rank).normal(size=SIZE)
    return weight - (torch.from_numpy(noise).to(weight.dtype) if isinstance(weight, torch.Tensor) else noise)


def one_step(algorithm, model, optimizer, values: torch.Tensor, num_frames: int) -> None:
    model.weight.grad = values
    algorithm.before_step()
    optimizer.step()
    algorithm.after_step(num_frames)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("weighting", ["workers", "frames"])
@pytest.mark.parametrize("eta,zeta,nesterov", [(0.0, 1.0, False), (0.6, 0.8, False), (0.6, 1.0, True), (0.6, 0.8, True)])
def test_equations_in_float64(eta, zeta, nesterov, weighting, fused):
    """Three workers that take 4, 2 and 1 steps a block, each with the same number of frames but the last."""
    steps, frames = [4, 2, 1], [10, 20, 60]
    settings = {"block_momentum": eta, "block_lr": zeta, "nesterov": nesterov, "weighting": weighting, "fused": fused}
    num_blocks = 6

    def work(comm):
        parts = attach(comm, **settings)
        _, model, optimizer = parts
        history = []
        for block in range(num_blocks):
            for step in range(steps[comm.rank]):
                one_step(*parts, gradient(model.weight.detach(), comm.rank, block, step), frames[comm.rank])
            entry = optimizer.state[model.weight]
            found = {"V": model.weight.detach(), "m": entry["exp_avg"], "v": entry["exp_avg_sq"], "s": entry["step"]}
            history.append({name: value.double().clone().numpy() for name, value in found.items()})
        return history

    totals = np.array([40, 40, 60])
    shares = totals / totals.sum() if weighting == "frames" else np.full(3, 1 / 3)
    start = weights = np.linspace(-1, 1, SIZE)
    delta, moments, counts, rho = np.zeros(SIZE), [np.zeros(SIZE), np.zeros(SIZE)], 0.0, 0.0
    expected = []
    for block in range(num_blocks):
        ends = [adam(start, *moments, counts, rank, block, steps[rank]) for rank in range(3)]
        learned = sum(share * end[0] for share, end in zip(shares, ends)) - start
        delta = eta * delta + zeta * learned
        weights = weights + delta
        start = weights + eta * delta if nesterov else weights
        tau = float(shares @ steps)
        rho = eta * rho + zeta * tau
        kappa = zeta * tau + eta * rho if nesterov else rho
        for index, beta in enumerate(BETAS):
            decay = sum(share * beta**count for share, count in zip(shares, steps))
            mean = sum(share * end[1 + index] for share, end in zip(shares, ends))
            block_gradient = (mean - decay * moments[index]) / (1 - decay)
            moments[index] = beta**kappa * moments[index] + (1 - beta**kappa) * block_gradient
        counts += kappa
        expected.append({"V": start, "m": moments[0], "v": moments[1], "s": counts})
    for history in run_workers(3, work):
        for block, (found, values) in enumerate(zip(history, expected)):
            for (
                name,
                value,
            ) in values.items():  # the optimiser holds the step count in float32, which moves the next bias correction
                np.testing.assert_allclose(found[name], value, rtol=2e-7, atol=2e-9, err_msg=f"{name}, block {block}")


def adam(weights, first, second, count, rank, block, num_steps):
    """Kingma and Ba 2015, algorithm 1."""
    for step in range(num_steps):
        values = gradient(weights, rank, block, step)
        count = count + 1
        first = BETAS[0] * first + (1 - BETAS[0]) * values
        second = BETAS[1] * second + (1 - BETAS[1]) * values**2
        corrected = first / (1 - BETAS[0] ** count), second / (1 - BETAS[1] ** count)
        weights = weights - RATE * corrected[0] / (np.sqrt(corrected[1]) + EPS)
    return weights, first, second


def test_equals_the_form_of_the_paper():
    """Nesterov block momentum, zeta 1, tau steps of every worker: rho = eta rho + tau, and a start at
    m = (beta^tau (beta^(eta rho) - 1) m + (1 - beta^(tau + eta rho)) m_bar) / (1 - beta^tau)."""
    eta, tau = 0.5, 4

    def work(comm):
        parts = attach(comm, block_momentum=eta, nesterov=True)
        algorithm, model, optimizer = parts
        rho, old, counts = 0.0, [np.zeros(SIZE), np.zeros(SIZE)], 0.0
        for block in range(5):
            for step in range(tau):
                model.weight.grad = gradient(model.weight.detach(), comm.rank, block, step)
                algorithm.before_step()
                optimizer.step()
                if step < tau - 1:
                    algorithm.after_step(10)
            entry = optimizer.state[model.weight]
            means = [comm.all_gather(entry[name]).view(2, SIZE).mean(0).numpy() for name in ("exp_avg", "exp_avg_sq")]
            algorithm.after_step(10)
            rho = eta * rho + tau
            counts += tau + eta * rho
            for index, (beta, name) in enumerate(zip(BETAS, ("exp_avg", "exp_avg_sq"))):
                new = (1 - beta ** (tau + eta * rho)) * means[index] + beta**tau * (beta ** (eta * rho) - 1) * old[index]
                old[index] = new / (1 - beta**tau)
                np.testing.assert_allclose(entry[name].numpy(), old[index], rtol=0, atol=1e-13)
            assert float(entry["step"]) == counts
        return True

    assert all(run_workers(2, work))


@pytest.mark.parametrize("nesterov", [False, True])
def test_steady_gradient_is_one_long_run_of_adam(nesterov):
    """Moments and model are those of a single Adam over s(t) steps: with its bias corrected it goes RATE a step."""
    eta, tau = 0.5, 4
    steady = torch.linspace(0.5, 2.0, SIZE, dtype=torch.float64)

    def work(comm):
        parts = attach(comm, block_momentum=eta, nesterov=nesterov)
        algorithm, model, optimizer = parts
        rows = []
        for _ in range(40):
            for _ in range(tau):
                one_step(*parts, steady.clone(), 10)
            entry = optimizer.state[model.weight]
            rows.append(
                (float(entry["step"]), model.weight.detach().clone(), entry["exp_avg"].clone(), entry["exp_avg_sq"].clone())
            )
        return rows, algorithm.moments.rho

    (rows, rho), _ = run_workers(2, work)
    assert rho == pytest.approx(tau / (1 - eta)) == pytest.approx(2 * tau)  # in the limit a block counts for both workers' steps
    model = Two(torch.float64)
    optimizer = torch.optim.Adam([model.weight], lr=RATE, betas=BETAS, eps=EPS)
    runs = {}
    for step in range(1, int(rows[-1][0]) + 1):
        model.weight.grad = steady.clone()
        optimizer.step()
        entry = optimizer.state[model.weight]
        runs[step] = model.weight.detach().clone(), entry["exp_avg"].clone(), entry["exp_avg_sq"].clone()
    compared = 0
    for steps, *found in rows:
        torch.testing.assert_close(found[0], Two(torch.float64).weight.detach() - RATE * steps, rtol=0, atol=1e-6)
        for power, moment, beta in zip((1, 2), found[1:], BETAS):
            torch.testing.assert_close(moment, steady**power * (1 - beta**steps), rtol=1e-6, atol=0)
        if steps in runs:
            compared += 1
            for left, right in zip(found, runs[int(steps)]):
                torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)
    assert compared >= 2


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("fused", [False, True])
def test_one_worker_is_plain_adam(kind, fused):
    """To the bit, through ten syncs."""
    parts = attach(SingleComm(), torch.float32, fused, kind)
    plain = Two(torch.float32)
    reference = kind([plain.weight], lr=RATE, betas=BETAS, eps=EPS, fused=fused)
    for step in range(41):
        values = gradient(plain.weight.detach(), 0, 0, step)
        one_step(*parts, values.clone(), 10)
        plain.weight.grad = values
        reference.step()
    ours, theirs = parts[2].state[parts[1].weight], reference.state[plain.weight]
    assert torch.equal(parts[1].weight, plain.weight)
    assert all(torch.equal(ours[name], theirs[name]) for name in ("exp_avg", "exp_avg_sq", "step"))


@pytest.mark.parametrize("policy", ["skip_worker", "skip_block"])
def test_bad_and_idle_workers_get_the_moments(policy, capsys):
    """Rank 1 turns NaN in the second block, rank 2 has no data at all: afterwards all three are alike."""

    def work(comm):
        parts = attach(comm, torch.float32, fused=comm.rank == 2, nonfinite=policy, block_momentum=0.5)
        algorithm, model, optimizer = parts
        seen = []
        algorithm.on_sync.append(lambda report: seen.append({**optimizer.state[model.weight], "weight": model.weight.detach()}))
        algorithm.on_sync.append(lambda report: seen.append({name: value.clone() for name, value in seen.pop().items()}))
        for block in range(3 if comm.rank < 2 else 0):
            for step in range(4):
                values = gradient(model.weight.detach(), comm.rank, block, step)
                one_step(*parts, values * (float("nan") if (comm.rank, block, step) == (1, 1, 2) else 1.0), 10)
        algorithm.finish()
        return seen

    results = run_workers(3, work)
    assert all(len(seen) == 4 for seen in results)
    for states in zip(*results):
        for state in states:
            assert all(torch.equal(state[name], states[0][name]) and torch.isfinite(state[name]).all() for name in state)
    first, second = results[0][0], results[0][1]
    if policy == "skip_block":
        assert all(torch.equal(first[name], second[name]) for name in first)
    else:  # rank 0 alone: 4 steps, and half of the 4 of the block before
        assert float(second["step"]) == 4 + 6
    capsys.readouterr()


@pytest.mark.parametrize("size", [3, 1, 2])
def test_resume(size):
    """With as many workers the same steps to the bit, in the middle of a block too; with others, the moments go on."""
    settings = {"dtype": torch.float32, "fused": True, "block_momentum": 0.5, "nesterov": True}

    def train(comm, begin: int, end: int, saved=None, at_sync=False):
        parts = attach(comm, **settings)
        algorithm, model, optimizer = parts
        if saved:
            algorithm.load_state_dict(saved["algorithm"])
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
        for step in range(begin, end):
            one_step(*parts, gradient(model.weight.detach(), comm.rank, 0, step), 10)
        file = io.BytesIO()
        names = ("algorithm", "model", "optimizer")
        torch.save({name: part.state_dict() for name, part in zip(names, parts)}, file)
        return torch.load(io.BytesIO(file.getvalue()), weights_only=True)

    if size == 3:
        whole = run_workers(3, lambda comm: train(comm, 0, 18))
        half = run_workers(3, lambda comm: train(comm, 0, 10))
        again = run_workers(3, lambda comm: train(comm, 10, 18, half[comm.rank]))
        for left, right in zip(whole, again):
            assert torch.equal(left["model"]["weight"], right["model"]["weight"])
            entries = [part["optimizer"]["state"][0] for part in (left, right)]
            assert all(torch.equal(entries[0][name], entries[1][name]) for name in entries[0])
            assert left["algorithm"]["adam"] == right["algorithm"]["adam"]
        return

    states = run_workers(3, lambda comm: train(comm, 0, 8))
    merged = merge_states([state["algorithm"] for state in states])

    def other(comm):
        algorithm, model, optimizer = attach(comm, **settings)
        algorithm.load_state_dict(merged)
        return optimizer.state[model.weight]

    for entry in run_workers(size, other) if size > 1 else [other(SingleComm())]:
        assert all(
            torch.equal(entry[name], states[0]["optimizer"]["state"][0][name]) for name in ("exp_avg", "exp_avg_sq", "step")
        )
        assert float(entry["step"]) > 8


def test_an_optimiser_that_starts_afresh():
    """When an epoch is rejected the trainer clears the optimiser: moments and counts start from zero on all workers."""

    def work(comm, clear: bool):
        parts = attach(comm, block_momentum=0.5)
        algorithm, model, optimizer = parts
        if clear:
            for _ in range(8):
                one_step(*parts, torch.full_like(model.weight, 100.0), 10)
            saved = algorithm.state_dict()
            algorithm.load_state_dict(saved)
            optimizer.state.clear()
        with torch.no_grad():
            model.weight.copy_(Two(torch.float64).weight)
        for step in range(4 if comm.rank == 0 else 0):
            one_step(*parts, gradient(model.weight.detach(), 0, 0, step), 10)
        algorithm.finish()
        return optimizer.state[model.weight]

    fresh, cleared = (run_workers(2, lambda comm, clear=clear: work(comm, clear)) for clear in (False, True))
    for left, right in zip(fresh, cleared):
        assert float(left["step"]) == float(right["step"]) == 4
        assert all(torch.equal(left[name], right[name]) for name in ("exp_avg", "exp_avg_sq"))


def test_warmup_hands_over_rank_0s_moments():
    def work(comm):
        parts = attach(comm, warmup_frames=80, block_momentum=0.5)
        algorithm, model, optimizer = parts
        seen = []
        algorithm.on_sync.append(lambda report: seen.append((report.warming_up, float(optimizer.state[model.weight]["step"]))))
        for step in range(12 if comm.rank == 0 else 8):  # the first 4 of rank 1 are given up
            one_step(*parts, gradient(model.weight.detach(), comm.rank, 0, step), 10)
        algorithm.finish()
        return seen[:3]

    assert run_workers(2, work) == [[(True, 4.0), (True, 8.0), (False, 12.0)]] * 2


def test_unfit_settings_are_refused():
    model = Two(torch.float32)
    sgd = torch.optim.SGD([model.weight], 0.1)
    with pytest.raises(AsrtoolError, match=r"needs optimizer\.kind adam or adamw, not SGD"):
        make_algorithm(ParallelConfig(block_adam=True)).attach(model, sgd, SingleComm())
    with pytest.raises(AsrtoolError, match="block_adam and overlap do not go together"):
        attach(SingleComm(), overlap=True)
    with pytest.raises(AsrtoolError, match="no amsgrad"):
        optimizer = torch.optim.Adam([model.weight], amsgrad=True)
        make_algorithm(ParallelConfig(block_adam=True)).attach(model, optimizer, SingleComm())
    saved = attach(SingleComm(), block_adam=False)[0].state_dict()
    with pytest.raises(AsrtoolError, match="made without block_adam"):
        attach(SingleComm())[0].load_state_dict(saved)
    make_algorithm(ParallelConfig(algorithm="model_averaging", block_adam=True)).attach(model, sgd, SingleComm())  # ignored
