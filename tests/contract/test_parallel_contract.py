"""What every registered parallel algorithm promises the trainer."""

import pytest
import torch
from torch import nn

from asrtool.parallel import ALGORITHMS, ParallelAlgorithm, ParallelConfig, SingleComm, loaded, make_algorithm, merge_states
from asrtool.parallel.in_process import run_workers

BATCH = 4
SYNC_FRAMES = 8


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny operations on several threads of a busy machine only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2))


def sizes(name: str) -> list[int]:
    return [1] if name == "single" else [1, 2, 3]


CASES = [(name, size) for name in ALGORITHMS for size in sizes(name)]


def make(name: str, comm, model: nn.Module | None = None, **settings):
    model = make_model() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    algorithm = make_algorithm(ParallelConfig(algorithm=name, sync_frames=SYNC_FRAMES, **settings))
    algorithm.attach(model, optimizer, comm)
    return algorithm, model, optimizer


def step(algorithm, model, optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(torch.randn(BATCH, 3, generator=generator)), torch.arange(BATCH) % 2).backward()
    algorithm.before_step()
    optimizer.step()
    algorithm.after_step(BATCH)


def run(size: int, work):
    return run_workers(size, work) if size > 1 else [work(SingleComm())]


def equal(left: dict, right: dict) -> bool:
    """Models equal to the bit; counts of mini-batches are each worker's own."""
    return list(left) == list(right) and all(torch.equal(left[key], right[key]) for key in left if "num_batches" not in key)


@pytest.mark.parametrize("name,size", CASES)
def test_protocol_and_models(name, size):
    def work(comm):
        algorithm, model, optimizer = make(name, comm, ema_alpha=[0.5, 0.9])
        assert isinstance(algorithm, ParallelAlgorithm)
        start = algorithm.models()
        assert list(start) == [name, "ma", "ema0.5", "ema0.9"]
        assert all(equal(values, model.state_dict()) for values in start.values())
        for seed in range(5):
            step(algorithm, model, optimizer, 10 * seed + comm.rank)
        algorithm.finish()
        models = algorithm.models()
        assert equal(algorithm.global_parameters(), models[name])
        assert all(not equal(models[left], models[right]) for left, right in [(name, "ma"), ("ma", "ema0.5")])
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with loaded(model, models["ma"]):
            assert equal(model.state_dict(), models["ma"])
        assert equal(model.state_dict(), before)
        kept = {key: value.clone() for key, value in models[name].items()}
        step(algorithm, model, optimizer, 99)
        assert equal(models[name], kept), "models() must give copies"
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


@pytest.mark.parametrize("name,size", CASES)
@pytest.mark.parametrize("num_steps", [4, 5])
def test_resume_equals_uninterrupted(name, size, num_steps):
    """At a sync and in the middle of a block; model and optimiser as a trainer saves them."""

    def work(comm):
        algorithm, model, optimizer = make(name, comm, ema_alpha=[0.9])
        for seed in range(num_steps):
            step(algorithm, model, optimizer, 10 * seed + comm.rank)
        saved = {"algorithm": algorithm.state_dict(), "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        saved = {key: torch_copy(value) for key, value in saved.items()}
        again, model2, optimizer2 = make(name, comm, ema_alpha=[0.9])
        model2.load_state_dict(saved["model"])
        optimizer2.load_state_dict(saved["optimizer"])
        again.load_state_dict(saved["algorithm"])
        for trio in ((algorithm, model, optimizer), (again, model2, optimizer2)):
            for seed in range(20, 27):
                step(*trio, 10 * seed + comm.rank)
            trio[0].finish()
        assert equal(model.state_dict(), model2.state_dict())
        ours, theirs = algorithm.models(), again.models()
        assert all(equal(ours[key], theirs[key]) for key in ours)
        assert algorithm.total_frames == again.total_frames
        return True

    assert all(run(size, work))


def torch_copy(value):
    """Through a file's bytes, as a checkpoint goes."""
    import io

    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "single"])
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
        assert equal(model.state_dict(), results[0][2])
        assert algorithm.total_frames == 3 * 4 * BATCH
        for seed in range(3):
            step(algorithm, model, optimizer, seed)
        algorithm.finish()
        return algorithm.total_frames

    assert run(size, second) == [48 + 12 * size] * size


@pytest.mark.parametrize("name", list(ALGORITHMS))
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
