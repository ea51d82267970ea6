"""What every registered parallel algorithm promises the trainer."""

import math

import pytest
import torch
from parallel_variants import (
    BATCH,
    CASES,
    VARIANTS,
    assert_same_ends,
    equal,
    in_step,
    make,
    make_model,
    run,
    step,
    take_gradient,
    workers_differ,
)

from asrtool.parallel import ParallelAlgorithm, SingleComm, loaded, merge_states

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name,size", CASES)
def test_protocol_and_models(name, size):
    def work(comm):
        algorithm, model, optimizer = make(name, comm, ema_alpha=[0.5, 0.9])
        assert isinstance(algorithm, ParallelAlgorithm)
        start = algorithm.models()
        own = VARIANTS[name]["algorithm"]
        assert list(start) == [own, "ma", "ema0.5", "ema0.9"]
        assert all(equal(values, model.state_dict()) for values in start.values())
        for seed in range(9):
            step(algorithm, model, optimizer, 10 * seed + comm.rank)
        algorithm.finish()
        models = algorithm.models()
        assert equal(algorithm.global_parameters(), models[own])
        assert all(not equal(models[left], models[right]) for left, right in [(own, "ma"), ("ma", "ema0.5")])
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with loaded(model, models["ma"]):
            assert equal(model.state_dict(), models["ma"])
        assert equal(model.state_dict(), before)
        kept = {key: value.clone() for key, value in models[own].items()}
        step(algorithm, model, optimizer, 99)
        algorithm.finish()
        assert equal(models[own], kept), "models() must give copies"
        return models

    results = run(size, work)
    assert all(equal(result[key], results[0][key]) for result in results for key in result)


@pytest.mark.parametrize("name,size", CASES)
def test_every_worker_starts_from_rank_0(name, size):
    def work(comm):
        model = make_model()
        with torch.no_grad():
            for value in model.state_dict().values():
                value.add_(comm.rank)
        make(name, comm, model)
        return model.state_dict()

    assert all(equal(result, make_model().state_dict()) for result in run(size, work))


@pytest.mark.parametrize("name,size", CASES)
def test_uneven_ends_of_data(name, size):
    """Worker r has 3 * r mini-batches: the first one none at all. Then all go on for a second epoch."""

    def work(comm):
        algorithm, model, optimizer = make(name, comm)
        reports = []
        algorithm.on_sync.append(reports.append)
        for epoch in range(2):
            for seed in range(3 * comm.rank):
                step(algorithm, model, optimizer, 100 * epoch + 10 * seed + comm.rank)
            algorithm.finish()
        return reports, algorithm.models()

    results = run(size, work)
    reports = results[0][0]
    assert all(result[0] == reports for result in results)
    assert [report.finished for report in reports].count(True) == 2
    assert reports[-1].finished
    assert reports[-1].total_frames == 2 * sum(3 * rank * BATCH for rank in range(size))
    assert all(equal(result[1][key], results[0][1][key]) for result in results for key in result[1])


def saved_by(algorithm, model, optimizer) -> dict:
    """What a trainer saves, through a file's bytes."""
    saved = {"algorithm": algorithm.state_dict(), "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    return {key: torch_copy(value) for key, value in saved.items()}


def restore(saved: dict, algorithm, model, optimizer) -> None:
    algorithm.load_state_dict(saved["algorithm"])
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])


@pytest.mark.parametrize("name,size", CASES)
def test_resume_at_a_sync_equals_uninterrupted(name, size):
    """Saved in a hook, as the trainer does it; the minibatch of a sync in `before_step` is taken again."""

    def train(comm, saved: dict | None):
        algorithm, model, optimizer = make(name, comm, ema_alpha=[0.9])
        kept = []
        done = 0
        if saved:
            restore(saved, algorithm, model, optimizer)
            done = saved["done"]

        def save(report):
            if report.index == 2:
                kept.append({**saved_by(algorithm, model, optimizer), "done": done})

        algorithm.on_sync.append(save)
        while done < 11 - comm.rank:
            take_gradient(model, optimizer, 10 * done + comm.rank)
            algorithm.before_step()
            optimizer.step()
            done += 1
            algorithm.after_step(BATCH)
        algorithm.finish()
        return kept, (model.state_dict(), algorithm.models(), algorithm.total_frames)

    first = run(size, lambda comm: train(comm, None))
    assert all(len(kept) == 1 for kept, _ in first)
    again = run(size, lambda comm: train(comm, first[comm.rank][0][0]))
    assert_same_ends([end for _, end in first], [end for _, end in again])


@pytest.mark.parametrize("name,size", [case for case in CASES if in_step(case[0])])
def test_resume_in_a_block_equals_uninterrupted(name, size):
    def go_on(algorithm, model, optimizer):
        for seed in range(20, 27):
            step(algorithm, model, optimizer, 10 * seed + algorithm.comm.rank)
        algorithm.finish()
        return model.state_dict(), algorithm.models(), algorithm.total_frames

    def uninterrupted(comm):
        trio = make(name, comm, ema_alpha=[0.9])
        for seed in range(5):
            step(*trio, 10 * seed + comm.rank)
        comm.barrier()  # nobody pushes to another's part of the model any more
        saved = saved_by(*trio)
        comm.barrier()
        return saved, go_on(*trio)

    def resumed(comm):
        trio = make(name, comm, ema_alpha=[0.9])
        restore(first[comm.rank][0], *trio)
        return go_on(*trio)

    first = run(size, uninterrupted)
    assert_same_ends([end for _, end in first], run(size, resumed))


def torch_copy(value):
    """Through a file's bytes, as a checkpoint goes."""
    import io

    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "single"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_another_number_of_workers_takes_the_state(name, size):
    def first(comm):
        algorithm, model, optimizer = make(name, comm, block_momentum=0.5)
        for seed in range(4):
            step(algorithm, model, optimizer, 10 * seed + comm.rank)
        algorithm.finish()
        return algorithm.state_dict(), algorithm.models(), {key: value.clone() for key, value in model.state_dict().items()}

    results = run(3, first)
    merged = merge_states([result[0] for result in reversed(results)])

    def second(comm):
        algorithm, model, optimizer = make(name, comm, block_momentum=0.5)
        algorithm.load_state_dict(merged)
        models = algorithm.models()
        assert all(equal(models[key], results[0][1][key]) for key in models)
        start = results[0][2]
        if workers_differ(name):  # they begin at what the next model is evaluated from, as every worker did once
            start = centre_of(merged, models[algorithm.name])
        if "exchange_dtype" not in VARIANTS[name]:  # there the first workers had rounded starts, see travel.py
            assert equal(model.state_dict(), start)
        assert algorithm.total_frames == 3 * 4 * BATCH
        for seed in range(3):
            step(algorithm, model, optimizer, seed)
        algorithm.finish()
        return algorithm.total_frames

    assert run(size, second) == [48 + 12 * size] * size


def centre_of(merged: dict, like: dict) -> dict:
    """The global model of a merged state, read by its layout; other values are those of `like`."""
    shapes = {name: (begin, shape) for name, begin, shape in merged["layout"]}
    flat = merged["shards"]["global"]
    parameters = {name: flat[begin : begin + math.prod(shape)].view(shape) for name, (begin, shape) in shapes.items()}
    return {**like, **parameters}


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "asgd_gradients"])
def test_one_worker_is_plain_sgd(name):
    """Block momentum 1 - 1/N is 0 for one worker: bit for bit the loop without any algorithm."""
    algorithm, model, optimizer = make(name, SingleComm())
    plain = make_model()
    reference = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)

    class Nothing:
        def before_step(self):
            pass

        def after_step(self, num_frames):
            pass

    for seed in range(11):
        step(algorithm, model, optimizer, seed)
        step(Nothing(), plain, reference, seed)
    algorithm.finish()
    assert equal(model.state_dict(), plain.state_dict())
    assert equal(algorithm.global_parameters(), plain.state_dict())
