"""Figures that each worker has of its own, brought together for the "train" records."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from asrtool.parallel.protocol import Comm
from asrtool.train.metrics import Notes, join_notes, note_values


class WorkerNotes:
    """Joins a worker's figures over the synchronisations, then those of all workers.

    "..._max" is joined by maximum, "..._mean" by the mean over the synchronisations that had one, then over the workers; others
    are sums. What no worker has is left out.

    Args:
        names: of the figures, the same on every worker; others that `read` gives are left out.
        read: this worker's figures since the last call.
    """

    def __init__(self, names: Sequence[str], read: Callable[[], Mapping[str, float]]) -> None:
        self.names = sorted(names)
        self.read = read
        self.notes: Notes = {}

    def collect(self) -> None:
        """At a synchronisation."""
        figures = self.read()
        self.notes = join_notes(self.notes, {name: float(figures[name]) for name in self.names if name in figures})

    def take(self, comm: Comm, device: torch.device) -> dict[str, float]:
        """What is recorded, of all workers; begins anew. Collective."""
        values = {name: value / count if name.endswith("_mean") else value for name, (value, count) in self.notes.items()}
        figures = [values.get(name, 0.0) for name in self.names] + [float(name in values) for name in self.names]
        rows = comm.all_gather(torch.tensor(figures, dtype=torch.float64, device=device)).view(comm.size, 2, -1).tolist()
        joined: Notes = {}
        for rank in comm.alive:
            own, there = rows[rank]
            joined = join_notes(joined, {name: value for name, value, is_there in zip(self.names, own, there) if is_there})
        self.notes = {}
        return note_values(joined)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.notes)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.notes = dict(state)
