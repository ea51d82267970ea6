"""The short form of kill_training.py: a training of two workers, hit a few times in different ways."""

import runpy
from pathlib import Path

KILL = runpy.run_path(str(Path(__file__).with_name("kill_training.py")))
BLOWS = ["kill worker", "kill torchrun", "file too large"]


def test_a_training_that_is_hit_again_and_again_ends_with_the_same_models(tmp_path):
    toy = KILL["MAKE_TOY"](tmp_path / "toy", num_utterances=200)
    data = [toy / "ali", toy / "train", toy / "valid"]
    settings = ["num_epochs=3", "models_per_epoch=2", "parallel.sync_frames=200", "schedule.kind=newbob"]
    whole, broken = (
        KILL["Victim"](tmp_path / name, tmp_path / f"{name}.log", toy / "config.yaml", data, settings)
        for name in ("whole", "broken")
    )
    whole.run_to_the_end()
    episodes = KILL["torment"](broken, BLOWS, kills=len(BLOWS), seed=5, longest_s=0.2)
    broken.run_to_the_end()
    assert KILL["differences"](broken.experiment, whole.experiment) == []
    assert len(episodes) == len(BLOWS) and KILL["complaints"](episodes) == []
    assert "going on from the checkpoint" in broken.log.read_text()
