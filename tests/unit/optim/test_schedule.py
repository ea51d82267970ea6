import pytest
import torch

from asrtool.optim.optimizer import OptimizerConfig, make_optimizer, set_learning_rate
from asrtool.optim.schedule import Schedule, ScheduleConfig


def test_constant_after_a_linear_warm_up():
    schedule = Schedule(ScheduleConfig("constant", learning_rate=0.8, warmup_epochs=0.5), 4)
    assert [schedule.learning_rate(epochs) for epochs in (0, 0.125, 0.25, 0.5, 3.9)] == pytest.approx([0, 0.2, 0.4, 0.8, 0.8])


def test_exponential_goes_through_the_geometric_mean():
    schedule = Schedule(ScheduleConfig("exponential", learning_rate=1.0, final_learning_rate=0.01), 4)
    assert [schedule.learning_rate(epochs) for epochs in (0, 1, 2, 4, 5)] == pytest.approx([1, 10**-0.5, 0.1, 0.01, 0.01])


def test_newbob_halves_after_a_small_gain_and_stops_after_none():
    schedule = Schedule(ScheduleConfig("newbob", learning_rate=1.0), 20)
    rates = []
    for loss in (3.0, 2.0, 1.99, 1.5, 1.4995):  # gains: -, 33 %, 0.5 %, 25 %, 0.03 %
        assert not schedule.stopped
        schedule.after_epoch(loss)
        rates.append(schedule.learning_rate(1.0))
    assert rates == [1.0, 1.0, 0.5, 0.25, 0.125]
    assert schedule.stopped


def test_a_schedule_goes_on_from_its_state():
    config = ScheduleConfig("newbob")
    one, other = Schedule(config, 4), Schedule(config, 4)
    for loss in (2.0, 2.0, 1.0):
        one.after_epoch(loss)
    other.load_state_dict(one.state_dict())
    one.after_epoch(0.9)
    other.after_epoch(0.9)
    assert one.state_dict() == other.state_dict() and one.learning_rate(2) == other.learning_rate(2)


@pytest.mark.parametrize("settings", [{"learning_rate": 0.0}, {"warmup_epochs": -1.0}, {"halving_factor": 1.0}])
def test_schedule_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="schedule:"):
        ScheduleConfig(**settings)


def test_momentum_sgd_by_hand():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 1.0)
    optimizer = make_optimizer(OptimizerConfig(momentum=0.5, weight_decay=0.1), model, 0.0)
    weight, velocity = 1.0, 0.0
    for rate, gradient in ((0.1, 2.0), (0.2, -1.0), (0.2, 0.5)):
        set_learning_rate(optimizer, rate)
        model.weight.grad = torch.tensor([[gradient]])
        optimizer.step()
        velocity = 0.5 * velocity + gradient + 0.1 * weight
        weight -= rate * velocity
        assert model.weight.item() == pytest.approx(weight, rel=1e-6)


def test_optimizer_settings_out_of_range():
    with pytest.raises(ValueError, match="momentum must be in"):
        OptimizerConfig(momentum=1.0)
