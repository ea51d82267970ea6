"""Real-time factor of one core on a trigram graph of 20,000 words: features to network scores to lattices (or best paths).

The LSTM of egs/speechocean762/s5 on its test set (real speech, so that as many tokens live as in earnest); beam 13, lattice
beam 6, max-active 7000, acoustic scale 0.1. CPU seconds a second of speech; the reference is the aim of 0.05.
"""

import time

import torch
from _big_graph import FRAME_SHIFT_S, MODEL, graph, language, language_model, make_scorer

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.decoder.graph_dir import load_graph
from asrtool.decoder.network import BATCH_SIZE
from asrtool.hmm.transition_model import TransitionModel

WORDS, SENTENCES = 20000, 55000
UTTERANCES = 40  # of the test set, taken evenly
AIM = 0.05


def main() -> None:
    torch.set_num_threads(1)
    folder = language(WORDS, SENTENCES)
    graph_dir = graph(folder, language_model(folder, 3))
    packed, _ = load_graph(graph_dir, TransitionModel.read_file(MODEL / "final.mdl"))
    options = BeamSearchOptions(beam=13.0, lattice_beam=6.0, max_active=7000, acoustic_scale=0.1)
    decoder = BeamSearchDecoder(packed, options=options)
    scorer, utterances = make_scorer()
    utterances = utterances[:: len(utterances) // UTTERANCES]
    batches = [utterances[i : i + BATCH_SIZE] for i in range(0, len(utterances), BATCH_SIZE)]
    for decode in (decoder.decode, decoder.decode_lattice):  # compiles
        decode(scorer(utterances[:1])[0])
    times = {"scores": 0.0, "one_best": 0.0, "lattice": 0.0}
    num_frames = 0
    for batch in batches:
        before = time.process_time()
        loglikes = scorer(batch)
        times["scores"] += time.process_time() - before
        for name, decode in (("one_best", decoder.decode), ("lattice", decoder.decode_lattice)):
            before = time.process_time()
            for matrix in loglikes:
                decode(matrix)
            times[name] += time.process_time() - before
        num_frames += sum(map(len, loglikes))
    seconds = num_frames * FRAME_SHIFT_S
    for name in ("one_best", "lattice"):
        factor = (times[name] + times["scores"]) / seconds
        print(
            f"real_time_factor_{name} ours={factor:.4f} reference={AIM} ratio={AIM / factor:.2f} unit=CPU-s/s "
            f"(scores {times['scores'] / seconds:.4f}, {len(packed.arcs)} arcs, {num_frames} frames)"
        )


if __name__ == "__main__":
    main()
