"""The search reads no memory that nothing was written to: what a fresh array holds must not matter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from random_graph import random_graph
from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
random = np.random.default_rng(2)
graph = random_graph(random, num_states=80, num_arcs=300, num_epsilons=40, num_final=10)
loglikes = random.normal(-2, 2, (120, 6)).astype(np.float32)
tid_to_pdf = np.array([-1, 0, 0, 1, 1, 2, 3, 3, 4, 5], np.int32)
decoder = BeamSearchDecoder(graph, tid_to_pdf, BeamSearchOptions(12, 4, 60, 5, 0.7))
best, lattice = decoder.decode(loglikes), decoder.decode_lattice(loglikes)
print(best.graph_cost, best.acoustic_cost, best.transition_ids.tolist())
print(*(array.astype(np.float64).sum() for array in (lattice.arc_graph_cost, lattice.arc_acoustic_cost, lattice.arc_word)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="MALLOC_PERTURB_ is glibc's")
def test_what_fresh_memory_holds_does_not_matter():
    outputs = []
    for fill in ("0", "1", "170"):  # new memory as it comes, of bytes 0xfe, of bytes 0x55
        environment = {**os.environ, "MALLOC_PERTURB_": fill}
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)]
        outputs.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(outputs[0].split()) > 100 and outputs[1] == outputs[0] and outputs[2] == outputs[0]
