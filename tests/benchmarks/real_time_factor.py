"""Real-time factor of one core on a trigram graph of 20,000 words: features to network scores to lattices (or best paths).

The LSTM of egs/speechocean762/s5 on its test set (real speech, so that as many tokens live as in earnest), acoustic scale 0.1, at
the decoding step's wide defaults and at narrower beams. CPU seconds a second of speech; the reference is the aim of 0.05. Each
line also says what the narrower beam costs: tokens a frame (made, and within the cutoff, so passed on), word errors on these
utterances (many: most of the language model's text is made up, and the speakers are learners, so that more tokens live than
where model and speech match), and how much worse the best path is on average than with the widest.
"""

import time

import numpy as np
import torch
from _big_graph import FRAME_SHIFT_S, MODEL, graph, language, language_model, make_scorer, transcripts

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.decoder.graph_dir import load_graph
from asrtool.decoder.network import BATCH_SIZE
from asrtool.decoder.packed_graph import PackedGraph
from asrtool.hmm.transition_model import TransitionModel
from asrtool.score.edit_distance import count_errors

WORDS, SENTENCES = 20000, 55000
UTTERANCES = 40  # of the test set, taken evenly
AIM = 0.05
SETTINGS = (  # beam, max-active, lattice beam
    ("", 13.0, 7000, 6.0),
    ("_beam13_active3000", 13.0, 3000, 6.0),
    ("_beam11", 11.0, 3000, 6.0),
    ("_beam9", 9.0, 2000, 5.0),
)


def seconds_of(decode, scores: list[np.ndarray]) -> tuple[float, list]:
    """CPU seconds, results."""
    decode(scores[0])  # compiles
    before = time.process_time()
    results = [decode(matrix) for matrix in scores]
    return time.process_time() - before, results


def tokens_a_frame(decoder: BeamSearchDecoder, scores: list[np.ndarray]) -> tuple[float, float]:
    """Tokens made, and those of them within the cutoff, on average."""
    from asrtool.decoder.frame_kernels import frame_cutoff
    from asrtool.decoder.stream_kernels import COUNT

    limits = decoder.options.limits
    counts = []
    for matrix in scores:
        stream = decoder.stream()
        for row in matrix:
            stream.accept(row[None])
            cost = stream.state[1][0][: stream.state[-1][COUNT]]
            counts.append((len(cost), np.count_nonzero(cost <= frame_cutoff(cost, limits, np.empty_like(cost))[1])))
    return tuple(np.mean(counts, axis=0))


def word_errors(paths: list, utterances: list[str], words) -> float:
    """Errors in per cent of the words."""
    wanted = transcripts()
    counts = [count_errors(wanted[name], [words.symbol(word) for word in path.words]) for name, path in zip(utterances, paths)]
    return 100 * sum(count.errors for count in counts) / sum(len(wanted[name]) for name in utterances)


def cost(path, scale: float) -> float:
    return path.graph_cost + scale * path.acoustic_cost


def load() -> tuple[PackedGraph, object]:
    folder = language(WORDS, SENTENCES)
    return load_graph(graph(folder, language_model(folder, 3)), TransitionModel.read_file(MODEL / "final.mdl"))


def main() -> None:
    torch.set_num_threads(1)
    packed, words = load()
    scorer, utterances = make_scorer()
    utterances = utterances[:: len(utterances) // UTTERANCES]
    scorer(utterances[:1])
    before = time.process_time()
    scores = [matrix for i in range(0, len(utterances), BATCH_SIZE) for matrix in scorer(utterances[i : i + BATCH_SIZE])]
    scoring = time.process_time() - before
    num_frames = sum(map(len, scores))
    seconds = num_frames * FRAME_SHIFT_S
    widest: list[float] = []
    for name, beam, max_active, lattice_beam in SETTINGS:
        options = BeamSearchOptions(beam=beam, lattice_beam=lattice_beam, max_active=max_active, acoustic_scale=0.1)
        decoder = BeamSearchDecoder(packed, options=options)
        one_best, paths = seconds_of(decoder.decode, scores)
        lattice, _ = seconds_of(decoder.decode_lattice, scores)
        made, passed_on = tokens_a_frame(decoder, scores[::4])
        widest = widest or [cost(path, 0.1) for path in paths]
        worse = np.mean([cost(path, 0.1) - best for path, best in zip(paths, widest)])
        for kind, spent in (("one_best", one_best), ("lattice", lattice)):
            factor = (spent + scoring) / seconds
            print(
                f"real_time_factor_{kind}{name} ours={factor:.4f} reference={AIM} ratio={AIM / factor:.2f} unit=CPU-s/s "
                f"(scores {scoring / seconds:.4f}, {len(packed.arcs)} arcs, {num_frames} frames, {made:.0f} tokens a frame, "
                f"{passed_on:.0f} passed on, {word_errors(paths, utterances, words):.1f} % WER, cost {worse:+.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
