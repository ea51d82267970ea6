"""Blocks: decisions, accidents, warm-up, momentum resets, flat buffer, settings."""

import itertools
import math

import pytest
import torch
from torch import nn

from asrtool.errors import AsrtoolError
from asrtool.io.config import from_dict
from asrtool.parallel import ParallelConfig, SingleComm, make_algorithm, merge_states
from asrtool.parallel.exchange.summation import weighted_sum_
from asrtool.parallel.flat_buffer import FlatBuffer
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.parallel.votes import Vote, decide

pytestmark = pytest.mark.usefixtures("one_thread")


def attached(comm, model: nn.Module | None = None, **settings):
    torch.manual_seed(0)
    model = nn.Linear(3, 2) if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    algorithm = make_algorithm(ParallelConfig(**{"sync_frames": 10, **settings}))
    algorithm.attach(model, optimizer, comm)
    return algorithm, model, optimizer


def shift(model: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(value)


def test_decide_weights():
    votes = [Vote(30, False, True), Vote(0, True, True), Vote(10, True, True)]
    plain = decide(votes, ParallelConfig(), warming_up=False)
    assert (plain.weights, plain.divisor, plain.block_frames, plain.num_active) == ([1.0, 0.0, 1.0], 2.0, 40, 2)
    by_frames = decide(votes, ParallelConfig(weighting="frames"), warming_up=False)
    assert (by_frames.weights, by_frames.divisor) == ([0.75, 0.0, 0.25], 1.0)
    assert decide(votes, ParallelConfig(), warming_up=True).weights == [1.0, 0.0, 0.0]
    assert not plain.finished
    done = decide([Vote(0, True, True)] * 3, ParallelConfig(), warming_up=False)
    assert done.finished and not done.skipped and done.num_active == 0


def test_decide_nonfinite():
    votes = [Vote(5, False, True), Vote(5, False, False), Vote(0, True, False)]
    left_out = decide(votes, ParallelConfig(nonfinite="skip_worker"), warming_up=False)
    assert (left_out.weights, left_out.nonfinite_ranks, left_out.skipped) == ([1.0, 0.0, 0.0], (1,), False)
    dropped = decide(votes, ParallelConfig(nonfinite="skip_block"), warming_up=False)
    assert dropped.skipped and dropped.block_frames == 0
    assert decide(votes[1:], ParallelConfig(nonfinite="skip_worker"), warming_up=False).skipped


@pytest.mark.parametrize("policy", ["skip_worker", "skip_block", "raise"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nonfinite_worker(policy, bad, capsys):
    def work(comm):
        algorithm, model, optimizer = attached(comm, nonfinite=policy, algorithm="model_averaging")
        reports = []
        algorithm.on_sync.append(reports.append)
        before = model.weight.detach().clone()
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        with torch.no_grad():
            model.weight.copy_(before)
        if comm.rank == 1:
            with torch.no_grad():
                model.weight[0, 1] = bad
        else:
            shift(model, 1.0 + comm.rank)
        try:
            algorithm.after_step(10)
        except AsrtoolError as error:
            return str(error)
        assert reports[0].nonfinite_ranks == (1,)
        assert reports[0].skipped == (policy == "skip_block")
        expected = before + (2.0 if policy == "skip_worker" else 0.0)  # mean of the shifts 1 and 3
        torch.testing.assert_close(model.weight.detach(), expected)
        momenta = [entry["momentum_buffer"] for entry in optimizer.state.values() if "momentum_buffer" in entry]
        assert all(float(momentum.abs().sum()) == 0 for momentum in momenta)
        return "went on"

    if policy == "raise":
        messages = run_workers(3, work)
        assert messages[0].startswith("sync 1: NaN or infinity in the parameters of rank 1; lower the learning rate")
        assert messages == messages[:1] * 3
    else:
        assert run_workers(3, work) == ["went on"] * 3
        assert "rank 1" in capsys.readouterr().err


def test_too_many_bad_syncs_stop(capsys):
    algorithm, model, _ = attached(SingleComm(), algorithm="single", max_skipped_syncs=2)
    for _ in range(2):
        shift(model, math.nan)
        algorithm.after_step(10)
        assert torch.isfinite(model.weight).all()
    shift(model, math.nan)
    with pytest.raises(AsrtoolError, match="rank 0"):
        algorithm.after_step(10)
    assert capsys.readouterr().err.count("the block is dropped") == 2


def test_warmup_is_rank_0_alone():
    def work(comm):
        algorithm, model, _ = attached(comm, warmup_frames=25, block_momentum=0.5)
        reports = []
        algorithm.on_sync.append(reports.append)
        start = algorithm.global_parameters()["weight"]
        for _ in range(4):
            shift(model, 1.0 if comm.rank == 0 else 100.0)
            algorithm.after_step(10)
        algorithm.finish()
        return [vars(report) for report in reports], algorithm.models(), start

    results = run_workers(2, work)
    reports, models, start = results[0]
    assert results[1][0] == reports
    assert [report["warming_up"] for report in reports[:4]] == [True, True, True, False]
    # three times 1 of rank 0 alone; then the mean of 1 and 100; then twice rank 1's 100 with momentum
    steps = [3, 50.5, 0.5 * 50.5 + 100, 0.5 * (0.5 * 50.5 + 100) + 100]
    torch.testing.assert_close(models["bmuf"]["weight"] - start, torch.full((2, 3), sum(steps)))
    assert reports[3]["block_frames"] == 20


def test_warmup_ends_with_rank_0s_data():
    def work(comm):
        algorithm, model, _ = attached(comm, warmup_frames=10_000)
        for _ in range(2 if comm.rank == 0 else 5):
            shift(model, 1.0)
            algorithm.after_step(10)
        algorithm.finish()
        return algorithm.total_frames

    totals = run_workers(2, work)
    assert totals[0] == totals[1] == 2 * 10 + 4 * 10  # rank 1 gave its first step up


@pytest.mark.parametrize("reset", [True, False])
def test_local_momentum_reset(reset):
    def work(comm):
        algorithm, model, optimizer = attached(comm, reset_local_momentum=reset)
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        algorithm.after_step(10)
        return float(optimizer.state[model.weight]["momentum_buffer"].abs().sum())

    assert all((value == 0) == reset for value in run_workers(2, work))


def test_adam_keeps_its_second_moment_and_its_count():
    """Without block_adam: the first moment starts again, as SGD's momentum does, and a step after the sync is not blown up."""

    def work(comm):
        model = nn.Linear(3, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        algorithm = make_algorithm(ParallelConfig(sync_frames=10, block_momentum=0.0))
        algorithm.attach(model, optimizer, comm)
        for _ in range(50):
            model.weight.grad = torch.full_like(model.weight, 1.0 + comm.rank)
            optimizer.step()
        second = optimizer.state[model.weight]["exp_avg_sq"].clone()
        algorithm.after_step(10)
        entry, start = optimizer.state[model.weight], model.weight.detach().clone()
        assert not entry["exp_avg"].any() and torch.equal(entry["exp_avg_sq"], second) and float(entry["step"]) == 50
        optimizer.step()
        return (model.weight.detach() - start).abs() / 0.01

    for steps in run_workers(2, work):  # 1 - beta_1 of a full step
        torch.testing.assert_close(steps, torch.full((2, 3), 0.1), rtol=0.01, atol=0)


def test_average_start_frames():
    algorithm, model, _ = attached(SingleComm(), algorithm="single", average_start_frames=20)
    for _ in range(3):
        shift(model, 1.0)
        algorithm.after_step(10)
    models = algorithm.models()
    torch.testing.assert_close(models["ma"]["weight"], models["single"]["weight"] - 0.5)


def test_constant_buffers_never_drift():
    """Log-priors stay to the bit with three workers, and may be infinite."""

    class WithPrior(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))
            self.register_buffer("log_prior_P", torch.tensor([0.1, -1.7, -math.inf, 1 / 3]))
            self.register_buffer("running", torch.zeros(2))
            self.register_buffer("scratch", torch.zeros(2), persistent=False)

    def work(comm):
        algorithm, model, _ = attached(comm, WithPrior(), weighting="frames")
        for _ in range(5):
            model.running.add_(comm.rank)
            shift(model, 0.1)
            algorithm.after_step(10 + comm.rank)
        return algorithm.models()

    for models in run_workers(3, work):
        for model in models.values():
            assert torch.equal(model["log_prior_P"], WithPrior().log_prior_P)
            assert "scratch" not in model
        torch.testing.assert_close(models["bmuf"]["running"], torch.full((2,), 5 * (11 + 2 * 12) / 33))


def test_flat_buffer_views_ties_and_frozen_parameters():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 3)
            self.second = nn.Linear(3, 3)
            self.second.weight = self.first.weight
            self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
            self.short = nn.Parameter(torch.ones(5, dtype=torch.bfloat16))

    model = Tied()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    buffer = FlatBuffer(model, SingleComm())
    assert buffer.shard_size % 16 == 0 and buffer.num_elements == 16 * 4
    assert model.first.weight.data_ptr() == buffer.flat[16:].data_ptr() == model.second.weight.data_ptr()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    buffer.flat.mul_(2)
    buffer.unpack()
    assert torch.equal(model.second.weight, 2 * before["first.weight"])
    assert torch.equal(model.short, 2 * before["short"]) and model.short.dtype == torch.bfloat16
    assert torch.equal(model.frozen, before["frozen"])
    state = buffer.to_state_dict(buffer.flat, {})
    assert list(state) == list(before) and torch.equal(state["second.weight"], model.second.weight)
    assert state["first.weight"].untyped_storage().nbytes() == 4 * 9  # not a view of everything
    model.first.weight.data = torch.zeros(3, 3)  # somebody moves a parameter away
    buffer.pack()
    assert float(buffer.flat[16:25].abs().sum()) == 0
    buffer.flat[16:25] = 7
    buffer.unpack()
    assert torch.equal(model.first.weight, torch.full((3, 3), 7.0))


def test_sum_does_not_depend_on_ranges():
    """Sharded equals unsharded to the bit, wherever the cuts fall."""
    rows = [torch.randn(1000, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    weights = [0.3, 0.0, 0.2, 0.1, 0.4]
    whole = torch.empty(1000)
    weighted_sum_(rows, weights, whole)
    for cuts in ([0, 1000], [0, 1, 999, 1000], [0, 7, 300, 641, 1000]):
        pieces = []
        for begin, end in itertools.pairwise(cuts):
            pieces.append(torch.empty(end - begin))
            weighted_sum_([row[begin:end] for row in rows], weights, pieces[-1])
        assert torch.equal(torch.cat(pieces), whole)


def test_sharded_equals_unsharded():
    """The same displacements of the same two active workers, in two and in five shards."""

    def work(comm):
        torch.manual_seed(1)
        algorithm, model, _ = attached(comm, nn.Linear(31, 17), block_momentum=0.7, nesterov=True, weighting="frames")
        for sync in range(6):
            generator = torch.Generator().manual_seed(sync)
            moves = [torch.randn(17, 31, generator=generator) for _ in range(2)]
            if comm.rank < 2:
                with torch.no_grad():
                    model.weight.add_(moves[comm.rank])
                algorithm.after_step(10 + comm.rank)
            else:
                algorithm._synchronise(out_of_data=True)
        return algorithm.models()

    two, five = run_workers(2, work)[0], run_workers(5, work)[0]
    assert all(torch.equal(two[name]["weight"], five[name]["weight"]) for name in two)


def test_different_settings_are_noticed():
    def work(comm):
        attached(comm, block_lr=1.0 + comm.rank)

    with pytest.raises(AsrtoolError, match="rank 1 has another model or other parallel settings than rank 0"):
        run_workers(3, work)


def test_virtual_workers_pass_on_errors():
    def work(comm):
        if comm.rank == 1:
            raise KeyError("lost")
        comm.barrier()

    with pytest.raises(KeyError, match="lost"):
        run_workers(3, work)

    with pytest.raises(AsrtoolError, match=r"lost contact .*rank 1 has ended"):
        run_workers(3, lambda comm: None if comm.rank == 1 else comm.barrier())


def test_virtual_workers_have_random_states_of_their_own():
    def work(comm):
        numbers = []
        for _ in range(3 + comm.rank):
            numbers.append(float(torch.rand(())))
        comm.barrier()
        numbers.append(float(torch.rand(())))
        return numbers

    torch.manual_seed(1)
    results = run_workers(2, work)
    assert results[0] == results[1][:4]


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"sync_frames": 0}, "sync_frames must be at least 1"),
        ({"block_momentum": 1.0}, r"block_momentum must be in \[0, 1\)"),
        ({"block_lr": 0.0}, "block_lr must be above 0"),
        ({"ema_alpha": [1.0]}, r"ema_alpha must be in \(0, 1\)"),
        ({"ema_alpha": [0.9, 0.9]}, "twice"),
        ({"warmup_frames": -1}, "warmup_frames must not be negative"),
        ({"weighting": "speakers"}, "weighting: expected one of workers, frames"),
        ({"blok_lr": 1.0}, "unknown key 'blok_lr'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(AsrtoolError, match=message):
        from_dict(ParallelConfig, settings, "parallel.yaml")


def test_unfit_uses_are_refused():
    with pytest.raises(AsrtoolError, match="algorithm 'bmff' is unknown; known: single"):
        make_algorithm(ParallelConfig(algorithm="bmff"))
    with pytest.raises(AsrtoolError, match="'single' is for one worker, not 2"):
        run_workers(2, lambda comm: attached(comm, algorithm="single"))
    with pytest.raises(AsrtoolError, match="no parameter to train"):
        FlatBuffer(nn.Linear(2, 2).requires_grad_(False), SingleComm())


def test_unfit_states_are_refused():
    algorithm, _, _ = attached(SingleComm(), algorithm="single")
    state = algorithm.state_dict()
    for change, message in [
        ({"format": 0}, "format 0"),
        ({"algorithm": "bmuf"}, "of 'bmuf'"),
        ({"layout": []}, "other parameters"),
        ({"world_size": 2}, "of 2 workers, now there are 1; merge"),
        ({"rank": 1}, "state of rank 1"),
        ({"shards": {"global": state["shards"]["global"]}}, "has no 'ma'"),
    ]:
        with pytest.raises(AsrtoolError, match=message):
            algorithm.load_state_dict({**state, **change})
    with pytest.raises(AsrtoolError, match="not complete"):
        merge_states([{**state, "world_size": 2}])
    with pytest.raises(AsrtoolError, match="different syncs"):
        other = {**state, "rank": 1, "pieces": [1], "world_size": 2, "counters": {**state["counters"], "num_syncs": 7}}
        merge_states([{**state, "world_size": 2}, other])
