"""Trainings of the toy task through the command, and comparisons of what they leave."""

import json
import runpy
from pathlib import Path

import pytest
import torch

from asrtool import cli
from asrtool.nnet.model_file import load_model

TOY = runpy.run_path(str(Path(__file__).parents[2] / "distributed" / "training_toy.py"))
TIMINGS = ("frames_per_s", "load_s", "step_s", "sync_s")


class Runs:
    """What the tests of training do with experiment directories."""

    make_toy = staticmethod(TOY["make_toy"])

    @staticmethod
    def words(toy: Path, experiment: Path, *overrides: str) -> list[str]:
        data = [str(toy / name) for name in ("ali", "train", "valid")]
        return ["train-nnet", "--config", str(toy / "config.yaml"), *data, str(experiment), *overrides]

    def train(self, toy: Path, experiment: Path, *overrides: str) -> int:
        return cli.main(self.words(toy, experiment, *overrides))

    @staticmethod
    def models(experiment: Path) -> dict[str, dict[str, torch.Tensor]]:
        paths = sorted(experiment.rglob("*.pt"))
        return {str(path.relative_to(experiment)): load_model(path).model.state_dict() for path in paths}

    @staticmethod
    def records(experiment: Path, *kinds: str, timeless: bool = False) -> list[dict]:
        lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
        lines = [line for line in lines if not kinds or line["kind"] in kinds]
        return [{key: value for key, value in line.items() if not (timeless and key in TIMINGS)} for line in lines]

    def assert_same(self, one: Path, other: Path) -> None:
        """All models equal to the bit, all records equal but for timings."""
        left, right = self.models(one), self.models(other)
        assert list(left) == list(right) and left
        for name in left:
            for key in left[name]:
                assert torch.equal(left[name][key], right[name][key]), (name, key)
        assert self.records(one, timeless=True) == self.records(other, timeless=True)


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def toy(tmp_path) -> Path:
    return TOY["make_toy"](tmp_path / "toy")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Two threads over matrices this small only wait for each other, on a busy machine for long."""
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
