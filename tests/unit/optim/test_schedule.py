import pytest

from asrtool.optim.schedule import Schedule, ScheduleConfig


def test_constant_after_a_linear_warm_up():
    schedule = Schedule(ScheduleConfig("constant", learning_rate=0.8, warmup_epochs=0.5), 4)
    assert [schedule.learning_rate(epochs) for epochs in (0, 0.125, 0.25, 0.5, 3.9)] == pytest.approx([0, 0.2, 0.4, 0.8, 0.8])


def test_exponential_goes_through_the_geometric_mean():
    schedule = Schedule(ScheduleConfig("exponential", learning_rate=1.0, final_learning_rate=0.01), 4)
    assert [schedule.learning_rate(epochs) for epochs in (0, 1, 2, 4, 5)] == pytest.approx([1, 10**-0.5, 0.1, 0.01, 0.01])


def kaldi_newbob(losses, keep_lr_iters=0, min_iters=0, rate=1.0):
    """The loop of Kaldi's steps/nnet/train_scheduler.sh (defaults) in its own order: (accepted, rate after) of each epoch."""
    loss, halving, done = losses[0], False, []
    for epoch, loss_new in enumerate(losses[1:], start=1):
        loss_prev = loss
        accepted = loss_new < loss or epoch <= keep_lr_iters or epoch <= min_iters
        if accepted:
            loss = loss_new
        done.append([accepted, rate])
        if epoch <= keep_lr_iters:
            continue
        rel_impr = (loss_prev - loss) / loss_prev
        if halving and rel_impr < 0.001:
            if epoch <= min_iters:
                continue
            break
        if rel_impr < 0.01:
            halving = True
        if halving:
            rate *= 0.5
            done[-1][1] = rate
    return done


LOSSES = [
    (4.0, 3.0, 2.0, 1.99, 1.5, 1.4995),  # gains: 25 %, 33 %, 0.5 %, 25 %, 0.03 %
    (4.0, 3.0, 3.1, 2.9, 2.95),  # rejected, accepted, rejected
    (4.0, 5.0, 3.9, 3.0, 2.9),  # the first one rejected
    (4.0, 3.0, 3.2, 3.1, 3.3, 3.0, 2.9, 2.8),
    (4.0, float("nan"), 3.0, 2.0),
]


@pytest.mark.parametrize("losses", LOSSES)
@pytest.mark.parametrize(("keep", "minimum"), [(0, 0), (3, 0), (0, 4), (2, 5)])
def test_newbob_decides_as_the_script_of_kaldi(losses, keep, minimum):
    config = ScheduleConfig("newbob", learning_rate=1.0, keep_lr_epochs=keep, min_epochs=minimum)
    schedule = Schedule(config, 20)
    schedule.begin(losses[0])
    found = []
    for epoch, loss in enumerate(losses[1:], start=1):
        decision = schedule.after_epoch(epoch, loss)
        found.append([decision.accepted, schedule.learning_rate(1.0)])
        whats = [what for what, _ in decision.events]
        assert ("rejected" in whats) != decision.accepted and ("stopped" in whats) == schedule.stopped
        if schedule.stopped:
            break
    assert found == kaldi_newbob(losses, keep, minimum)


def test_other_schedules_accept_every_epoch_and_can_be_lowered():
    for kind in ("constant", "exponential"):
        schedule = Schedule(ScheduleConfig(kind, learning_rate=1.0, final_learning_rate=1.0), 4)
        assert all(schedule.after_epoch(epoch, loss).accepted for epoch, loss in ((1, 1.0), (2, 2.0)))
        schedule.lower(0.25)
        assert schedule.learning_rate(2.0) == 0.25 and not schedule.stopped


def test_a_schedule_goes_on_from_its_state():
    config = ScheduleConfig("newbob")
    one, other = Schedule(config, 4), Schedule(config, 4)
    for epoch, loss in enumerate((2.0, 2.0, 1.0), start=1):
        one.after_epoch(epoch, loss)
    other.load_state_dict(one.state_dict())
    one.after_epoch(4, 0.9)
    other.after_epoch(4, 0.9)
    assert one.state_dict() == other.state_dict() and one.learning_rate(2) == other.learning_rate(2)


@pytest.mark.parametrize(
    "settings", [{"learning_rate": 0.0}, {"warmup_epochs": -1.0}, {"halving_factor": 1.0}, {"min_epochs": -1}]
)
def test_schedule_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="schedule:"):
        ScheduleConfig(**settings)
