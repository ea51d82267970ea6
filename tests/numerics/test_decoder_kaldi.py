"""The decoder against what Kaldi and kaldi_decoder give on the same graph and log-likelihoods."""

import gzip
import re

import kaldi_decoder
import kaldifst
import kaldiio
import numpy as np
import pytest

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.fst.csr import CsrGraph
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lattice.lattice import best_path

SCALE = 0.083333


@pytest.fixture(scope="module")
def kaldi(kaldi_reference):
    """(graph, tid_to_pdf, utterance -> log-likelihoods, decoder)."""
    folder = kaldi_reference / "lattice"
    graph = CsrGraph.from_fst_file(folder / "HCLG.fst.gz")
    tid_to_pdf = TransitionModel.read_file(folder / "final.mdl").tid_to_pdf
    loglikes = {name: np.ascontiguousarray(matrix) for name, matrix in kaldiio.load_ark(str(folder / "loglikes.ark"))}
    return graph, tid_to_pdf, loglikes, BeamSearchDecoder(graph, tid_to_pdf, BeamSearchOptions(13, 6, 7000, 200, SCALE))


def int_lines(path):
    return {line.split()[0]: list(map(int, line.split()[1:])) for line in path.read_text().splitlines()}


def test_words_and_alignments_are_kaldis_on_all_twelve(kaldi, kaldi_reference):
    _, _, loglikes, decoder = kaldi
    words = int_lines(kaldi_reference / "lattice" / "best_words.int")
    alignments = int_lines(kaldi_reference / "lattice" / "best_ali.txt")
    assert set(words) == set(loglikes)
    for name, matrix in loglikes.items():
        result = decoder.decode(matrix)
        assert list(result.words) == words[name] and list(result.transition_ids) == alignments[name], name
        assert result.reached_final


def test_costs_are_those_that_kaldi_logged(kaldi, kaldi_reference):
    """Graph and scaled acoustic cost of the best path, and log-likelihood a frame of the search: all six digits of the logs."""
    _, _, loglikes, decoder = kaldi
    best = (kaldi_reference / "lattice" / "best_path.log").read_text()
    costs = {name: pair for name, *pair in re.findall(r"For utterance (\S+), best cost (\S+) \+ (\S+) =", best)}
    search = (kaldi_reference / "lattice" / "latgen_raw.log").read_text()
    per_frame = dict(re.findall(r"Log-like per frame for utterance (\S+) is (\S+) over", search))
    assert set(costs) == set(per_frame) == set(loglikes)
    for name, matrix in loglikes.items():
        result = decoder.decode(matrix)
        graph_cost, acoustic_cost = map(float, costs[name])
        assert result.graph_cost == pytest.approx(graph_cost, abs=1e-3)
        assert SCALE * result.acoustic_cost == pytest.approx(acoustic_cost, abs=1e-2)
        total = result.graph_cost + SCALE * result.acoustic_cost
        assert -total / len(matrix) == pytest.approx(float(per_frame[name]), abs=2e-5)


def test_costs_are_those_of_kaldi_decoder(kaldi, tmp_path):
    graph, tid_to_pdf, loglikes, decoder = kaldi
    graph.write_fst_file(tmp_path / "HCLG.fst", "const")
    fst = kaldifst.StdConstFst.read(str(tmp_path / "HCLG.fst"))
    oracle = kaldi_decoder.FasterDecoder(fst, kaldi_decoder.FasterDecoderOptions(beam=13.0, max_active=7000, min_active=200))
    for name in sorted(loglikes)[::4]:
        scores = np.ascontiguousarray((loglikes[name] * np.float32(SCALE))[:, tid_to_pdf[1:]])
        oracle.decode(kaldi_decoder.DecodableCtc(scores))
        _, path = oracle.get_best_path()
        _, tids, words, weight = kaldifst.get_linear_symbol_sequence(path)
        result = decoder.decode(loglikes[name])
        assert list(result.words) == words and list(result.transition_ids) == tids
        assert result.graph_cost == pytest.approx(weight.value1, abs=1e-3)
        assert SCALE * result.acoustic_cost == pytest.approx(weight.value2, abs=1e-2)


def kaldi_lattices(path):
    """utterance -> (states, arcs [(start, end, scaled cost)], {state: final cost}) of Kaldi's text lattices."""
    lattices, current = {}, None
    with gzip.open(path, "rt") as file:
        for line in file:
            fields = line.split()
            if len(fields) == 1 and "-" in fields[0]:
                current = lattices[fields[0]] = ([], {})
            elif len(fields) >= 4:
                graph, acoustic = map(float, fields[4].split(",")) if len(fields) == 5 else (0.0, 0.0)
                current[0].append((int(fields[0]), int(fields[1]), graph + SCALE * acoustic))
            elif fields:
                graph, acoustic = map(float, fields[1].split(",")) if len(fields) == 2 else (0.0, 0.0)
                current[1][int(fields[0])] = graph + SCALE * acoustic
    return lattices


def forward_loglike(num_states, arcs, final):
    alpha = np.full(num_states, -np.inf)
    alpha[0] = 0
    for start, end, cost in arcs:
        alpha[end] = np.logaddexp(alpha[end], alpha[start] - cost)
    return np.logaddexp.reduce([alpha[state] - cost for state, cost in final.items()])


def test_lattices_are_kaldis(kaldi, kaldi_reference):
    _, _, loglikes, decoder = kaldi
    references = kaldi_lattices(kaldi_reference / "lattice" / "raw_lat.text.gz")
    assert set(references) == set(loglikes)
    for name, (arcs, final) in references.items():
        num_states = 1 + max(end for _, end, _ in arcs)
        lattice = decoder.decode_lattice(loglikes[name])
        assert abs(lattice.num_states - num_states) <= 3 and abs(lattice.num_arcs - len(arcs)) <= 6, name
        ours = zip(lattice.arc_start, lattice.arc_end, lattice.arc_graph_cost + SCALE * lattice.arc_acoustic_cost)
        our_final = {state: cost for state, cost in enumerate(lattice.final_cost) if cost < np.inf}
        difference = forward_loglike(lattice.num_states, ours, our_final) - forward_loglike(num_states, sorted(arcs), final)
        assert abs(difference) < 2e-3, name


def test_lattice_best_paths_are_the_one_best(kaldi, kaldi_reference):
    _, _, loglikes, decoder = kaldi
    for name in sorted(loglikes)[::3]:
        one_best, path = decoder.decode(loglikes[name]), best_path(decoder.decode_lattice(loglikes[name]), SCALE)
        assert np.array_equal(path.transition_ids, one_best.transition_ids)
        assert path.graph_cost == pytest.approx(one_best.graph_cost, abs=1e-4)
