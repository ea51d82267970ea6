"""What the verbs that train a network share: their arguments, and how they end when they are stopped."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from asrtool.arguments import existing_path

if TYPE_CHECKING:
    from asrtool.train.config import TrainConfig
    from asrtool.train.run import TrainPaths


def add_train_options(options: ArgumentParser, about_exp_dir: str, settings: str = "config") -> None:
    """Settings, data, experiment directory, and overrides as the last arguments."""
    about = f"settings, YAML; see asrtool/train/{settings}.py"
    options.add_argument("--config", type=existing_path, required=True, help=about)
    options.add_argument("--valid-alignments", type=existing_path, help="alignments of VALID_DATA (default: those in ALI_DIR)")
    options.add_argument("ali_dir", type=existing_path, help="directory with ali.*.gz and final.mdl")
    options.add_argument("train_data", type=existing_path)
    options.add_argument("valid_data", type=existing_path)
    options.add_argument("exp_dir", type=Path, help=about_exp_dir)
    options.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that replace those of the file, a.b=value")


def run_training(given: Namespace, train: Callable[["TrainConfig", "TrainPaths"], object]) -> int:
    """Calls `train` with what was given; the exit status."""
    from asrtool.io.config import load_config
    from asrtool.train.config import TrainConfig
    from asrtool.train.run import TrainPaths

    config = load_config(TrainConfig, given.config, given.overrides)
    paths = TrainPaths(given.ali_dir, given.train_data, given.valid_data, given.exp_dir, given.valid_alignments)
    return until_stopped(given.exp_dir, lambda: train(config, paths))


def until_stopped(exp_dir: Path, train: Callable[[], object]) -> int:
    """Calls `train`; the exit status."""
    from asrtool.train.guard import STOPPED_STATUS
    from asrtool.train.stop import Stopped

    try:
        train()
    except Stopped:
        print(f"{exp_dir}: stopped on request; the same command goes on from here")
        return STOPPED_STATUS
    return 0
