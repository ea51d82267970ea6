"""Lattices with arrays that were damaged: every algorithm gives a result or a clear error, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from random_lattices import random_compact, random_lattice

from asrtool.errors import AsrtoolError
from asrtool.lattice.connect import connect
from asrtool.lattice.density import count
from asrtool.lattice.forward_backward import forward_backward
from asrtool.lattice.nbest import best_path_of_words, count_words_within, nbest
from asrtool.lattice.oracle import oracle
from asrtool.lattice.posteriors import posteriors
from asrtool.lattice.prune import prune

ALGORITHMS = {
    "connect": connect,
    "count": count,
    "forward_backward": lambda lattice: forward_backward(lattice, 0.3),
    "posteriors": lambda lattice: posteriors(lattice, 0.3),
    "prune": lambda lattice: prune(lattice, 2.0, 0.3),
    "nbest": lambda lattice: nbest(lattice, 5, 0.3),
    "best_path_of_words": lambda lattice: best_path_of_words(lattice, [1, 2], 0.3),
    "count_words_within": lambda lattice: count_words_within(lattice, 3.0, 0.3),
    "oracle": lambda lattice: oracle(lattice, [1, 2, 3], 0.3),
}
STATES, COSTS = (-1, 0, 1, 5, 10**6), (np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30)


def damaged(lattice, random):
    names = ["arc_start", "arc_end", "arc_graph_cost", "arc_acoustic_cost", "num_frames"]
    name = str(random.choice([*names, "final_cost" if hasattr(lattice, "final_cost") else "final_graph_cost"]))
    if name == "num_frames":
        return replace(lattice, num_frames=lattice.num_frames + int(random.choice([-1, 1])))
    values = getattr(lattice, name).copy()
    values[random.integers(len(values))] = random.choice(COSTS if "cost" in name else STATES)
    return replace(lattice, **{name: values})


@pytest.mark.parametrize("name", ALGORITHMS)
def test_one_damage(name):
    random = np.random.default_rng(1)
    outcomes = set()
    for number in range(150):
        lattice = damaged((random_lattice, random_compact)[number % 2](1), random)
        try:
            ALGORITHMS[name](lattice)
            outcomes.add("result")
        except AsrtoolError as error:
            assert "\n" not in str(error)
            outcomes.add("error")
    assert outcomes == {"result", "error"}
