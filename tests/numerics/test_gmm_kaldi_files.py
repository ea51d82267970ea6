"""GMM models, log-likelihoods and alignments that Kaldi wrote."""

import numpy as np
import pytest

from asrtool.decoder.aligner import align
from asrtool.errors import AsrtoolError
from asrtool.gmm.convert_alignment import AlignmentConverter
from asrtool.gmm.model import read_model, write_model
from asrtool.gmm.tree_stats import TreeStatistics, pdf_classes
from asrtool.graph.training_graph import TrainingGraphCompiler, add_transition_costs
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, read_text_ints
from asrtool.io.kaldi_table import MatrixReader
from asrtool.tree.context_dependency import ContextDependency


def test_text_and_binary_models_are_the_same(kaldi_reference, tmp_path):
    directory = kaldi_reference / "gmm" / "mono"
    binary, text = read_model(directory / "final.mdl")[1], read_model(directory / "final.mdl.txt.gz")[1]
    for field in ("pdf_begin", "weights", "means_invvars", "inv_vars", "gconsts"):
        assert np.allclose(getattr(binary, field), getattr(text, field), rtol=1e-5, atol=1e-5)
    write_model(tmp_path / "text.mdl", *read_model(directory / "final.mdl"), binary=False)
    again = read_model(tmp_path / "text.mdl")[1]
    assert np.allclose(again.means_invvars, binary.means_invvars, rtol=1e-5)


def test_log_likelihoods_equal_kaldis(kaldi_reference):
    _, model = read_model(kaldi_reference / "lattice" / "final.mdl")
    expected = MatrixReader(f"ark:{kaldi_reference / 'lattice' / 'loglikes.ark'}")
    features = dict(MatrixReader(f"ark:{kaldi_reference / 'lattice' / 'feats.ark'}").items())
    seen = 0
    for utterance, matrix in expected.items():
        assert np.abs(model.loglikes(features[utterance]) - matrix).max() < 1e-3
        seen += len(matrix)
    assert seen == 2763


def test_forced_alignments_equal_kaldis(kaldi_reference):
    """Twelve utterances, frame by frame, at Kaldi's default scales and beams."""
    directory = kaldi_reference / "lattice"
    transition_model, _ = read_model(directory / "final.mdl")
    tree = ContextDependency.read_file(directory / "tree")
    compiler = TrainingGraphCompiler(kaldi_reference / "lang", tree, transition_model)
    loglikes = dict(MatrixReader(f"ark:{directory / 'loglikes.ark'}").items())
    expected = read_text_ints(directory / "ref_ali.txt")
    for line in (directory / "ref.txt").read_text().splitlines():
        utterance, *words = line.split()
        graph = add_transition_costs(compiler.compile(words), transition_model)
        result = align(graph, loglikes[utterance], transition_model.tid_to_pdf)
        assert np.array_equal(result.transition_ids, expected[utterance])


def slow_tree_statistics(transition_model, alignments, features, independent):
    """Kaldi's AccumulateTreeStats, a frame at a time."""
    rows = enumerate(zip(transition_model.tid_to_phone[1:], transition_model.tid_to_hmm_state[1:]), 1)
    classes = {tid: transition_model.topology.states(phone)[state].forward_pdf_class for tid, (phone, state) in rows}
    sums, offset = {}, 0
    for alignment in alignments:
        phones = transition_model.alignment_to_phones(alignment)
        at = 0
        for number, (phone, length) in enumerate(phones):
            left = phones[number - 1][0] if number else 0
            right = phones[number + 1][0] if number + 1 < len(phones) else 0
            window = (-1, phone, -1) if phone in independent else (left, phone, right)
            for tid in alignment[at : at + length].tolist():
                x = features[offset].astype(np.float64)
                sums.setdefault((*window, classes[tid]), np.zeros(1 + 2 * len(x)))[:] += np.concatenate([[1], x, x**2])
                offset += 1
            at += length
    return sums


def test_tree_statistics_equal_a_loop_over_frames(kaldi_reference):
    transition_model = TransitionModel.read_file(kaldi_reference / "gmm" / "tri3b_ali" / "final.mdl")
    alignments = list(read_alignments(kaldi_reference / "gmm" / "tri3b_ali" / "ali.1.gz").values())[:20]
    independent = list(range(1, 11))
    features = np.random.default_rng(0).normal(size=(sum(map(len, alignments)), 3)).astype(np.float32)
    statistics = TreeStatistics(transition_model, independent)
    half = sum(map(len, alignments[:9]))
    statistics.add(features[:half], alignments[:9])
    statistics.add(features[half:], alignments[9:])
    events, sums = statistics.result()
    expected = slow_tree_statistics(transition_model, alignments, features, independent)
    assert [tuple(row) for row in events.tolist()] == sorted(expected)
    assert np.allclose(sums, [expected[tuple(row)] for row in events.tolist()])


def test_converted_alignments_keep_phones_and_states(kaldi_reference):
    gmm = kaldi_reference / "gmm"
    old, new = (TransitionModel.read_file(gmm / name / "final.mdl") for name in ("tri3b_ali", "tri1"))
    alignments = list(read_alignments(gmm / "tri3b_ali" / "ali.2.gz").values())[:50]
    same = AlignmentConverter(old, old, ContextDependency.read_file(gmm / "tri3b_ali" / "tree")).convert(alignments)
    assert all(np.array_equal(one, two) for one, two in zip(alignments, same, strict=True))
    tree = ContextDependency.read_file(gmm / "tri1" / "tree")
    for one, two in zip(alignments, AlignmentConverter(old, new, tree).convert(alignments), strict=True):
        for name in ("tid_to_phone", "tid_to_hmm_state", "tid_to_index"):
            assert np.array_equal(getattr(old, name)[one], getattr(new, name)[two])
        phones = new.alignment_to_phones(two)
        first = [phones[0][0], phones[1][0]]
        assert new.tid_to_pdf[two[0]] == tree.compute([0, *first], int(pdf_classes(new)[two[0]]))


def test_conversion_needs_the_same_topology(kaldi_reference):
    gmm = kaldi_reference / "gmm"
    old, chain = (TransitionModel.read_file(gmm / name / "final.mdl") for name in ("tri3b_ali", "chain_tree"))
    with pytest.raises(AsrtoolError, match="topology"):
        AlignmentConverter(old, chain, ContextDependency.read_file(gmm / "chain_tree" / "tree"))
