"""Trains the toy by sequence criteria with two processes, one of which kills itself. Run it: sequence_ranks.py TOY PORT CASE...

CASE is NAME:SYNC:KEY=VALUE,...: rank 1 dies at its synchronisation number SYNC (0: it lives). The experiment is TOY/NAME.
Prints the exit codes of the ranks, a line for each case.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

import torch

from asrtool.train.at_sync import AtSync
from asrtool.train.sequence_run import train_sequence

HERE = Path(__file__).parent
FORK_RANKS = runpy.run_path(str(HERE / "forked.py"))["fork_ranks"]
SETTINGS = runpy.run_path(str(HERE / "sequence_toy.py"))["settings"]


def die_at(sync: int) -> None:
    original, seen = AtSync.__call__, []

    def dying(self, report):
        original(self, report)
        seen.append(report)
        if len(seen) == sync:
            os.kill(os.getpid(), signal.SIGKILL)

    AtSync.__call__ = dying


def rank(number: int, toy: Path, port: int, case: str) -> None:
    name, sync, overrides = case.split(":")
    place = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    place |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    os.environ.update({key: str(value) for key, value in place.items()})
    torch.set_num_threads(1)
    if number == 1 and int(sync):
        die_at(int(sync))
    train_sequence(*SETTINGS(toy, toy / name, *overrides.split(","), wer=False))


def warm_up(toy: Path) -> None:
    """Loads what each rank would load again; leaves no thread behind, so that the process can be forked."""
    torch.set_num_threads(1)
    overrides = ["num_epochs=1", "models_per_epoch=1", "loader.prefetch=0", "held_out.max_utterances=1"]
    train_sequence(*SETTINGS(toy, toy / "warm_up", *overrides, wer=False))


if __name__ == "__main__":
    warm_up(Path(sys.argv[1]))
    for index, one in enumerate(sys.argv[3:]):
        sys.stdout.flush()
        FORK_RANKS(range(2), lambda number, one=one, index=index: rank(number, Path(sys.argv[1]), int(sys.argv[2]) + index, one))
