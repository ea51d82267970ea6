"""One-best search on twelve utterances, with the HCLG and the log-likelihoods that Kaldi wrote.

Prints
    decoder_one_best_kaldi    frames per CPU second against Kaldi's own figure (decode-faster-mapped, the same utterances, graph
                              and beams), which Kaldi gave in another run on a machine of this kind: so the ratio is only as
                              good as this machine is idle and alike
    decoder_one_best          the same against kaldi_decoder's FasterDecoder, in turns in this run, on every fourth utterance
    decoder_two_threads       frames per second of wall time with two threads against one, which needs two idle cores
    decoder_two_threads_cpu   the same per CPU second, which does not
The shortest of several times, because other programs can only add to it. Words must be Kaldi's on all twelve, words and costs
those of kaldi_decoder where it runs, or the benchmark fails.
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

REPEATS = 5
SCALE = 0.083333
KALDI_RATE = 1310  # frames per CPU second of decode-faster-mapped
REFERENCE_EVERY = 4  # kaldi_decoder, which is slow, decodes every fourth utterance
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


def num_frames(utterances: list[tuple[str, np.ndarray]]) -> int:
    return sum(len(loglikes) for _, loglikes in utterances)


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


def assert_kaldis_words(decode, utterances) -> None:
    """decode(log-likelihoods) gives the words that Kaldi wrote."""
    lines = [line.split() for line in (shared / "best_words.int").read_text().splitlines()]
    expected = {fields[0]: list(map(int, fields[1:])) for fields in lines}
    for name, loglikes in utterances:
        assert list(decode(loglikes).words) == expected[name], name


def print_rate(name: str, ours: float, reference: float, unit: str = "frames/CPU-s") -> None:
    print(f"{name} ours={ours:.0f} reference={reference:.0f} ratio={ours / reference:.2f} unit={unit}", flush=True)


def shortest_times(kinds: dict, clock=time.process_time, repeats: int = REPEATS) -> dict[str, float]:
    """The shortest time of each callable, run in turns."""
    best = dict.fromkeys(kinds, np.inf)
    for _ in range(repeats):
        for name, call in kinds.items():
            start = clock()
            call()
            best[name] = min(best[name], clock() - start)
    return best


def compare(decoder: BeamSearchDecoder, tid_to_pdf: np.ndarray, utterances: list, reference) -> None:
    """The lines decoder_one_best_kaldi and decoder_one_best."""
    some = utterances[::REFERENCE_EVERY]
    by_tid = [np.ascontiguousarray((loglikes * np.float32(SCALE))[:, tid_to_pdf[1:]]) for _, loglikes in some]
    assert_kaldis_words(decoder.decode, utterances)
    for (name, loglikes), scores in zip(some, by_tid):
        words, cost = reference_words(reference, scores)
        result = decoder.decode(loglikes)
        ours = result.graph_cost + SCALE * result.acoustic_cost
        assert list(result.words) == words and abs(ours - cost) < 0.01, f"{name}: {ours} {cost}"
    times = shortest_times(
        {
            "all": lambda: [decoder.decode(loglikes) for _, loglikes in utterances],
            "some": lambda: [decoder.decode(loglikes) for _, loglikes in some],
            "reference": lambda: [reference_words(reference, scores) for scores in by_tid],
        }
    )
    print_rate("decoder_one_best_kaldi", num_frames(utterances) / times["all"], KALDI_RATE)
    print_rate("decoder_one_best", num_frames(some) / times["some"], num_frames(some) / times["reference"])


def main() -> None:
    graph, tid_to_pdf, utterances = load()
    decoder = make_decoder(graph, tid_to_pdf)
    config = kaldi_decoder.FasterDecoderOptions(beam=13.0, max_active=7000, min_active=20)
    compare(decoder, tid_to_pdf, utterances, reference_decoder(graph, "FasterDecoder", config))
    work = sorted(utterances, key=lambda item: -len(item[1])) * 2
    calls = {n: lambda n=n: list(decoder.decode_batch(work, n)) for n in (1, 2)}
    for clock, name, unit in (
        (time.perf_counter, "decoder_two_threads", "frames/s"),
        (time.process_time, "decoder_two_threads_cpu", "frames/CPU-s"),
    ):
        times = shortest_times(calls, clock)
        print_rate(name, num_frames(work) / times[2], num_frames(work) / times[1], unit)


if __name__ == "__main__":
    main()
