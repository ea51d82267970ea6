"""Denominator graphs: probabilities of pdf sequences against the phone language model, tree and topology taken one by one."""

import itertools
import json

import numpy as np
import pytest

from asrtool.bin.make_den_graph import main
from asrtool.criterion.lattice_free import LatticeFreeCriterion
from asrtool.criterion.lattice_free_numerator import PathWeights
from asrtool.criterion.sequence import PhoneTables, SequenceOptions, make_criterion
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.graph.denominator import BOTH, FORWARD_ONLY, LOOP_ONLY, DenominatorGraph
from asrtool.graph.hmm_arrays import HmmArrays
from asrtool.graph.make_denominator import denominator_fst, make_denominator, pdf_kinds, remove_all_epsilons
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, write_alignments
from asrtool.io.kaldi_binary import KaldiWriter
from asrtool.lm.phone_lm import PhoneLmOptions, estimate_phone_lm
from asrtool.tree.context_dependency import ContextDependency, stub_map
from asrtool.tree.event_map import ConstantEventMap, SplitEventMap, replace_leaves

PHONES = [1, 2, 3]
CHAIN = (HmmState(0, 1, ((0, 0.6), (1, 0.4))), HmmState())
BAKIS = (HmmState(0, 0, ((0, 0.5), (1, 0.3), (2, 0.2))), HmmState(1, 1, ((1, 0.25), (2, 0.75))), HmmState())
NO_LOOP = (HmmState(0, 0, ((1, 1.0),)), HmmState(1, 1, ((1, 0.3), (2, 0.7))), HmmState())
KINDS = [("chain", CHAIN, 2), ("chain", CHAIN, 1), ("bakis", BAKIS, 3), ("bakis", BAKIS, 1), ("no_loop", NO_LOOP, 2)]


def small_model(entry, width: int) -> tuple[ContextDependency, TransitionModel]:
    """A leaf for each phone and pdf class, some of them split by a question about a neighbour."""
    topology = HmmTopology([entry], dict.fromkeys(PHONES, 0))
    centre = 0 if width == 1 else 1
    to_pdf, leaf = stub_map(centre, [[phone] for phone in PHONES], topology.num_pdf_classes, [False] * len(PHONES))
    for key, phones, split in [(0, (0, 2), 0), (width - 1, (1,), 3), (0, (3,), 2)] if width > 1 else []:
        question = SplitEventMap(key, phones, ConstantEventMap(split), ConstantEventMap(leaf))
        to_pdf, leaf = replace_leaves(to_pdf, {split: question}), leaf + 1
    tree = ContextDependency(width, centre, to_pdf)
    return tree, TransitionModel.from_tree(tree, topology)


def hmm_sequences(tree, model, phones, num_frames: int) -> dict[tuple[int, ...], float]:
    """pdf sequences of `num_frames` frames that the phones' HMMs emit, with their probabilities."""
    width, centre = tree.context_width, tree.central_position
    padded = [0] * centre + list(phones) + [0] * (width - 1 - centre)
    found: dict[tuple[int, ...], float] = {}

    def visit(place: int, state: int, pdfs: tuple[int, ...], probability: float) -> None:
        if place == len(phones):
            if len(pdfs) == num_frames:
                found[pdfs] = found.get(pdfs, 0) + probability
            return
        if len(pdfs) >= num_frames:
            return
        states = model.topology.states(phones[place])
        window = padded[place : place + width]
        forward = tree.compute(window, states[state].forward_pdf_class)
        loop = tree.compute(window, states[state].self_loop_pdf_class)
        stay = dict(states[state].transitions).get(state, 0)
        for loops in range(num_frames - len(pdfs) if stay else 1):
            for following, leave in states[state].transitions:
                if following != state:
                    ends = following == len(states) - 1
                    target = (place + 1, 0) if ends else (place, following)
                    visit(*target, (*pdfs, forward, *[loop] * loops), probability * stay**loops * leave)

    visit(0, 0, (), 1.0)
    return found


def graph_sequences(fst: CsrGraph, num_frames: int) -> dict[tuple[int, ...], float]:
    """The same of an acceptor of pdfs plus 1, with its start and its final probabilities."""
    found: dict[tuple[int, ...], float] = {}
    states = [((), fst.start, 1.0)]
    for _ in range(num_frames):
        states = [
            ((*pdfs, int(fst.arc_ilabel[arc]) - 1), int(fst.arc_nextstate[arc]), prob * float(np.exp(-fst.arc_cost[arc])))
            for pdfs, state, prob in states
            for arc in range(fst.arc_begin[state], fst.arc_begin[state + 1])
        ]
    for pdfs, state, prob in states:
        if fst.final_cost[state] < np.inf:
            found[pdfs] = found.get(pdfs, 0) + prob * float(np.exp(-fst.final_cost[state]))
    return found


@pytest.mark.parametrize(("name", "entry", "width"), KINDS)
def test_probabilities_of_pdf_sequences(name, entry, width):
    """Sum over phone sequences: language model times HMMs. Costs are rounded to 1/1024 an arc when states are united."""
    tree, model = small_model(entry, width)
    phone_lm = estimate_phone_lm([np.array(s) for s in ([1, 2], [2, 3], [1], [1, 3, 3], [3, 2, 1])], PhoneLmOptions(3, 2, 3))
    fst = denominator_fst(phone_lm.graph, HmmArrays(tree, model))
    assert fst.arc_ilabel.min() >= 1
    for num_frames in (1, 2, 3, 4):
        expected: dict[tuple[int, ...], float] = {}
        for length in range(1, num_frames + 1):
            for phones in itertools.product(PHONES, repeat=length):
                probability = graph_sequences_of_phones(phone_lm.graph, phones)
                for pdfs, share in hmm_sequences(tree, model, phones, num_frames).items() if probability else ():
                    expected[pdfs] = expected.get(pdfs, 0) + probability * share
        found = graph_sequences(fst, num_frames)
        # pushed weights: all sequences of one length keep their ratios, up to a constant for each frame and one in all
        assert found.keys() == expected.keys() and (found or num_frames == 1)
        ratios = [np.log(found[pdfs] / expected[pdfs]) for pdfs in found]
        assert np.ptp(ratios or [0]) < 0.005 * (num_frames + 1), (name, num_frames)


def graph_sequences_of_phones(graph: CsrGraph, phones) -> float:
    state, probability = graph.start, 1.0
    for phone in phones:
        here = slice(graph.arc_begin[state], graph.arc_begin[state + 1])
        place = np.flatnonzero(graph.arc_ilabel[here] == phone)
        if len(place) == 0:
            return 0.0
        probability *= float(np.exp(-graph.arc_cost[here][place[0]]))
        state = graph.arc_nextstate[here][place[0]]
    return probability * float(np.exp(-graph.final_cost[state]))


def test_removing_epsilons_keeps_all_weights():
    """Chains and parallel paths of epsilons, one of them to the end: weights of label sequences stay, in the log semiring."""
    source, label, nextstate = np.array(
        [(0, 0, 1), (0, 0, 1), (1, 0, 2), (0, 0, 2), (2, 1, 3), (3, 0, 4), (3, 2, 0), (4, 2, 0), (1, 2, 3), (3, 0, 1)]
    ).T
    cost = np.linspace(0.1, 1.0, 10)
    fst = CsrGraph.from_arcs(0, source, label, label, nextstate, cost, [np.inf, np.inf, np.inf, 2.0, 0.3])

    def weights(graph, length: int) -> dict:
        result, states = {}, [((), graph.start, 1.0)]
        while states:
            following = []
            for labels, state, prob in states:
                if len(labels) == length and graph.final_cost[state] < np.inf:
                    result[labels] = result.get(labels, 0) + prob * np.exp(-graph.final_cost[state])
                for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1]):
                    longer = labels + ((int(graph.arc_ilabel[arc]),) if graph.arc_ilabel[arc] else ())
                    if len(longer) <= length:
                        following.append((longer, int(graph.arc_nextstate[arc]), prob * np.exp(-graph.arc_cost[arc])))
            states = following
        return result

    without = remove_all_epsilons(fst)
    assert without.arc_ilabel.min() > 0
    for length in (1, 2, 3, 4):
        assert weights(without, length) == pytest.approx(weights(fst, length), rel=1e-6)
    endless = CsrGraph.from_arcs(0, [0, 1, 1], [0, 0, 1], [0, 0, 1], [1, 0, 1], [1.0, 1.0, 1.0], [np.inf, 0.0])
    with pytest.raises(AsrtoolError, match="a cycle without emitting arcs"):
        remove_all_epsilons(endless)


def test_initial_probabilities_parallel_arcs_and_kinds_of_pdfs():
    fst = CsrGraph.from_arcs(
        0, [0, 0, 1, 1], [1, 1, 1, 2], [1, 1, 1, 2], [1, 1, 0, 1], np.log([4, 4, 4, 2]), [np.inf, np.log(4.0)]
    )
    graph = DenominatorGraph.from_graph(fst, np.zeros(2, np.int8))
    assert (graph.row_state.tolist(), graph.row_pdf.tolist(), graph.row_begin.tolist()) == ([0, 1, 1], [0, 0, 1], [0, 1, 2, 3])
    np.testing.assert_allclose(graph.arc_prob, [0.25, 0.5, 0.5])
    now, sums = np.array([1.0, 0.0]), np.zeros(2)
    for _ in range(100):
        sums += now
        now = np.array([now[1] * 0.25, now[0] + now[1] * 0.5])
        now /= now.sum()
    np.testing.assert_allclose(graph.initial, sums / 100, rtol=1e-6)
    assert graph.final.tolist() == [1, 1]
    np.testing.assert_allclose(DenominatorGraph.from_graph(fst, np.zeros(2, np.int8), real_final=True).final, [0, 0.25])
    for label in (0, 3):
        with pytest.raises(AsrtoolError, match="an arc's label is neither"):
            bad = CsrGraph.from_arcs(0, [0], [label], [label], [0], [0.0], [0.0])
            DenominatorGraph.from_graph(bad, np.zeros(2, np.int8))
    with pytest.raises(AsrtoolError, match="it is empty"):
        DenominatorGraph.from_graph(CsrGraph.from_arcs(-1, [], [], [], [], [], []), np.zeros(2, np.int8))
    assert set(pdf_kinds(small_model(BAKIS, 3)[1])) == {BOTH}
    tree, model = small_model(CHAIN, 1)
    for phone in PHONES:
        assert pdf_kinds(model)[[tree.compute([phone], 0), tree.compute([phone], 1)]].tolist() == [FORWARD_ONLY, LOOP_ONLY]


def test_kaldis_chain_alignments(kaldi_reference, tmp_path):
    """The graph of a chain tree: every alignment is one of its paths, and no utterance more likely than all together."""
    directory = kaldi_reference / "gmm" / "chain_tree"
    graph = make_denominator(directory, tmp_path, frame_subsampling_factor=3)
    info = json.loads((tmp_path / "denominator.json").read_text())
    alignments, model = read_alignments(directory), TransitionModel.read_file(directory / "final.mdl")
    number = sum(len(model.phone_segments(alignment)[0]) + 1 for alignment in alignments.values())
    assert (info["phones"], info["states"], info["arcs"]) == (number, graph.num_states, graph.num_arcs)
    assert graph.num_pdfs == model.num_pdfs == 376 and graph.frame_subsampling_factor == 3
    assert graph.initial.sum() == pytest.approx(1, abs=1e-5) and graph.num_arcs < 30_000
    final = np.exp(-CsrGraph.from_fst_file(tmp_path / "den.fst").final_cost)
    sums = np.bincount(graph.arc_state, graph.arc_prob, graph.num_states) + final
    np.testing.assert_allclose(sums, 1, atol=2e-3)  # a language model's probabilities, and HMMs'; rounded when states are united
    loaded = DenominatorGraph.load(tmp_path)
    assert loaded.fingerprint == graph.fingerprint == info["fingerprint"]
    strict = PathWeights(loaded, 0.0)
    for utterance, alignment in alignments.items():
        assert strict(utterance, model.tid_to_pdf[alignment]) > -np.inf, utterance
    names = list(alignments)[:3]
    criterion = make_criterion(SequenceOptions("lfmmi", 1.0), PhoneTables.from_model(model, [1]), loaded)
    flat = [np.zeros((len(alignments[name]), 376), np.float32) for name in names]
    for outer in criterion(flat, [alignments[name] for name in names], [None] * 3, names):
        assert outer.objective < -0.5 * outer.num_frames and outer.numerator_in_lattice and outer.numerator_acoustic == 0


def test_the_verb(kaldi_reference, tmp_path, capsys):
    """Five utterances of the chain tree; errors of the command line and of its input."""
    source, ali_dir = kaldi_reference / "gmm" / "chain_tree", tmp_path / "ali"
    ali_dir.mkdir()
    for name in ("final.mdl", "tree"):
        (ali_dir / name).write_bytes((source / name).read_bytes())
    alignments = dict(list(read_alignments(source).items())[:20])
    write_alignments(ali_dir / "ali.1.gz", {**alignments, "cut": alignments.popitem()[1][1:]})
    (ali_dir / "frame_subsampling_factor").write_text("3\n")
    assert main(["--ngram-order", "2", str(ali_dir), str(tmp_path / "den")]) == 0
    printed = capsys.readouterr().err
    assert "cut: alignment: it does not consist of whole phones" in printed and '"phone_lm_perplexity"' in printed
    graph = DenominatorGraph.load(tmp_path / "den")
    assert graph.frame_subsampling_factor == 3 and (graph.final == 1).all()
    assert CsrGraph.from_fst_file(tmp_path / "den" / "den.fst").num_states == graph.num_states
    for arguments in (["--ngram-order", "1"], ["--num-extra-lm-states", "-1"], ["--frame-subsampling-factor", "0"]):
        with pytest.raises(SystemExit):
            main([*arguments, str(ali_dir), str(tmp_path / "bad")])
    (ali_dir / "tree").unlink()
    with pytest.raises(AsrtoolError, match="tree: no such file"):
        main([str(ali_dir), str(tmp_path / "bad")])
    assert not (tmp_path / "bad").exists()


def test_files_that_are_missing_damaged_or_of_another_model(tmp_path):
    tree, model = small_model(CHAIN, 2)
    phone_lm = estimate_phone_lm([np.array([1, 2]), np.array([2, 3])], PhoneLmOptions(2, 2, 0))
    graph = DenominatorGraph.from_graph(denominator_fst(phone_lm.graph, HmmArrays(tree, model)), pdf_kinds(model))
    with pytest.raises(AsrtoolError, match=r"denominator.npz: no such file; make it with asrtool make-den-graph"):
        DenominatorGraph.load(tmp_path)
    graph.save(tmp_path)
    assert DenominatorGraph.load(tmp_path).fingerprint == graph.fingerprint
    file = tmp_path / "denominator.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AsrtoolError, match="damaged"):
        DenominatorGraph.load(tmp_path)
    file.write_bytes(whole)
    with np.load(file) as arrays:
        changed = {**arrays, "arc_prob": arrays["arc_prob"] * 2}
    np.savez(file, **changed)
    with pytest.raises(AsrtoolError, match="its content is not that of its fingerprint"):
        DenominatorGraph.load(tmp_path)
    _, bigger = small_model(BAKIS, 1)
    with pytest.raises(AsrtoolError, match=f"the denominator graph has {model.num_pdfs} pdfs, the model {bigger.num_pdfs}"):
        LatticeFreeCriterion(SequenceOptions("lfmmi"), PhoneTables.from_model(bigger), graph)
    with pytest.raises(AsrtoolError, match="needs a denominator graph"):
        make_criterion(SequenceOptions("lfmmi"), PhoneTables.from_model(model))
    with KaldiWriter.open(tmp_path / "final.mdl") as writer:
        model.write(writer)
    tree.write_file(tmp_path / "tree")
    with pytest.raises(AsrtoolError, match="no alignments"):
        make_denominator(tmp_path, tmp_path / "den")
