"""Checkpoints of all workers: EXP/checkpoints/<serial>/rank<r>.pt, and `latest`, which names the last complete one."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path, write_text
from asrtool.parallel.protocol import Comm


class CheckpointStore:
    """Every rank writes its own state; when all have, rank 0 points `latest` there. All methods are collective.

    A run that is killed at any moment finds either the previous checkpoint or the new one, whole.
    """

    def __init__(self, directory: Path, comm: Comm, keep: int) -> None:
        self.directory = directory
        self.comm = comm
        self.keep = keep

    def save(self, state: dict[str, Any]) -> None:
        """Writes a checkpoint of `state` (tensors and plain containers)."""
        serial = self._latest()["serial"] + 1 if self._latest() else 1
        self.comm.barrier()  # all have read `latest` before rank 0 moves it
        folder = self.directory / f"{serial:08d}"
        with atomic_path(folder / f"rank{self.comm.rank}.pt") as temporary:
            torch.save(state, temporary)
        self.comm.barrier()
        if self.comm.rank == 0:
            write_text(self.directory / "latest", json.dumps({"serial": serial, "world_size": self.comm.size}) + "\n")
            for old in self.directory.iterdir():
                if old.is_dir() and int(old.name) not in range(serial - self.keep + 1, serial + 1):
                    shutil.rmtree(old)

    def load(self) -> dict[str, Any] | None:
        """This rank's state of the last complete checkpoint, or None when there is none.

        Raises:
            AsrtoolError: the checkpoint is of another number of workers, or damaged.
        """
        latest = self._latest()
        if latest is None:
            return None
        if latest["world_size"] != self.comm.size:
            raise AsrtoolError(
                f"{self.directory}: checkpoint of {latest['world_size']} workers, started with {self.comm.size}; "
                f"go on with --num-workers {latest['world_size']} or use a new experiment directory"
            )
        path = self.directory / f"{latest['serial']:08d}" / f"rank{self.comm.rank}.pt"
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError) as error:
            raise AsrtoolError(
                f"{path}: damaged checkpoint ({str(error).splitlines()[0][:80]}); put the serial of an older one into "
                f"{self.directory}/latest, or remove {self.directory} to start anew"
            ) from None

    def _latest(self) -> dict[str, int] | None:
        try:
            return json.loads((self.directory / "latest").read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            raise AsrtoolError(f"{self.directory}/latest: not readable; remove {self.directory} to start anew") from None
