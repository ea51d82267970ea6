"""Blocks that are exchanged while the next one is trained, and differences in bfloat16, against the equations written out."""

import io
import math

import numpy as np
import pytest
import torch
from torch import nn

from asrtool.parallel import ParallelConfig, SingleComm, make_algorithm, merge_states
from asrtool.parallel.simulation.in_process import run_workers

SIZE = 37
NUM_WORKERS = 3
UNIT_ROUNDOFF = 2.0**-8  # of bfloat16


pytestmark = pytest.mark.usefixtures("one_thread")


class Parameter(nn.Module):
    def __init__(self, dtype=torch.float64) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, SIZE, dtype=dtype))
        self.register_buffer("running", torch.zeros(2))


def target(rank: int, block: int) -> torch.Tensor:
    """What worker `rank` is drawn to in a block: any numbers will do."""
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(1000 * block + rank), dtype=torch.float64)


def attach(comm, dtype=torch.float64, **settings):
    model = Parameter(dtype)
    algorithm = make_algorithm(ParallelConfig(**{"sync_frames": 10, "ema_alpha": [0.9], **settings}))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    algorithm.attach(model, optimizer, comm)
    return algorithm, model, optimizer


@torch.no_grad()
def learn(model: Parameter, rank: int, block: int) -> None:
    """A block's steps at once; they depend on where the worker is."""
    model.weight.add_(0.3 * (target(rank, block) - model.weight).to(model.weight.dtype))
    model.running.add_(rank + 1)


def train(comm, num_blocks: list[int], dtype=torch.float64, saved: dict | None = None, save_at: int | None = None, **settings):
    """Worker r trains on num_blocks[r] blocks; what hooks saw, where it ended, what was saved in the hook `save_at`."""
    algorithm, model, optimizer = attach(comm, dtype, **settings)
    done, seen, kept = 0, [], {}
    if saved:
        algorithm.load_state_dict(saved["algorithm"])
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        done = saved["done"]

    def hook(report):
        seen.append((report, algorithm.models()))
        if report.index == save_at:
            kept.update(copied(done=done, algorithm=algorithm, model=model, optimizer=optimizer))

    algorithm.on_sync.append(hook)
    for block in range(done, num_blocks[comm.rank]):
        learn(model, comm.rank, block)
        done += 1
        algorithm.after_step(10 * (comm.rank + 1))
    algorithm.finish()
    return seen, {name: value.clone() for name, value in model.state_dict().items()}, kept


def copied(done: int, **parts) -> dict:
    file = io.BytesIO()
    torch.save({"done": done, **{name: part.state_dict() for name, part in parts.items()}}, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


def assert_equal(left: dict, right: dict) -> None:
    assert list(left) == list(right)
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("weighting", ["workers", "frames"])
@pytest.mark.parametrize(
    "algorithm,eta,zeta,nesterov",
    [("bmuf", 0.8, 0.9, False), ("bmuf", 0.8, 1.0, True), ("model_averaging", 0.0, 1.0, False)],
)
def test_one_block_behind(algorithm, eta, zeta, nesterov, weighting):
    """The workers' own paths, one block stale, and W, V, MA and EMA, in numpy float64."""
    settings = {"algorithm": algorithm, "block_momentum": eta, "block_lr": zeta, "nesterov": nesterov, "weighting": weighting}
    num_blocks = 7
    results = run_workers(NUM_WORKERS, lambda comm: train(comm, [num_blocks] * 3, overlap=True, **settings))
    shares = np.arange(1, 4) / 6 if weighting == "frames" else np.full(3, 1 / 3)
    start = np.linspace(-1, 1, SIZE)  # V
    weights, delta = start.copy(), np.zeros(SIZE)
    own = [start.copy() for _ in range(3)]  # where each worker is
    expected, past, ema = [], [], None
    for block in range(num_blocks):
        learned = [0.3 * (target(rank, block).numpy() - own[rank]) for rank in range(3)]
        own = [start + step for step in learned]  # V(t-1) has arrived meanwhile: it replaces the point that the block began at
        delta = eta * delta + zeta * (sum(share * theta for share, theta in zip(shares, own)) - start)
        weights = weights + delta
        start = weights + eta * delta if nesterov else weights
        past.append(weights)
        ema = weights if ema is None else 0.9 * ema + 0.1 * weights
        expected.append({algorithm: weights, "ma": np.mean(past, axis=0), "ema": ema})
    for seen, end, _ in results:
        assert [report.index for report, _ in seen] == list(range(1, num_blocks + 1))
        assert [report.finished for report, _ in seen] == [False] * (num_blocks - 1) + [True]
        assert [report.total_frames for report, _ in seen] == [60 * block for block in range(1, num_blocks + 1)]
        for (_, models), values in zip(seen, expected):
            for name, value in values.items():
                np.testing.assert_allclose(models[name]["weight"].numpy(), value, rtol=0, atol=1e-13)
        assert torch.equal(end["weight"], results[0][1]["weight"]), "after finish() all workers are at the same point"
        np.testing.assert_allclose(end["weight"].numpy(), start, rtol=0, atol=1e-13)
        mean = sum(share * (rank + 1) for rank, share in enumerate(shares))
        torch.testing.assert_close(end["running"], torch.full((2,), num_blocks * mean, dtype=torch.float32))


@pytest.mark.parametrize("exchange_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("num_blocks", [[2, 5, 0], [1, 1, 1], [0, 0, 0]])
def test_uneven_ends_drain(num_blocks, exchange_dtype):
    settings = {"overlap": True, "exchange_dtype": exchange_dtype, "dtype": torch.float32, "nesterov": True}
    results = run_workers(NUM_WORKERS, lambda comm: train(comm, num_blocks, **settings))
    for seen, end, _ in results:
        assert_equal(end, results[0][1])
        assert [report for report, _ in seen] == [report for report, _ in results[0][0]]
    reports = [report for report, _ in results[0][0]]
    assert [report.finished for report in reports].count(True) == 1 and reports[-1].finished
    assert reports[-1].total_frames == sum(10 * (rank + 1) * count for rank, count in enumerate(num_blocks))


TRAVEL = [{"overlap": True}, {"exchange_dtype": "bfloat16"}, {"overlap": True, "exchange_dtype": "bfloat16"}]
TRAVEL_NAMES = ["overlap", "bfloat16", "both"]


@pytest.mark.parametrize("travel", TRAVEL, ids=TRAVEL_NAMES)
@pytest.mark.parametrize("save_at", [1, 3])
def test_resume_in_a_hook(travel, save_at):
    """Where trainers save: the block's exchange has not begun, the one before is over."""
    settings = {"dtype": torch.float32, "nesterov": True, **travel}
    first = run_workers(NUM_WORKERS, lambda comm: train(comm, [6, 6, 4], save_at=save_at, **settings))
    again = run_workers(NUM_WORKERS, lambda comm: train(comm, [6, 6, 4], saved=first[comm.rank][2], **settings))
    for (seen, end, _), (seen2, end2, _) in zip(first, again):
        assert_equal(end, end2)
        assert len(seen2) == len(seen) - save_at
        for (report, models), (report2, models2) in zip(seen[save_at:], seen2):
            assert report == report2
            for name in models:
                assert_equal(models[name], models2[name])


@pytest.mark.parametrize("travel", TRAVEL, ids=TRAVEL_NAMES)
def test_resume_while_an_exchange_is_under_way(travel):
    """Between two syncs: the result of the last exchange and the snapshot are state; saving changes nothing."""

    def work(comm, saves: bool, saved: dict | None = None):
        parts = attach(comm, torch.float32, block_momentum=0.5, **travel)
        algorithm, model, optimizer = parts
        blocks = range(5)
        if saved:
            algorithm.load_state_dict(saved["algorithm"])
            model.load_state_dict(saved["model"])
            blocks = range(3, 5)
        kept = None
        for block in blocks:
            learn(model, comm.rank, block)
            algorithm.after_step(5)
            if block == 2 and saves:
                kept = copied(0, algorithm=algorithm, model=model, optimizer=optimizer)
            learn(model, comm.rank, block + 100)
            algorithm.after_step(5)
        algorithm.finish()
        return kept, algorithm.models()["bmuf"], model.state_dict()

    def resumed(comm):
        kept = first[comm.rank][0]
        parts = attach(comm, torch.float32, block_momentum=0.5, **travel)
        algorithm, model, _ = parts
        algorithm.load_state_dict(kept["algorithm"])
        model.load_state_dict(kept["model"])
        for block in [102, 3, 103, 4, 104]:
            learn(model, comm.rank, block)
            algorithm.after_step(5)
        algorithm.finish()
        return None, algorithm.models()["bmuf"], model.state_dict()

    never, first = (run_workers(NUM_WORKERS, lambda comm, saves=saves: work(comm, saves)) for saves in (False, True))
    for left, middle, right in zip(never, first, run_workers(NUM_WORKERS, resumed)):
        for part in (1, 2):
            assert_equal(left[part], middle[part])
            assert_equal(left[part], right[part])


@pytest.mark.parametrize("travel", TRAVEL, ids=TRAVEL_NAMES)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_another_number_of_workers(travel, size):
    """They begin at the global model; the block under way is lost, and so is what the workers' start was rounded to."""
    settings = {"dtype": torch.float32, "block_momentum": 0.5, **travel}
    first = run_workers(NUM_WORKERS, lambda comm: train(comm, [4, 4, 4], save_at=3, **settings))
    merged = merge_states([kept["algorithm"] for _, _, kept in first])
    models = first[0][0][2][1]

    def second(comm):
        algorithm, model, _ = attach(comm, torch.float32, block_momentum=0.5, **travel)
        algorithm.load_state_dict(merged)
        found = algorithm.models()
        for name in models:
            assert_equal(found[name], models[name])
        start = model.weight.detach().clone()
        learn(model, comm.rank, 7)
        algorithm.after_step(10)
        algorithm.finish()
        return start, algorithm.total_frames

    starts = run_workers(size, second) if size > 1 else [second(SingleComm())]
    assert all(torch.equal(start, starts[0][0]) and frames == 180 + 10 * size for start, frames in starts)
    assert torch.equal(starts[0][0], models["bmuf"]["weight"])


@pytest.mark.parametrize("exchange_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("policy", ["skip_worker", "skip_block"])
def test_nonfinite_worker(policy, exchange_dtype, capsys):
    """Its block counts for nothing, and it goes on from the point where the others are."""

    def work(comm):
        settings = {"overlap": True, "nonfinite": policy, "exchange_dtype": exchange_dtype, "algorithm": "model_averaging"}
        algorithm, model, optimizer = attach(comm, torch.float32, **settings)
        optimizer.state[model.weight]["momentum_buffer"] = torch.full((SIZE,), math.nan)
        reports = []
        algorithm.on_sync.append(reports.append)
        start = model.weight.detach().clone()
        for block in range(3):
            with torch.no_grad():
                model.weight.add_(math.nan if (comm.rank, block) == (1, 1) else 2.0**comm.rank)
            algorithm.after_step(10)
            if block == 1:
                local = model.weight.detach() - start
                momentum = optimizer.state.get(model.weight, {}).get("momentum_buffer", torch.zeros(1))
        algorithm.finish()
        moved = algorithm.models()["model_averaging"]["weight"] - start
        return [vars(report) for report in reports], local, moved, float(momentum.sum())

    results = run_workers(NUM_WORKERS, work)
    reports = results[0][0]
    assert all(result[0] == reports for result in results)
    assert [report["nonfinite_ranks"] for report in reports] == [(), (1,), ()]
    assert [report["skipped"] for report in reports] == [False, policy == "skip_block", False]
    whole, without = 7 / 3, 2.5 if policy == "skip_worker" else 0.0
    back = {rank for rank in range(3) if rank == 1 or policy == "skip_block"}
    for rank, (_, local, moved, momentum) in enumerate(results):
        torch.testing.assert_close(local, torch.full((SIZE,), whole + (0 if rank in back else 2.0**rank)), atol=0.02, rtol=0)
        torch.testing.assert_close(moved, torch.full((SIZE,), whole + without + whole), atol=0.04, rtol=0)
        assert momentum == 0
    assert "rank 1" in capsys.readouterr().err


def test_warmup_does_not_overlap():
    """The first sync after rank 0's warm-up is the first with an exchange under way."""

    def work(comm):
        algorithm, model, _ = attach(comm, overlap=True, warmup_frames=20, block_momentum=0.5)
        reports = []
        algorithm.on_sync.append(reports.append)
        for block in range(5):
            learn(model, 0 if block < 2 else comm.rank, block)
            algorithm.after_step(10)
        algorithm.finish()
        return [(report.warming_up, report.index, report.block_frames) for report in reports], model.weight.detach()

    results = run_workers(2, work)
    # rank 1 gives its first block up and has one more at the end
    warm, blocks = [(True, 1, 10), (True, 2, 10)], [(False, 3, 20), (False, 4, 20), (False, 5, 20), (False, 6, 10)]
    assert results[0][0] == results[1][0]
    assert results[0][0][:2] == warm and sum(frames for _, _, frames in results[0][0][2:]) == sum(block[2] for block in blocks)
    assert torch.equal(results[0][1], results[1][1])


def test_differences_in_bfloat16_keep_their_bound():
    """Over 200 syncs: the learning that is used and the workers' start stay within the stated bounds of the exact ones, and the
    way that the global model goes adds up the errors of its syncs alone."""

    def work(comm):
        algorithm, model, _ = attach(comm, torch.float32, exchange_dtype="bfloat16", algorithm="model_averaging")
        rows = []
        for sync in range(200):
            start = model.weight.detach().clone()
            before = algorithm.global_parameters()["weight"]
            with torch.no_grad():
                model.weight.add_(0.01 * target(comm.rank, sync).float())
            learned = model.weight.detach() - start
            algorithm.after_step(10)
            rows.append((start, learned, before, algorithm.global_parameters()["weight"], model.weight.detach().clone()))
        return rows

    results = run_workers(NUM_WORKERS, work)
    rounding = 2.0**-21  # of a few sums of numbers below 4 in float32
    drift, allowed = torch.zeros(SIZE, dtype=torch.float64), torch.zeros(SIZE, dtype=torch.float64)
    for rows in zip(*results):
        starts, learned, before, after, ends = (list(column) for column in zip(*rows))
        assert all(torch.equal(end, ends[0]) for end in ends) and all(torch.equal(start, starts[0]) for start in starts)
        exact = sum(learned).double() / NUM_WORKERS
        used = (after[0] - before[0]).double()
        bound = UNIT_ROUNDOFF * sum(step.abs() for step in learned).double() / NUM_WORKERS
        assert ((used - exact).abs() <= bound + rounding).all()
        assert ((used - exact).abs() > rounding).any(), "the differences have not been rounded"
        step_back = (after[0] - starts[0]).abs()
        assert ((ends[0] - after[0]).abs() <= UNIT_ROUNDOFF * step_back + rounding).all()
        drift += used - exact
        allowed += bound
    assert (drift.abs() < 0.2 * allowed).all(), "errors of either sign do not add up in full"


def test_bfloat16_sends_half_the_bytes():
    def sent(comm, **settings):
        algorithm, _, _ = attach(comm, torch.float32, **settings)
        before = comm.bytes_sent
        algorithm.after_step(10)
        return comm.bytes_sent - before

    whole = run_workers(2, lambda comm: sent(comm))[0]
    half = run_workers(2, lambda comm: sent(comm, exchange_dtype="bfloat16"))[0]
    padded = 64  # elements
    assert whole - half == 2 * (2 - 1) / 2 * padded * 2


@pytest.mark.parametrize("travel", TRAVEL, ids=TRAVEL_NAMES)
def test_alone_nothing_travels(travel):
    """One worker is plain SGD to the bit, whatever is set."""
    _, end, _ = train(SingleComm(), [5], dtype=torch.float32, **travel)
    plain = Parameter(torch.float32)
    for block in range(5):
        learn(plain, 0, block)
    assert_equal(end, plain.state_dict())
