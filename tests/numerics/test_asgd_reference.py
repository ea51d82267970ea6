"""ASGD against a float64 event simulation of its equations: one server without shards, written in numpy."""

import numpy as np
import pytest
import torch
from asynchronous_references import FRAMES, RATE, SECONDS, SIZE, STEPS, Asgd, Parameter, gradient
from torch import nn

from asrtool.errors import AsrtoolError
from asrtool.parallel import ParallelConfig, SingleComm, make_algorithm, merge_states
from asrtool.parallel.simulation.in_process import LostWorker, run_workers
from asrtool.parallel.simulation.simulated_time import SimulatedTime

pytestmark = pytest.mark.usefixtures("one_thread")


def train(comm, settings: dict, momentum=0.0, steps=STEPS, on_step=lambda rank, step, model: None, state=None) -> dict:
    """One worker's training; `on_step` is called after the optimiser's step, before the algorithm's."""
    model = Parameter()
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum)
    algorithm = make_algorithm(ParallelConfig(algorithm="asgd", **{"sync_frames": 10**9, **settings}))
    reports, history = [], []
    algorithm.attach(model, optimizer, comm)
    algorithm.on_sync.append(reports.append)
    if state:
        algorithm.load_state_dict(state)
    for step in range(steps[comm.rank]):
        model.weight.grad = torch.from_numpy(gradient(comm.rank, step, model.weight.detach().numpy()))
        algorithm.before_step()
        optimizer.step()
        on_step(comm.rank, step, model)
        algorithm.after_step(FRAMES)
        history.append(model.weight.detach().numpy().copy())
    algorithm.finish()
    models = {name: values["weight"].numpy() for name, values in algorithm.models().items()}
    return {"history": history, "models": models, "reports": reports, "state": algorithm.state_dict()}


def run(settings: dict, num_workers: int = 3, can_lose: bool = False, **arguments) -> list[dict]:
    times = SimulatedTime(SECONDS[:num_workers])
    return run_workers(num_workers, lambda comm: train(comm, settings, **arguments), times, can_lose=can_lose)


INTERVALS = [(1, 1), (1, 3), (3, 1), (2, 3), (4, 4)]


@pytest.mark.parametrize("intervals", INTERVALS)
@pytest.mark.parametrize("push,momentum", [("deltas", 0.0), ("deltas", 0.9), ("gradients", 0.0), ("gradients", 0.9)])
@pytest.mark.parametrize("bound", [None, 1])
def test_every_step_of_every_worker(push, momentum, intervals, bound):
    """Local momentum for deltas, the servers' for gradients; unequal data; an unequal pace."""
    settings = {"push": push, "push_steps": intervals[0], "fetch_steps": intervals[1], "max_staleness": bound}
    if push == "gradients":
        settings["server_momentum"], momentum = momentum, 0.0
    results = run(settings, momentum=momentum)
    reference = Asgd(settings, momentum, STEPS).run()
    for rank, result in enumerate(results):
        assert len(result["history"]) == STEPS[rank]
        np.testing.assert_allclose(result["history"], reference.history[rank], rtol=0, atol=1e-12, err_msg=f"rank {rank}")
        np.testing.assert_allclose(result["models"]["asgd"], reference.weights, rtol=0, atol=1e-12)
    report = results[0]["reports"][-1]
    assert report.finished and report.total_frames == FRAMES * sum(STEPS)
    assert report.notes["staleness_mean"] == pytest.approx(np.mean(reference.staleness))
    assert report.notes["staleness_max"] == max(reference.staleness)
    assert report.notes["dropped_pushes"] == reference.dropped
    assert (reference.dropped > 0) == (bound is not None and intervals != (3, 1))  # those fetch more often than they push
    assert all(result["reports"] == results[0]["reports"] for result in results)


def test_a_bound_drops_pushes():
    """Below N - 1 most pushes of a worker that is slower than the others are refused."""
    settings = {"push_steps": 1, "fetch_steps": 1, "max_staleness": 1}
    results = run(settings, steps=(8, 20, 8))
    reference = Asgd(settings, 0.0, (8, 20, 8)).run()
    assert reference.dropped > 5
    assert results[0]["reports"][-1].notes["dropped_pushes"] == reference.dropped
    np.testing.assert_allclose(results[1]["models"]["asgd"], reference.weights, rtol=0, atol=1e-12)


def test_averages_follow_the_servers_at_meetings():
    """With a barrier all meet after equally many steps; then MA and EMA follow, and all fetch."""
    settings = {"sync_frames": 3 * FRAMES, "barrier": True, "ema_alpha": [0.5, 0.9], "fetch_steps": 2}
    results = run(settings, momentum=0.9, steps=(9, 9, 9))
    past, ma, ema = [], None, {}
    reference = Asgd(settings, 0.9, (0, 0, 0))
    for meeting in range(3):
        # in the order of time, but for the meeting's barrier
        order = sorted((SECONDS[rank] * step, rank, step) for rank in range(3) for step in range(1, 4))
        for _, rank, step in order:
            reference.step(rank, 3 * meeting + step - 1)
            reference.push(rank)
            if step == 2:
                reference.fetch(rank)
        for rank in range(3):
            reference.fetch(rank)
        past.append(reference.weights.copy())
        ma = np.mean(past, axis=0)
        ema = {alpha: alpha * ema[alpha] + (1 - alpha) * past[-1] if ema else past[-1] for alpha in (0.5, 0.9)}
    expected = {"asgd": past[-1], "ma": ma, "ema0.5": ema[0.5], "ema0.9": ema[0.9]}
    for result in results:
        assert [report.index for report in result["reports"]] == [1, 2, 3, 3]
        assert [report.block_frames for report in result["reports"]] == [90, 90, 90, 0]
        for name, values in expected.items():
            np.testing.assert_allclose(result["models"][name], values, rtol=0, atol=1e-12, err_msg=name)
        np.testing.assert_array_equal(result["history"][-1], results[0]["history"][-1])


def test_without_a_barrier_the_fast_do_not_wait():
    """They meet when all together have trained on N * sync_frames."""
    results = run({"sync_frames": 4 * FRAMES}, steps=(12, 16, 9))
    # the twelfth step of all is rank 0's fourth, at 4.0; rank 1 hears of it after its sixth, at 4.38, rank 2 at 5.24
    assert [report.block_frames / FRAMES for report in results[0]["reports"]] == [4 + 6 + 4, 4 + 6 + 4, 4 + 4 + 1]


def test_one_worker_that_pushes_gradients_is_sgd_by_its_server():
    momentum = 0.9
    result = train(SingleComm(), {"push": "gradients", "server_momentum": momentum}, steps=(9,))
    plain = Parameter()
    optimizer = torch.optim.SGD(plain.parameters(), RATE, momentum)
    for step in range(9):
        plain.weight.grad = torch.from_numpy(gradient(0, step, plain.weight.detach().numpy()))
        optimizer.step()
        np.testing.assert_allclose(result["history"][step], plain.weight.detach().numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_another_number_of_workers_goes_on(num_workers):
    """With the servers' parameters and momentum, which are sharded anew."""
    settings = {"push": "gradients", "push_steps": 2, "server_momentum": 0.8}
    before = run(settings)
    reference = Asgd(settings, 0.0, STEPS).run()
    steps = (5, 7, 4, 6)[:num_workers]
    merged = merge_states([result["state"] for result in before])
    again = run_workers(
        num_workers, lambda comm: train(comm, settings, 0.0, steps, state=merged), SimulatedTime(SECONDS[:num_workers])
    )
    more = Asgd(settings, 0.0, steps, start=(reference.weights, reference.velocity)).run()
    for rank, result in enumerate(again):
        np.testing.assert_allclose(result["history"], more.history[rank], rtol=0, atol=1e-12, err_msg=f"rank {rank}")
        np.testing.assert_allclose(result["models"]["asgd"], more.weights, rtol=0, atol=1e-12)
        assert result["reports"][-1].total_frames == FRAMES * (sum(STEPS) + sum(steps))


def spoil(rank: int, step: int, model: nn.Module) -> None:
    if (rank, step) == (1, 4):
        with torch.no_grad():
            model.weight[20] = float("nan")


@pytest.mark.parametrize("push", ["deltas", "gradients"])
def test_a_worker_that_is_not_finite_drops_its_work(push):
    settings = {"push": push, "push_steps": 3, "fetch_steps": 3}
    results = run(settings, on_step=spoil)
    reference = Asgd(settings, 0.0, STEPS)
    ordinary_push = reference.push

    def push_unless_spoilt(rank: int) -> bool:
        if rank == 1 and not any(who == 1 for who in reference.log[1:]) and len(reference.history[1]) == 5:
            reference.unpushed[1] = np.zeros(SIZE)
            reference.spoilt = True
            return True
        return ordinary_push(rank)

    reference.push = push_unless_spoilt
    reference.run()
    assert reference.spoilt
    for result in results:
        np.testing.assert_allclose(result["models"]["asgd"], reference.weights, rtol=0, atol=1e-12)
        assert result["reports"][-1].nonfinite_ranks == (1,)
        assert result["reports"][-1].total_frames == FRAMES * (sum(STEPS) - 3)
        assert not result["reports"][-1].skipped


@pytest.mark.parametrize("settings", [{"nonfinite": "raise"}, {"max_skipped_syncs": 0}])
def test_all_stop_where_the_policy_says_so(settings):
    messages = []

    def work(comm):
        try:
            train(comm, settings, on_step=spoil)
        except AsrtoolError as error:
            messages.append(str(error))

    run_workers(3, work)
    assert len(messages) == 3 and len(set(messages)) == 1
    assert "rank 1" in messages[0] and "learning rate" in messages[0]


@pytest.mark.parametrize("push", ["deltas", "gradients"])
@pytest.mark.parametrize("intervals", [(1, 1), (2, 3), (3, 1)])
def test_a_lost_worker(push, intervals, capsys):
    """What it had pushed stays. Its piece rests with each worker until the next meeting, where rank 0 takes it over."""
    settings = {"push": push, "push_steps": intervals[0], "fetch_steps": intervals[1]}

    def die(rank: int, step: int, model: nn.Module) -> None:
        if (rank, step) == (2, 3):
            raise LostWorker

    results = run(settings, can_lose=True, on_step=die)
    reference = Asgd(settings, 0.0, STEPS, ends={2: 3}).run()
    assert results[2] is None
    lost = slice(32, SIZE)
    reference.weights[lost] = reference.local[0][lost]
    for rank in (0, 1):
        result = results[rank]
        np.testing.assert_allclose(result["history"], reference.history[rank], rtol=0, atol=1e-12, err_msg=f"rank {rank}")
        np.testing.assert_allclose(result["models"]["asgd"], reference.weights, rtol=0, atol=1e-12)
        assert result["reports"][-1].notes["lost_workers"] == 1
        assert result["reports"][-1].total_frames == FRAMES * (STEPS[0] + STEPS[1])
    assert results[0]["state"]["pieces"] == [0, 2] and results[1]["state"]["pieces"] == [1]
    assert "rank 0 takes over what lost rank 2 had" in capsys.readouterr().err

    def go_on(comm):
        algorithm = make_algorithm(ParallelConfig(algorithm="asgd", sync_frames=10**9, **settings))
        model = Parameter()
        algorithm.attach(model, torch.optim.SGD(model.parameters(), RATE), comm)
        algorithm.load_state_dict(merge_states([results[1]["state"], results[0]["state"]]))
        return model.weight.detach().numpy()

    for weight in run_workers(4, go_on):
        np.testing.assert_array_equal(weight, results[0]["models"]["asgd"])


def test_a_lost_worker_between_meetings_does_not_stop_them():
    """Meetings go on with the others; the one that takes over a piece goes on with it as its owner, and may be lost in turn."""

    def die(rank: int, step: int, model: nn.Module) -> None:
        if (rank, step) in ((3, 5), (1, 11)):
            raise LostWorker

    times = SimulatedTime((1.0, 0.9, 1.1, 1.2))
    settings = {"sync_frames": 2 * FRAMES, "ema_alpha": [0.9]}
    results = run_workers(4, lambda comm: train(comm, settings, 0.5, (20,) * 4, die), times, can_lose=True)
    assert [result is None for result in results] == [False, True, False, True]
    for result in (results[0], results[2]):
        assert all(np.isfinite(values).all() for values in result["models"].values())
        for name, values in result["models"].items():
            np.testing.assert_array_equal(values, results[0]["models"][name])
        assert result["reports"][-1].notes["lost_workers"] == 2
        assert result["reports"] == results[0]["reports"]
    assert sorted(results[0]["state"]["pieces"] + results[2]["state"]["pieces"]) == [0, 1, 2, 3]
    # near the optimum of the two that are left, not where it was when the others were lost
    assert np.abs(results[0]["models"]["asgd"] - 0.2).max() < 1.0
