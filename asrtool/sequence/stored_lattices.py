"""Lattices made beforehand, by utterance: a copy of a directory's lat.N.gz that can be read in any order.

Gzipped archives can only be read from their beginning, and a corpus's state-level lattices do not fit into memory. So on first
use they are copied to by_utterance/ in their directory: lattices.bin, a compressed record each, and index, a line of JSON on what
the copy was made from, then "utterance offset size" lines. Acoustic costs are left out, because the criteria compute them anew.
Several processes may ask at once: one makes the copy, the others wait. A copy of other lattices than those there is made again.
"""

import fcntl
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path, write_text
from asrtool.io.progress import progress
from asrtool.lattice.archive import lattice_files, read_lattices
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.convert import to_lattice
from asrtool.lattice.lattice import Lattice
from asrtool.sequence.failures import UtteranceError

FOLDER = "by_utterance"
_FORMAT = 1
_HEADER = struct.Struct("<iiiB")
_LEVEL = 1  # of zlib: reading must be fast, and costs hardly compress


class StoredLattices:
    """The lattices of a directory.

    Args:
        directory: with lat.N.gz, state-level; of determinised ones only each word sequence's best alignment is there.
        folder: where the copy is kept; default: by_utterance/ in it.

    Raises:
        AsrtoolError: no lattices, damaged ones, one utterance twice, or a folder that cannot be written to.
    """

    def __init__(self, directory: str | Path, folder: str | Path | None = None) -> None:
        self.directory = Path(directory)
        self.folder = Path(folder or self.directory / FOLDER)
        made_from = {"format": _FORMAT, "files": {path.name: _stamp(path) for path in lattice_files(self.directory)}}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AsrtoolError(f"{self.folder}: {error.strerror}; lattices are copied there to be read in any order") from None
        self._places = _read_index(self.folder, made_from)
        if self._places is None:
            with _locked(self.folder):
                self._places = _read_index(self.folder, made_from)
                if self._places is None:
                    _make_copy(self.directory, self.folder, made_from)
                    self._places = _read_index(self.folder, made_from) or {}
        self._file = os.open(self.folder / "lattices.bin", os.O_RDONLY)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, utterance: str) -> bool:
        return utterance in self._places

    def __call__(self, utterance: str, loglikes: np.ndarray) -> Lattice:
        """The lattice of an utterance; its acoustic costs are 0.

        Raises:
            UtteranceError: there is none, a damaged one, or one of another number of frames.
        """
        if utterance not in self._places:
            raise UtteranceError("lattice", f"{self.directory}: no lattice of it")
        offset, size = self._places[utterance]
        try:
            lattice = _unpack(zlib.decompress(os.pread(self._file, size, offset)))
        except (zlib.error, struct.error, ValueError):
            raise UtteranceError("lattice", f"{self.folder}: damaged; remove the folder, it will be made again") from None
        if lattice.num_frames != len(loglikes):
            raise UtteranceError(
                "lattice", f"{self.directory}: a lattice of {lattice.num_frames} frames, the features have {len(loglikes)}"
            )
        return lattice

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _stamp(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_index(folder: Path, made_from: dict) -> dict[str, tuple[int, int]] | None:
    """Utterance -> (offset, size); None where there is no whole copy of just these lattices."""
    try:
        head, *lines = (folder / "index").read_text(encoding="utf-8").splitlines()
        about = json.loads(head)
        if about.pop("bytes") != (folder / "lattices.bin").stat().st_size or about != made_from:
            return None
        rows = [line.split() for line in lines]
        return {name: (int(offset), int(size)) for name, offset, size in rows}
    except (OSError, ValueError, KeyError):
        return None


def _make_copy(directory: Path, folder: Path, made_from: dict) -> None:
    lines, offset, compact = {}, 0, 0
    (folder / "index").unlink(missing_ok=True)
    files = lattice_files(directory)
    archives = progress(files, len(files), f"copying the lattices of {directory}: archives")
    with atomic_path(folder / "lattices.bin") as temporary, open(temporary, "wb") as file:
        for name, lattice in (item for archive in archives for item in read_lattices(archive)):
            if name in lines:
                raise AsrtoolError(f"{directory}: {name}: two lattices of it; make them again")
            compact += isinstance(lattice, CompactLattice)
            record = zlib.compress(_pack(to_lattice(lattice)), _LEVEL)
            file.write(record)
            lines[name] = f"{name} {offset} {len(record)}\n"
            offset += len(record)
    if compact:
        print(
            f"WARNING: {directory}: {compact} lattices are determinised: only each word sequence's best alignment is in them; "
            "make them with --determinize-lattice false",
            file=sys.stderr,
        )
    write_text(folder / "index", json.dumps(made_from | {"bytes": offset}) + "\n" + "".join(lines.values()))


def _pack(lattice: Lattice) -> bytes:
    """A record: counts, arcs of each state, how far each arc leads, ids, graph costs, states of each frame, final costs."""
    columns = (
        np.bincount(lattice.arc_start, minlength=lattice.num_states).astype("<i4"),
        (lattice.arc_end - lattice.arc_start).astype("<i4"),
        lattice.arc_transition_id.astype("<i4"),
        lattice.arc_word.astype("<i4"),
        lattice.arc_graph_cost.astype("<f4"),
        np.bincount(lattice.state_frame, minlength=lattice.num_frames + 1).astype("<i4"),
        lattice.final_cost.astype("<f4"),
    )
    header = _HEADER.pack(lattice.num_frames, lattice.num_states, lattice.num_arcs, lattice.reached_final)
    return header + b"".join(column.tobytes() for column in columns)


def _unpack(data: bytes) -> Lattice:
    num_frames, num_states, num_arcs, reached_final = _HEADER.unpack_from(data)
    sizes = (num_states, num_arcs, num_arcs, num_arcs, num_arcs, num_frames + 1, num_states)
    parts, position = [], _HEADER.size
    for size, kind in zip(sizes, ("<i4", "<i4", "<i4", "<i4", "<f4", "<i4", "<f4")):
        parts.append(np.frombuffer(data, kind, size, position).copy())
        position += 4 * size
    out, reach, transition_id, word, graph, at_frame, final = parts
    start = np.repeat(np.arange(num_states, dtype=np.int32), out)
    return Lattice(
        num_frames=num_frames,
        state_frame=np.repeat(np.arange(num_frames + 1, dtype=np.int32), at_frame),
        arc_start=start,
        arc_end=start + reach,
        arc_transition_id=transition_id,
        arc_word=word,
        arc_graph_cost=graph,
        arc_acoustic_cost=np.zeros(num_arcs, np.float32),
        final_cost=final,
        reached_final=bool(reached_final),
    )
