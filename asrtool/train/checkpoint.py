"""Checkpoints of all workers: EXP/checkpoints/<serial>/rank<r>.pt, and `latest`, which names the last complete one."""

import json
import pickle
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path, write_text
from asrtool.parallel.protocol import Comm
from asrtool.train.disk import sync_folder, writing


class CheckpointStore:
    """Every rank writes its own state; when all have, rank 0 points `latest` there. All methods are collective.

    A run that is killed at any moment finds either the previous checkpoint or the new one, whole.

    Args:
        keep: the last so many stay on disk.
        device: where `comm` takes tensors from.
    Attributes:
        serial: of the last complete checkpoint, 0 for none.
    """

    def __init__(self, directory: Path, comm: Comm, keep: int, device: torch.device | str = "cpu") -> None:
        self.directory = directory
        self.comm = comm
        self.keep = keep
        self.device = device
        latest = self._latest()
        self.serial = latest["serial"] if latest else 0
        if latest is not None and latest["world_size"] != comm.size:
            raise AsrtoolError(
                f"{directory}: checkpoint of {latest['world_size']} workers, started with {comm.size}; "
                f"go on with --num-workers {latest['world_size']} or use a new experiment directory"
            )

    def save(self, state: dict[str, Any], needed: Collection[int] = ()) -> None:
        """Writes a checkpoint of `state` (tensors and plain containers) as number `serial` + 1; those in `needed` stay too.

        Raises:
            AsrtoolError: on all ranks, when one of them cannot write; the previous checkpoint is still the latest.
        """
        serial = self.serial + 1
        folder = self.directory / f"{serial:08d}"
        self._together(lambda: self._write(folder / f"rank{self.comm.rank}.pt", state), folder)
        self._together(lambda: self._point_to(serial), folder)
        self.serial = serial
        if self.comm.rank == 0:
            wanted = {*range(serial - self.keep + 1, serial + 1), *needed}
            for old in self.directory.iterdir():
                if old.is_dir() and int(old.name) not in wanted:
                    shutil.rmtree(old, ignore_errors=True)

    def load(self, serial: int | None = None) -> dict[str, Any] | None:
        """This rank's state of the last complete checkpoint (or number `serial`), or None when there is none.

        Raises:
            AsrtoolError: the checkpoint is damaged.
        """
        serial = self.serial if serial is None else serial
        if not serial:
            return None
        path = self.directory / f"{serial:08d}" / f"rank{self.comm.rank}.pt"
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise AsrtoolError(
                f"{path}: damaged checkpoint ({str(error).splitlines()[0][:80]}); put the serial of an older one into "
                f"{self.directory}/latest, or remove {self.directory} to start anew"
            ) from None

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        with writing(path):
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                torch.save(state, file)
            for folder in (path.parent, self.directory):  # the name is on the disk too before `latest` tells of it
                sync_folder(folder)

    def _point_to(self, serial: int) -> None:
        if self.comm.rank == 0:
            with writing(self.directory / "latest"):
                write_text(self.directory / "latest", json.dumps({"serial": serial, "world_size": self.comm.size}) + "\n")

    def _together(self, work: Callable[[], None], folder: Path) -> None:
        """Runs `work` on every rank; when it fails on one, `folder` is removed and all raise."""
        failure = None
        try:
            work()
        except AsrtoolError as error:
            failure = error
        failed = torch.zeros(self.comm.size, dtype=torch.float64, device=self.device)
        failed[self.comm.rank] = failure is not None
        self.comm.all_reduce_(failed)
        ranks = [rank for rank, flag in enumerate(failed.tolist()) if flag]
        if not ranks:
            return
        if self.comm.rank == 0:
            shutil.rmtree(folder, ignore_errors=True)  # also makes space
        raise failure or AsrtoolError(f"{folder}: worker {ranks[0]} could not write its part; see its own message")

    def _latest(self) -> dict[str, int] | None:
        try:
            return json.loads((self.directory / "latest").read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            raise AsrtoolError(f"{self.directory}/latest: not readable; remove {self.directory} to start anew") from None
