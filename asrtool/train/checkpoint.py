"""Checkpoints of all workers: EXP/checkpoints/<serial>/rank<r>.pt, and `latest`, which names the last complete one.

Beside a checkpoint's files `workers` says how many workers there were, and the ranks of those that have a file: all, or those
that were left when others were lost.
"""

import json
import pickle
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path, write_text
from asrtool.parallel.protocol import Comm
from asrtool.train.disk import sync_folder, writing

FORMAT = 3


class Workers(NamedTuple):
    """Who made a checkpoint: the number of workers that the training was started with, and those that were left."""

    world_size: int
    ranks: list[int]


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
        if comm.rank == 0:  # the others are told, so that all mean the same one
            self.serial = self._latest()
            self._remove(lambda number: number > self.serial)  # a run of other workers was killed while it wrote
        serial = torch.tensor([self.serial if comm.rank == 0 else 0], dtype=torch.int64, device=device)
        comm.broadcast_(serial)
        self.serial = int(serial)

    def save(self, make_state: Callable[[], dict[str, Any]], needed: Collection[int] = ()) -> None:
        """Writes a checkpoint of `make_state()` (tensors and plain containers) as number `serial` + 1; those in `needed` stay
        too. It is made again when a worker is lost meanwhile: others have taken over its part of the state.

        Raises:
            AsrtoolError: on all ranks, when one of them cannot write; the previous checkpoint is still the latest.
        """
        serial = self.serial + 1
        folder = self.directory / f"{serial:08d}"
        ranks: list[int] = []
        while ranks != list(self.comm.alive):
            ranks = list(self.comm.alive)
            self._together(lambda: self._write(folder / f"rank{self.comm.rank}.pt", make_state()), folder)
        self._together(lambda: self._point_to(serial, Workers(self.comm.size, ranks)), folder)
        self.serial = serial
        if self.comm.rank == 0:
            wanted = {*range(serial - self.keep + 1, serial + 1), *needed}
            self._remove(lambda number: number not in wanted)

    def workers(self, serial: int | None = None) -> Workers:
        """Who made the last complete checkpoint, or number `serial`."""
        path = self._folder(serial) / "workers"
        try:
            return Workers(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise self._damaged(path, error) from None

    def load(self, serial: int | None = None) -> dict[str, Any] | None:
        """This rank's own state of the last complete checkpoint (or number `serial`), or None when there is none.

        Raises:
            AsrtoolError: the checkpoint is damaged.
        """
        return self._read(serial, self.comm.rank) if self.serial else None

    def load_all(self, serial: int | None = None) -> list[dict[str, Any]]:
        """The states of all ranks that have one, in order. They stay on disk, mapped into memory, until they are used.

        Raises:
            AsrtoolError: the checkpoint is damaged.
        """
        return [self._read(serial, rank, mmap=True) for rank in self.workers(serial).ranks]

    def _folder(self, serial: int | None) -> Path:
        return self.directory / f"{self.serial if serial is None else serial:08d}"

    def _read(self, serial: int | None, rank: int, mmap: bool = False) -> dict[str, Any]:
        path = self._folder(serial) / f"rank{rank}.pt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise self._damaged(path, error) from None
        if state.pop("format", None) != FORMAT:
            raise AsrtoolError(
                f"{self.directory}: of another version of asrtool; go on with that one, or remove it to start anew"
            )
        return state

    def _damaged(self, path: Path, error: Exception) -> AsrtoolError:
        return AsrtoolError(
            f"{path}: damaged checkpoint ({str(error).splitlines()[0][:80]}); put the serial of an older one into "
            f"{self.directory}/latest, or remove {self.directory} to start anew"
        )

    def _remove(self, which: Callable[[int], bool]) -> None:
        for old in self.directory.glob("*"):
            if old.name.isdigit() and which(int(old.name)):
                shutil.rmtree(old, ignore_errors=True)

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        with writing(path):
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                torch.save({"format": FORMAT, **state}, file)
            for folder in (path.parent, self.directory):  # the name is on the disk too before `latest` tells of it
                sync_folder(folder)

    def _point_to(self, serial: int, workers: Workers) -> None:
        if self.comm.rank == 0:
            with writing(self.directory / "latest"):
                write_text(self._folder(serial) / "workers", json.dumps(workers._asdict()) + "\n")
                sync_folder(self._folder(serial))
                write_text(self.directory / "latest", json.dumps({"serial": serial, **workers._asdict()}) + "\n")

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

    def _latest(self) -> int:
        try:
            return json.loads((self.directory / "latest").read_text())["serial"]
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError):
            raise AsrtoolError(f"{self.directory}/latest: not readable; remove {self.directory} to start anew") from None
