"""Many lattices in one file: a zip whose members are utterances, each holding a lattice's arrays one after the other.

Integers take the smallest type that fits (arc_start as arcs a state, arc_end as the distance), costs stay float32. A file is
read lattice after lattice, or by utterance, and is written whole or not at all.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path
from asrtool.lattice.lattice import Lattice

_VERSION = 1
_SAME_DATE = (1980, 1, 1, 0, 0, 0)  # the same lattices give the same bytes


def _smallest(values: np.ndarray) -> np.ndarray:
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    kind = np.uint8 if high < 1 << 8 else np.uint16 if high < 1 << 16 else np.int32
    return values.astype(kind if low >= 0 else np.int32)


def lattice_to_bytes(lattice: Lattice) -> bytes:
    """The member of the archive: .npy blocks, the first int64 [3] (version, frames, reached a final state)."""
    arrays = [
        np.array([_VERSION, lattice.num_frames, lattice.reached_final], np.int64),
        _smallest(np.bincount(lattice.state_frame, minlength=lattice.num_frames + 1)),
        _smallest(np.bincount(lattice.arc_start, minlength=lattice.num_states)),
        _smallest(lattice.arc_end - lattice.arc_start),
        _smallest(lattice.arc_transition_id),
        _smallest(lattice.arc_word),
        lattice.arc_graph_cost.astype(np.float32),
        lattice.arc_acoustic_cost.astype(np.float32),
        lattice.final_cost.astype(np.float32),
    ]
    buffer = io.BytesIO()
    for array in arrays:
        np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def lattice_from_bytes(data: bytes) -> Lattice:
    """Reads `lattice_to_bytes`; ValueError where the bytes are something else."""
    buffer = io.BytesIO(data)
    version, num_frames, reached_final = np.lib.format.read_array(buffer, allow_pickle=False)
    if version != _VERSION:
        raise ValueError(f"version {version} of the lattice format, expected {_VERSION}")
    states_a_frame, arcs_a_state, distance, transition_id, word, graph, acoustic, final = (
        np.lib.format.read_array(buffer, allow_pickle=False) for _ in range(8)
    )
    arc_start = np.repeat(np.arange(len(arcs_a_state), dtype=np.int32), arcs_a_state)
    return Lattice(
        num_frames=int(num_frames),
        state_frame=np.repeat(np.arange(len(states_a_frame), dtype=np.int32), states_a_frame),
        arc_start=arc_start,
        arc_end=arc_start + distance.astype(np.int32),
        arc_transition_id=transition_id.astype(np.int32),
        arc_word=word.astype(np.int32),
        arc_graph_cost=graph,
        arc_acoustic_cost=acoustic,
        final_cost=final,
        reached_final=bool(reached_final),
    )


def write_lattices(path: str | Path, lattices: Iterable[tuple[str, Lattice]]) -> None:
    """Writes (utterance, lattice) pairs in order; the file appears when all are written."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for utterance, lattice in lattices:
            archive.writestr(zipfile.ZipInfo(utterance, _SAME_DATE), lattice_to_bytes(lattice))


def read_lattices(path: str | Path) -> Iterator[tuple[str, Lattice]]:
    """Yields (utterance, lattice) in the order they were written.

    Raises:
        AsrtoolError: no such file, not a lattice archive, or a damaged one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for utterance in archive.namelist():
                yield utterance, lattice_from_bytes(archive.read(utterance))
    except FileNotFoundError:
        raise AsrtoolError(f"{path}: no such lattice archive; decode first") from None
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise AsrtoolError(f"{path}: not a lattice archive, or damaged ({error}); remove it and decode again") from None
