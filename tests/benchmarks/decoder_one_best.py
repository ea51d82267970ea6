"""One-best search against kaldi_decoder's FasterDecoder on twelve utterances, HCLG and log-likelihoods that Kaldi wrote.

Prints decoder_one_best, frames per CPU second; decoder_two_threads, frames per second of wall time with two threads against
one, which needs a machine with two idle cores; and decoder_two_threads_cpu, the same per CPU second, which does not. The
shortest of many times, both kinds in turns, because other programs can only add to it. The words and costs must be equal, or the
benchmark fails.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import kaldi_decoder
import kaldifst
import kaldiio
import numpy as np

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.fst.csr import CsrGraph
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lattice.lattice import best_path

REPEATS = 5
SCALE = 0.083333
shared = Path(os.environ.get("ASRTOOL_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "kaldi" / "lattice"


_kept: list = []  # kaldi_decoder does not hold on to the graph it is given


def load() -> tuple[CsrGraph, np.ndarray, list[tuple[str, np.ndarray]]]:
    """The graph, tid_to_pdf, and (utterance, log-likelihoods [T, P])."""
    if not shared.is_dir():
        sys.exit(f"{shared} is absent: set ASRTOOL_SHARED to the folder that holds the reference files")
    graph = CsrGraph.from_fst_file(shared / "HCLG.fst.gz")
    tid_to_pdf = TransitionModel.read_file(shared / "final.mdl").tid_to_pdf
    utterances = [(name, np.ascontiguousarray(matrix)) for name, matrix in kaldiio.load_ark(str(shared / "loglikes.ark"))]
    return graph, tid_to_pdf, utterances


def make_decoder(graph: CsrGraph, tid_to_pdf: np.ndarray) -> BeamSearchDecoder:
    return BeamSearchDecoder(graph, tid_to_pdf, BeamSearchOptions(13.0, 6.0, 7000, 20, SCALE))


def reference_decoder(graph: CsrGraph, kind: str, config):
    """kaldi_decoder's decoder over the same graph (written out and read by OpenFst)."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "HCLG.fst"
        graph.write_fst_file(path, "const")
        _kept.append(kaldifst.StdConstFst.read(str(path)))
        return getattr(kaldi_decoder, kind)(_kept[-1], config)


def reference_words(decoder, scores_by_tid: np.ndarray) -> tuple[list[int], float]:
    """Words and cost of the reference's best path."""
    decoder.decode(kaldi_decoder.DecodableCtc(scores_by_tid))
    found, path = decoder.get_best_path()
    assert found
    _, _, words, weight = kaldifst.get_linear_symbol_sequence(path)
    return words, weight.value1 + weight.value2


def shortest_times(kinds: dict, clock=time.process_time, repeats: int = REPEATS) -> dict[str, float]:
    """The shortest time of each callable, run in turns."""
    best = dict.fromkeys(kinds, np.inf)
    for _ in range(repeats):
        for name, call in kinds.items():
            start = clock()
            call()
            best[name] = min(best[name], clock() - start)
    return best


def main() -> None:
    graph, tid_to_pdf, utterances = load()
    num_frames = sum(len(loglikes) for _, loglikes in utterances)
    by_tid = [np.ascontiguousarray((loglikes * np.float32(SCALE))[:, tid_to_pdf[1:]]) for _, loglikes in utterances]
    decoder = make_decoder(graph, tid_to_pdf)
    config = kaldi_decoder.FasterDecoderOptions(beam=13.0, max_active=7000, min_active=20)
    reference = reference_decoder(graph, "FasterDecoder", config)
    for (name, loglikes), scores in zip(utterances, by_tid):
        words, cost = reference_words(reference, scores)
        result = decoder.decode(loglikes)
        ours = result.graph_cost + SCALE * result.acoustic_cost
        assert list(result.words) == words and abs(ours - cost) < 0.01, f"{name}: {ours} {cost}"
        assert list(best_path(decoder.decode_lattice(loglikes), SCALE).words) == words, name
    times = shortest_times(
        {
            "ours": lambda: [decoder.decode(loglikes) for _, loglikes in utterances],
            "reference": lambda: [reference_words(reference, scores) for scores in by_tid],
        }
    )
    ours, theirs = (num_frames / times[kind] for kind in ("ours", "reference"))
    print(f"decoder_one_best ours={ours:.0f} reference={theirs:.0f} ratio={ours / theirs:.2f} unit=frames/CPU-s")
    work = sorted(utterances, key=lambda item: -len(item[1])) * 3
    calls = {n: lambda n=n: list(decoder.decode_batch(work, n)) for n in (1, 2)}
    for clock, name, unit in (
        (time.perf_counter, "decoder_two_threads", "frames/s"),
        (time.process_time, "decoder_two_threads_cpu", "frames/CPU-s"),
    ):
        times = shortest_times(calls, clock)
        one, two = (3 * num_frames / times[n] for n in (1, 2))
        print(f"{name} ours={two:.0f} reference={one:.0f} ratio={two / one:.2f} unit={unit}")


if __name__ == "__main__":
    main()
