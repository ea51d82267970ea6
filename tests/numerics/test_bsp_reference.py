"""Synchronous training against one worker that sees all mini-batches at once."""

import pytest
import torch
from torch import nn

from asrtool.errors import AsrtoolError
from asrtool.parallel import ParallelConfig, make_algorithm
from asrtool.parallel.simulation.in_process import run_workers

BATCH = 6


pytestmark = pytest.mark.usefixtures("one_thread")


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


class WithIdlePart(nn.Module):
    """Float32, several layers, and a parameter that gets a gradient on some mini-batches only."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.idle, self.first, self.last = nn.Linear(4, 3), nn.Linear(4, 30), nn.Linear(30, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits = self.last(self.first(inputs).tanh())
        return logits + self.idle(inputs) if float(inputs[0, 0]) > 0 else logits


def train_in_float32(comm, num_steps: list[int], bad: set, log: list | None = None, **settings):
    model = WithIdlePart()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    algorithm = make_algorithm(ParallelConfig(algorithm="bsp", sync_frames=BATCH, max_skipped_syncs=9, **settings))
    algorithm.attach(model, optimizer, comm)
    reports = []
    algorithm.on_sync.append(reports.append)
    if log is not None:
        start_exchange = comm.start_exchange
        comm.start_exchange = lambda *arguments: log.append("exchange") or start_exchange(*arguments)
    for epoch in range(2):
        for step in range(num_steps[comm.rank]):
            inputs, labels = batch(comm.rank, epoch, step)
            optimizer.zero_grad()
            loss = loss_of(model, inputs.float(), labels)
            (loss * float("nan") if (comm.rank, epoch, step) in bad else loss).backward()
            if log is not None:
                log.append("backward")
            algorithm.before_step()
            optimizer.step()
            algorithm.after_step(BATCH - comm.rank)
        algorithm.finish()
    return reports, algorithm.models(), model.state_dict(), optimizer.state_dict()["state"]


@pytest.mark.parametrize("bucket_mb", [1e-9, 3e-4, 4.0])
@pytest.mark.parametrize(
    "num_steps,bad,policy",
    [
        ([5, 5, 5], set(), "skip_worker"),
        ([2, 6, 0], set(), "skip_worker"),
        ([4, 6, 3], {(1, 0, 2), (0, 0, 2), (1, 1, 5)}, "skip_worker"),
        ([4, 6, 3], {(1, 0, 2), (1, 1, 5)}, "skip_block"),
    ],
)
def test_buckets_equal_all_at_once(num_steps, bad, policy, bucket_mb, capsys):
    """To the bit: models, averages, reports and momentum; the third step of all of an epoch is bad on two workers, the last of an
    epoch on the only one that has data."""
    settings = {"num_steps": num_steps, "bad": bad, "nonfinite": policy}
    plain = run_workers(3, lambda comm: train_in_float32(comm, **settings))
    overlapped = run_workers(3, lambda comm: train_in_float32(comm, **settings, overlap=True, bucket_mb=bucket_mb))
    for (reports, models, local, momenta), (reports2, models2, local2, momenta2) in zip(plain, overlapped):
        assert reports == reports2 and len(reports) > 2
        for name in models:
            assert all(torch.equal(models[name][key], models2[name][key]) for key in local)
            assert all(torch.isfinite(value).all() for value in models[name].values())
        assert all(torch.equal(local[key], local2[key]) for key in local)
        assert all(torch.equal(momenta[key]["momentum_buffer"], momenta2[key]["momentum_buffer"]) for key in momenta)
    assert bool(bad) == ("NaN" in capsys.readouterr().err)


def test_buckets_go_while_backward_goes_on():
    """The last layer's gradients travel before the first layer's are there."""
    logs = [[], []]
    run_workers(2, lambda comm: train_in_float32(comm, [3, 2], set(), logs[comm.rank], overlap=True, bucket_mb=1e-9))
    assert logs[0].count("exchange") == logs[1].count("exchange") == 2 * 3 * 6  # 6 tensors, each alone
    counts = [len(part.split()) for part in " ".join(logs[0]).split("backward")]  # of exchanges between the passes' ends
    idle = [float(batch(0, epoch, step)[0][0, 0]) <= 0 for epoch in range(2) for step in range(3)]
    assert len(set(idle)) == 2
    left = 0  # of the step before: the idle part's two tensors are sent after the pass when they have no gradient
    for count, is_idle in zip(counts, idle):
        assert count - left == (4 if is_idle else 6)
        left = 2 if is_idle else 0


def test_errors_in_the_backward_pass_keep_their_type():
    """Contact is lost at the first bucket: within backward."""

    def work(comm):
        model, optimizer = make()
        algorithm = make_algorithm(ParallelConfig(algorithm="bsp", overlap=True))
        algorithm.attach(model, optimizer, comm)
        if comm.rank == 1:
            return "ends"
        with pytest.raises(AsrtoolError, match="rank 1 has ended"):
            loss_of(model, *batch(0, 0, 0)).backward()
        raise KeyError("as expected")

    with pytest.raises(KeyError, match="as expected"):
        run_workers(2, work)


def test_two_backward_passes_a_step_are_refused():
    def work(comm):
        model, optimizer = make()
        algorithm = make_algorithm(ParallelConfig(algorithm="bsp", overlap=True))
        algorithm.attach(model, optimizer, comm)
        loss_of(model, *batch(0, 0, 0)).backward()
        loss_of(model, *batch(0, 0, 1)).backward()

    with pytest.raises(RuntimeError, match="one pass for each step"):
        run_workers(2, work)


def test_every_frame_counts_the_same():
    """A short minibatch's gradient is a sum divided by the size of a full one, as the trainer does it; `weighting` is ignored."""

    def work(comm, weighting):
        model, optimizer = make()
        algorithm = make_algorithm(ParallelConfig(algorithm="bsp", weighting=weighting))
        algorithm.attach(model, optimizer, comm)
        inputs, labels = batch(comm.rank, 0, 0)
        count = BATCH - 3 * comm.rank
        (nn.functional.cross_entropy(model(inputs[:count]), labels[:count], reduction="sum") / BATCH).backward()
        algorithm.before_step()
        return model[0].weight.grad

    model, _ = make()
    first, second = batch(0, 0, 0), batch(1, 0, 0)
    inputs, labels = torch.cat([first[0], second[0][:3]]), torch.cat([first[1], second[1][:3]])
    nn.functional.cross_entropy(model(inputs), labels, reduction="sum").backward()
    for weighting in ("workers", "frames"):
        for gradient in run_workers(2, lambda comm, weighting=weighting: work(comm, weighting)):
            torch.testing.assert_close(gradient, model[0].weight.grad / (2 * BATCH), rtol=0, atol=1e-15)
