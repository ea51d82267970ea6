"""The short form of kill_training.py: a synchronous and an asynchronous training, hit a few times in different ways."""

import runpy
from pathlib import Path

import pytest

KILL = runpy.run_path(str(Path(__file__).with_name("kill_training.py")))
SETTINGS = ["num_epochs=2", "models_per_epoch=2", "parallel.sync_frames=200", "parallel.lost_after_s=5"]


@pytest.fixture
def victim(tmp_path):
    toy = KILL["MAKE_TOY"](tmp_path / "toy", num_utterances=120)
    return lambda name, *settings: KILL["Victim"](tmp_path / name, toy, [*SETTINGS, *settings])


def test_a_synchronous_training_that_is_hit_ends_with_the_models_of_virtual_workers(victim):
    broken, untouched = (victim(name, "schedule.kind=newbob") for name in ("broken", "untouched"))
    episodes, wrong = KILL["torment"](broken, ["kill worker", "SIGTERM"], seed=5, longest_s=0.2, elastic=False)
    assert wrong == [] and [episode.status for episode in episodes] == [1, 143]
    assert "lost contact with" in episodes[0].log and "stopped on request; the same command goes on" in episodes[1].log
    assert "going on from the checkpoint" in broken.log.read_text()
    untouched.train_untouched()
    assert KILL["CHECKS"]["differences"](broken.experiment, untouched.experiment) == []


def test_an_asynchronous_training_goes_on_without_a_worker_and_then_with_another_number(victim):
    broken = victim("broken", "parallel.algorithm=asgd", "schedule.learning_rate=0.1")
    broken.num_workers = 3
    episodes, wrong = KILL["torment"](broken, ["kill worker", "kill worker 0"], seed=5, longest_s=0.2, elastic=False)
    assert wrong == [] and [episode.status for episode in episodes] == [None, 1]
    assert "is lost; training goes on with 2 of 3" in episodes[0].log
    assert "going on with 3 worker(s) instead of 2" in broken.log.read_text()
    assert KILL["CHECKS"]["not_sane"](broken.experiment) == []
