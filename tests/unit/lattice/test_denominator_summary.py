"""What is said of a set of denominator lattices."""

import json

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.lattice.denominators import summarise
from asrtool.lattice.lattice import Lattice


def lattice(words: list[list[int]], final: float = 0.0) -> Lattice:
    """Paths of two frames side by side; their words are on the first arcs, at most two words a path."""
    start, end, tid, word = [], [], [], []
    for number, path in enumerate(words):
        start += [0, number + 1]
        end += [number + 1, len(words) + 1]
        tid += [1, 2]
        word += [*path, 0, 0][:2]
    order = np.argsort(start, kind="stable")
    frames = [0, *[1] * len(words), 2]
    final_cost = np.full(len(words) + 2, np.inf, np.float32)
    final_cost[-1] = final
    ints = [np.array(column, np.int32)[order] for column in (start, end, tid, word)]
    zeros = np.zeros(len(start), np.float32)
    return Lattice(2, np.array(frames, np.int32), *ints, zeros, zeros, final_cost)


def test_depth_failures_and_missing_references(tmp_path):
    lattices = {"a": lattice([[1, 2], [3]]), "b": lattice([[1], [2], [3]]), "c": lattice([[1]], final=np.inf)}
    references = {"a": [1, 2], "b": [1, 3], "c": [1], "d": [2]}
    summary = summarise(lattices.items(), references, ["a", "b", "c", "d"])
    assert (summary.num_utterances, summary.num_lattices, summary.num_frames, summary.num_arcs) == (4, 2, 4, 10)
    assert summary.depth == (2 * 2 + 3 * 2) / 4
    assert summary.without_reference == {"b": 1} and summary.without_lattice == ["d"] and list(summary.bad) == ["c"]
    summary.write(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        **{"utterances": 4, "lattices": 2, "frames": 4, "arcs": 10, "depth": 2.5},
        **{"without_lattice": 1, "bad_lattice": 1, "without_reference": 1},
    }
    assert (tmp_path / "without_lattice").read_text() == "d\n" and (tmp_path / "without_reference").read_text() == "b 1\n"
    assert "no path reaches a final state" in (tmp_path / "bad_lattice").read_text()
    assert summary.lines()[2] == "reference in the lattice: 1 of 2 (50.0 %)"


def test_a_lattice_twice_or_of_another_utterance():
    for items, utterances in (([("a", lattice([[1]]))] * 2, ["a"]), ([("x", lattice([[1]]))], ["a"])):
        with pytest.raises(AsrtoolError, match="its lattice is there twice, or the data directory does not have it"):
            summarise(items, {}, utterances)
