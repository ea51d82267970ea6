"""Transition models, topologies and trees against the files that Kaldi wrote."""

import gzip
import re

import numpy as np
import pytest

from asrtool.hmm.topology import HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, read_text_ints
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter
from asrtool.tree.context_dependency import ContextDependency, monophone_context_dependency

SYSTEMS = ["mono", "tri1", "tri2b", "tri3b", "tri3b_ali", "chain_tree"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_tree_round_trip_and_transition_model_from_tree(kaldi_reference, tmp_path, system):
    path = kaldi_reference / "gmm" / system / "tree"
    tree = ContextDependency.read_file(path)
    tree.write_file(tmp_path / "tree")
    assert (tmp_path / "tree").read_bytes() == path.read_bytes()
    model = TransitionModel.read_file(path.parent / "final.mdl")
    assert tree.num_pdfs == model.num_pdfs
    made = TransitionModel.from_tree(tree, model.topology)
    np.testing.assert_array_equal(made.tuples, model.tuples)
    np.testing.assert_array_equal(made.tid_to_pdf, model.tid_to_pdf)


@pytest.mark.parametrize("system", ["mono", "tri1"])
def test_tree_text_round_trip(kaldi_reference, tmp_path, system):
    path = kaldi_reference / "gmm" / system / "tree.txt"
    tree = ContextDependency.read_file(path)
    tree.write_file(tmp_path / "tree.txt", binary=False)
    assert (tmp_path / "tree.txt").read_bytes() == path.read_bytes()
    assert tree.to_pdf == ContextDependency.read_file(path.parent / "tree").to_pdf


@pytest.mark.parametrize("name", ["lang/topo", "gmm/chain_tree/topo"])
def test_topology_text(kaldi_reference, tmp_path, name):
    topology = HmmTopology.read_file(kaldi_reference / name)
    system = "mono" if name.startswith("lang") else "chain_tree"
    assert topology == TransitionModel.read_file(kaldi_reference / "gmm" / system / "final.mdl").topology
    with KaldiWriter.open(tmp_path / "topo", binary=False) as writer:
        topology.write(writer)
    assert (tmp_path / "topo").read_text().split() == (kaldi_reference / name).read_text().split()
    assert HmmTopology.read_file(tmp_path / "topo") == topology


def test_monophone_tree_is_kaldis(kaldi_reference, tmp_path):
    lines = (kaldi_reference / "lang" / "phones" / "sets.int").read_text().splitlines()
    phone_sets = [[int(phone) for phone in line.split()] for line in lines]
    tree = monophone_context_dependency(phone_sets, HmmTopology.read_file(kaldi_reference / "lang" / "topo"))
    tree.write_file(tmp_path / "tree")
    assert (tmp_path / "tree").read_bytes() == (kaldi_reference / "gmm" / "mono" / "tree").read_bytes()


def test_every_transition_as_kaldi_shows_it(kaldi_reference):
    model = TransitionModel.read_file(kaldi_reference / "gmm" / "mono" / "final.mdl")
    phones = dict(line.split() for line in (kaldi_reference / "lang" / "phones.txt").read_text().splitlines())
    shown = gzip.decompress((kaldi_reference / "gmm" / "mono" / "show_transitions.txt.gz").read_bytes()).decode()
    state, tid = "", 0
    for line in shown.splitlines():
        if match := re.fullmatch(r"Transition-state (\d+): phone = (\S+) hmm-state = (\d+) pdf = (\d+)", line):
            state = match
            continue
        tid += 1
        match = re.fullmatch(r" Transition-id = (\d+) p = (\S+) \[(.*)\]", line)
        assert int(match[1]) == tid
        row, index = model.pair(tid)
        assert (row + 1, model.tid(row, index)) == (int(state[1]), tid)
        assert model.tid_to_phone[tid] == int(phones[state[2]])
        assert model.tid_to_hmm_state[tid] == int(state[3])
        assert model.tid_to_pdf[tid] == int(state[4])
        assert np.exp(model.log_probs[tid]) == pytest.approx(float(match[2]), rel=1e-5)
        loop = match[3] == "self-loop"
        assert model.tid_is_self_loop[tid] == loop
        assert (model.self_loop_tid(row) == tid) == loop
        if not loop:
            assert model.tid_destination[tid] == int(match[3].split(" -> ")[1])
    assert tid == model.num_transition_ids == len(model.tid_to_pdf) - 1


@pytest.mark.parametrize("system, first", [("tri3b_ali", 300), ("chain_tree", 100)])
def test_phones_and_pdfs_of_alignments(kaldi_reference, system, first):
    directory = kaldi_reference / "gmm" / system
    model = TransitionModel.read_file(directory / "final.mdl")
    alignments = read_alignments(directory)
    pdfs = read_text_ints(directory / f"pdf_first{first}.text.gz")
    lines = gzip.decompress((directory / f"phones_first{first}.text.gz").read_bytes()).decode().splitlines()
    assert len(lines) == len(pdfs) == first
    for line in lines:
        utterance, _, rest = line.partition(" ")
        alignment = alignments[utterance]
        np.testing.assert_array_equal(model.tid_to_pdf[alignment], pdfs[utterance])
        expected = [tuple(map(int, pair.split())) for pair in rest.split(";") if pair.strip()]
        assert model.alignment_to_phones(alignment) == expected
    assert all(sum(model.phone_segments(alignment)[1]) == len(alignment) for alignment in alignments.values())


def test_tree_answers_are_the_alignments_pdfs(kaldi_reference):
    directory = kaldi_reference / "gmm" / "tri3b_ali"
    model = TransitionModel.read_file(directory / "final.mdl")
    tree = ContextDependency.read_file(directory / "tree")
    for alignment in list(read_alignments(directory).values())[:50]:
        phones, lengths = model.phone_segments(alignment)
        padded = np.concatenate([[0], phones, [0]])
        windows = np.repeat(np.column_stack([padded[:-2], phones, padded[2:]]), lengths, axis=0)
        classes = model.tid_to_hmm_state[alignment]  # in this topology the pdf class is the state
        np.testing.assert_array_equal(tree.compute_many(np.column_stack([windows, classes])), model.tid_to_pdf[alignment])
    with KaldiReader.open(directory / "final.mdl") as reader:
        TransitionModel.read(reader)
        assert reader.peek_token() == "<DIMENSION>"
