"""EASGD and EAMSGD against the equations of Zhang, Choromanska and LeCun (2015) in numpy float64: positions x and velocities v,
where torch has look-ahead points and momentum buffers."""

import numpy as np
import pytest
import torch
from asynchronous_references import FRAMES, RATE, SECONDS, SIZE, STEPS, Parameter, asynchronous_easgd, gradient, synchronous_easgd
from torch import nn

from asrtool.errors import AsrtoolError
from asrtool.parallel import ParallelConfig, SingleComm, make_algorithm, merge_states
from asrtool.parallel.simulation.in_process import LostWorker, run_workers
from asrtool.parallel.simulation.simulated_time import SimulatedTime

pytestmark = pytest.mark.usefixtures("one_thread")


def train(comm, settings: dict, momentum: float = 0.0, steps=STEPS, on_step=lambda rank, step, model: None) -> dict:
    """One worker's training, with Nesterov momentum if any; `on_step` is called after the optimiser's step."""
    model = Parameter()
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum, nesterov=momentum > 0)
    algorithm = make_algorithm(ParallelConfig(algorithm="easgd", **{"sync_frames": 10**9, **settings}))
    reports, history, models = [], [], []
    algorithm.attach(model, optimizer, comm)

    def note(report) -> None:
        reports.append(report)
        models.append({name: values["weight"].numpy() for name, values in algorithm.models().items()})

    algorithm.on_sync.append(note)
    for step in range(steps[comm.rank]):
        model.weight.grad = torch.from_numpy(gradient(comm.rank, step, model.weight.detach().numpy()))
        algorithm.before_step()
        optimizer.step()
        on_step(comm.rank, step, model)
        algorithm.after_step(FRAMES)
        history.append(model.weight.detach().numpy().copy())
    algorithm.finish()
    end = model.weight.detach().numpy().copy()
    return {"history": history, "end": end, "models": models, "reports": reports, "state": algorithm.state_dict()}


def run(settings: dict, num_workers: int = 3, can_lose: bool = False, **arguments) -> list[dict]:
    times = SimulatedTime(SECONDS[:num_workers])
    return run_workers(num_workers, lambda comm: train(comm, settings, **arguments), times, can_lose=can_lose)


def close(left, right, **what) -> None:
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-12, **what)


@pytest.mark.parametrize("delta", [0.0, 0.9])
@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize("alpha", [None, 0.4])
def test_asynchronous(delta, period, alpha):
    """Unequal data; an unequal pace."""
    results = run({"elastic_steps": period, "elastic_alpha": alpha}, momentum=delta)
    history, centre = asynchronous_easgd(delta, period, 0.9 / 3 if alpha is None else alpha)
    for rank, result in enumerate(results):
        close(result["history"], history[rank], err_msg=f"rank {rank}")
        close(result["end"], history[rank][-1])
        close(result["models"][-1]["easgd"], centre)
        assert result["reports"] == results[0]["reports"]
    assert results[0]["reports"][-1].total_frames == FRAMES * sum(STEPS)


@pytest.mark.parametrize("delta", [0.0, 0.9])
@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize("evaluate", ["centre", "mean"])
def test_synchronous(delta, period, evaluate):
    """Every round is a meeting here; MA and EMA follow what is evaluated; workers run out of data at different times."""
    settings = {"synchronous": True, "elastic_steps": period, "evaluate": evaluate, "sync_frames": 1, "ema_alpha": [0.25]}
    results = run(settings, momentum=delta)
    past, ema = [], None
    rounds = list(synchronous_easgd(STEPS, delta, period, 0.3))
    reports = results[0]["reports"]
    for index, (t, centre, position, _) in enumerate(rounds):
        if t is None and reports[-1].block_frames == 0:  # the last steps were those of a round
            break
        past.append(centre if evaluate == "centre" else np.mean(position, axis=0))
        ema = past[-1] if ema is None else 0.25 * ema + 0.75 * past[-1]
        for result in results:
            close(result["models"][index]["easgd"], past[-1], err_msg=f"round {t}")
            close(result["models"][index]["ma"], np.mean(past, axis=0))
            close(result["models"][index]["ema"], ema)
    for rank, result in enumerate(results):
        close(result["end"], rounds[-1][3][rank], err_msg=f"rank {rank}")
        assert result["reports"] == reports
    assert reports[-1].finished and reports[-1].total_frames == FRAMES * sum(STEPS)
    for t, _, _, look_ahead in rounds[:-1]:
        for rank in range(3):
            if STEPS[rank] >= t:
                close(results[rank]["history"][t - 1], look_ahead[rank])


@pytest.mark.parametrize("synchronous", [False, True])
def test_a_changed_learning_rate_does_not_change_where_a_worker_is(synchronous):
    """The position is x = y + rate * momentum * buffer by the rate of the step that made y, also after a restart."""

    def work(comm, saved=None):
        model = Parameter()
        optimizer = torch.optim.SGD(model.parameters(), RATE, 0.9, nesterov=True)
        settings = {"synchronous": synchronous, "elastic_steps": 1, "elastic_alpha": 0.25, "sync_frames": 1, "barrier": True}
        algorithm = make_algorithm(ParallelConfig(algorithm="easgd", **settings))
        algorithm.attach(model, optimizer, comm)
        kept = []
        algorithm.on_sync.append(lambda report: kept.append((algorithm.state_dict(), optimizer.state_dict())))
        if saved:
            algorithm.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
        else:
            model.weight.grad = torch.from_numpy(gradient(comm.rank, 0, model.weight.detach().numpy()))
            algorithm.before_step()
            optimizer.step()
            algorithm.after_step(FRAMES)
        optimizer.param_groups[0]["lr"] = RATE / 10
        before = model.weight.detach().clone()
        algorithm.before_step()
        comm.barrier()  # a worker that has ended answers no more
        return (before - model.weight.detach()).numpy(), kept

    first = run_workers(2, work)
    again = run_workers(2, lambda comm: work(comm, first[comm.rank][1][0]))
    start = np.linspace(-1, 1, SIZE)
    positions = [start - RATE * gradient(rank, 0, start) for rank in range(2)]
    centre = start
    for rank in range(2):
        expected = 0.25 * (positions[rank] - centre)
        close(first[rank][0], expected)
        close(again[rank][0], expected)
        centre = centre if synchronous else centre + expected


def test_asynchronous_meetings_with_averages():
    """With a barrier all meet after equally many steps; the mean of the workers there is what MA and EMA follow."""
    settings = {"sync_frames": 4 * FRAMES, "barrier": True, "elastic_steps": 2, "evaluate": "mean", "ema_alpha": [0.5]}
    results = run(settings, momentum=0.5, steps=(8, 8, 8))
    points = []
    for meeting in (1, 2):
        at = [result["history"][4 * meeting - 1] for result in results]
        points.append(at)
    # positions from look-ahead points: the velocity is that of the last step
    assert [report.block_frames for report in results[0]["reports"]] == [120, 120, 0]
    for index in (0, 1):
        velocity = [velocity_of(result["history"], rank, 4 * (index + 1), 0.5) for rank, result in enumerate(results)]
        mean = np.mean([y - 0.5 * v for y, v in zip(points[index], velocity)], axis=0)
        for result in results:
            close(result["models"][index]["easgd"], mean)
    first, second = (results[0]["models"][index]["easgd"] for index in (0, 1))
    close(results[2]["models"][-1]["ma"], (first + second) / 2)


def velocity_of(history: list[np.ndarray], rank: int, steps: int, delta: float) -> np.ndarray:
    """v after so many steps, from the gradients at the points that a worker was at."""
    velocity = np.zeros(SIZE)
    for step in range(steps):
        point = history[step - 1] if step else np.linspace(-1, 1, SIZE)
        velocity = delta * velocity - RATE * gradient(rank, step, point)
    return velocity


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_one_worker_is_plain_sgd(synchronous, momentum):
    settings = {"synchronous": synchronous, "sync_frames": 20, "elastic_steps": 1}
    result = train(SingleComm(), settings, momentum, steps=(7,))
    plain = Parameter()
    optimizer = torch.optim.SGD(plain.parameters(), RATE, momentum, nesterov=momentum > 0)
    for step in range(7):
        plain.weight.grad = torch.from_numpy(gradient(0, step, plain.weight.detach().numpy()))
        optimizer.step()
        np.testing.assert_array_equal(result["history"][step], plain.weight.detach().numpy())
    np.testing.assert_array_equal(result["models"][-1]["easgd"], plain.weight.detach().numpy())


def spoil(rank: int, step: int, model: nn.Module) -> None:
    if (rank, step) == (1, 4):
        with torch.no_grad():
            model.weight[20] = float("nan")


@pytest.mark.parametrize("delta", [0.0, 0.9])
def test_a_worker_that_is_not_finite_begins_again_at_the_centre(delta):
    """With all of its own state; it takes no step on the gradient that it had."""
    results = run({"elastic_steps": 1, "sync_frames": 50, "barrier": True}, momentum=delta, on_step=spoil, steps=(5, 5, 5))
    assert [report.nonfinite_ranks for report in results[0]["reports"]] == [(1,), ()]
    assert results[0]["reports"][0].block_frames == 3 * 50 - 10
    assert np.isfinite(results[1]["end"]).all()  # found out at the meeting
    results = run({"elastic_steps": 1}, momentum=delta, on_step=spoil)
    history, centre = asynchronous_easgd(delta, 1, 0.3, spoilt=(1, 5))
    for rank, result in enumerate(results):
        steps = [step for step in range(STEPS[rank]) if (rank, step) != (1, 4)]
        close([result["history"][step] for step in steps], [history[rank][step] for step in steps], err_msg=f"rank {rank}")
        close(result["models"][-1]["easgd"], centre)
        assert result["reports"][-1].nonfinite_ranks == (1,)


@pytest.mark.parametrize("delta", [0.0, 0.9])
@pytest.mark.parametrize("policy", ["skip_worker", "skip_block"])
def test_synchronous_workers_that_are_not_finite(delta, policy):
    settings = {"synchronous": True, "elastic_steps": 1, "nonfinite": policy, "sync_frames": 1}
    results = run(settings, momentum=delta, on_step=spoil)
    rounds = list(synchronous_easgd(STEPS, delta, 1, 0.3, spoilt=(1, 5), everybody=policy == "skip_block"))
    assert [report.nonfinite_ranks for report in results[0]["reports"]].index((1,)) == 4  # the fifth round
    assert [report.skipped for report in results[0]["reports"]].count(True) == (policy == "skip_block")
    for index, (t, centre, _, _) in enumerate(rounds[:-1]):
        close(results[2]["models"][index]["easgd"], centre, err_msg=f"round {t}")
    for rank, result in enumerate(results):
        close(result["end"], rounds[-1][3][rank], err_msg=f"rank {rank}")


@pytest.mark.parametrize("synchronous", [False, True])
def test_all_stop_where_the_policy_says_so(synchronous):
    messages = []

    def work(comm):
        try:
            train(comm, {"nonfinite": "raise", "synchronous": synchronous}, on_step=spoil)
        except AsrtoolError as error:
            messages.append(str(error))

    run_workers(3, work)
    assert len(messages) == 3 and len(set(messages)) == 1
    assert "rank 1" in messages[0] and "learning rate" in messages[0]


@pytest.mark.parametrize("evaluate", ["centre", "mean"])
def test_a_lost_worker(evaluate, capsys):
    """Its part of the centre begins again where the one that takes it over is."""

    def die(rank: int, step: int, model: nn.Module) -> None:
        if (rank, step) == (1, 5):
            raise LostWorker

    settings = {"elastic_steps": 2, "evaluate": evaluate, "sync_frames": 40, "barrier": True}
    results = run(settings, can_lose=True, on_step=die, steps=(12, 12, 12))
    assert results[1] is None and "rank 2 takes over what lost rank 1 had" in capsys.readouterr().err
    for result in (results[0], results[2]):
        assert result["reports"] == results[0]["reports"]
        assert [len(result["models"]), result["reports"][-1].notes["lost_workers"]] == [4, 1]
        close(result["models"][-1]["easgd"], results[0]["models"][-1]["easgd"])
    # the second meeting is the first without it
    adopter, part = results[2]["history"][7], slice(16, 32)
    if evaluate == "centre":
        close(results[0]["models"][1]["easgd"][part], adopter[part])
    else:
        close(results[0]["models"][1]["easgd"], (adopter + results[0]["history"][7]) / 2)
    merged = merge_states([results[2]["state"], results[0]["state"]])
    assert merged["shards"]["global"].numel() == 48 and results[2]["state"]["pieces"] == [1, 2]


def test_a_moving_rate_that_overshoots_is_told(capsys):
    run({"synchronous": True, "elastic_alpha": 0.4}, steps=(1, 1, 1))
    assert "WARNING: 3 workers times elastic_alpha 0.4 is above 1" in capsys.readouterr().err
    run({"synchronous": True}, steps=(1, 1, 1))
    assert "WARNING" not in capsys.readouterr().err
