"""Search with a trigram model composed on the fly against search in its own graph, 20,000 words, frames per CPU second.

The small graph holds unigrams, or bigrams seen three times and more. Same network scores of real speech, beams and limits. Prints
also the size of the graphs and models in memory, how much worse the best path is on average (over both), and equal word strings.
"""

import time

import numpy as np
from _big_graph import MODEL, compact, graph, language, language_model, scores

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.decoder.biglm import BigLmDecoder
from asrtool.decoder.graph_dir import load_graph
from asrtool.decoder.packed_graph import PackedGraph
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lm.compact_model import CompactNgram

WORDS, SENTENCES = 20000, 55000
UTTERANCES = 40
OPTIONS = BeamSearchOptions(beam=13.0, lattice_beam=6.0, max_active=7000, acoustic_scale=0.1)


def measure(decoder, loglikes: list[np.ndarray]) -> tuple[float, float, list]:
    """Frames per CPU second, one-best and lattices, and the best paths."""
    decoder.decode(loglikes[0]), decoder.decode_lattice(loglikes[0])  # compiles
    num_frames = sum(map(len, loglikes))
    start = time.process_time()
    paths = [decoder.decode(matrix) for matrix in loglikes]
    middle = time.process_time()
    for matrix in loglikes:
        decoder.decode_lattice(matrix)
    return num_frames / (middle - start), num_frames / (time.process_time() - middle), paths


def mebibytes(graph: PackedGraph) -> float:
    """Size of a graph's arrays."""
    return sum(array.nbytes for array in vars(graph).values() if isinstance(array, np.ndarray)) / 2**20


def main() -> None:
    folder = language(WORDS, SENTENCES)
    loglikes = list(scores(UTTERANCES).values())
    model = TransitionModel.read_file(MODEL / "final.mdl")
    arpa = language_model(folder, 3)
    packed, words = load_graph(graph(folder, arpa), model)
    big = CompactNgram.load(compact(arpa))
    static = measure(BeamSearchDecoder(packed, options=OPTIONS), loglikes)
    print(f"biglm_static arcs={len(packed.arcs)} MiB={mebibytes(packed):.0f}")
    for name, small_arpa in (
        ("unigram", language_model(folder, 1)),
        ("bigram", language_model(folder, 2, "--min-counts", "1 3")),
    ):
        packed, _ = load_graph(graph(folder, small_arpa), model)
        small = CompactNgram.load(compact(small_arpa))
        found = measure(BigLmDecoder(packed, None, small, big, words, OPTIONS), loglikes)
        cost = [[path.graph_cost + OPTIONS.acoustic_scale * path.acoustic_cost for path in paths[2]] for paths in (found, static)]
        excess = np.mean(np.array(cost[0]) - cost[1])
        same = np.mean([np.array_equal(ours.words, theirs.words) for ours, theirs in zip(found[2], static[2])])
        for kind, ours, reference in zip(("one_best", "lattice"), found, static):
            print(
                f"biglm_{name}_{kind} ours={ours:.0f} reference={reference:.0f} ratio={ours / reference:.2f} unit=frames/CPU-s "
                f"(arcs {len(packed.arcs)}, graph {mebibytes(packed):.0f} MiB, "
                f"models {(small.data.nbytes + big.data.nbytes) / 2**20:.0f} MiB, "
                f"cost {excess:+.3f}, same words {100 * same:.0f} %)"
            )


if __name__ == "__main__":
    main()
