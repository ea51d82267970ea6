"""Transition models: probabilities against plain loops, alignments in both orders, and input that does not fit."""

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel

LEFT_RIGHT = (
    HmmState(0, 0, ((0, 0.75), (1, 0.25))),
    HmmState(1, 1, ((1, 0.6), (2, 0.4))),
    HmmState(),
)
ERGODIC = (
    HmmState(0, 0, ((0, 0.2), (1, 0.4), (2, 0.4))),
    HmmState(1, 1, ((0, 0.3), (1, 0.3), (2, 0.2), (3, 0.2))),
    HmmState(2, 2, ((3, 1.0),)),
    HmmState(),
)


@pytest.fixture
def model():
    topology = HmmTopology([LEFT_RIGHT, ERGODIC], {2: 0, 3: 0, 1: 1})
    tuples = [(1, 0, 0, 0), (1, 1, 1, 1), (1, 2, 2, 2), (2, 0, 3, 3), (2, 0, 4, 4), (2, 1, 5, 5), (3, 0, 3, 3), (3, 1, 6, 6)]
    return TransitionModel(topology, np.array(tuples))


def test_ids_count_through_the_tuples(model):
    assert model.num_transition_ids == 3 + 4 + 1 + 2 * 5
    assert model.num_pdfs == 7
    assert model.tid_to_pdf.tolist() == [-1, 0, 0, 0, 1, 1, 1, 1, 2, 3, 3, 4, 4, 5, 5, 3, 3, 6, 6]
    assert model.tid_is_self_loop.nonzero()[0].tolist() == [1, 5, 9, 11, 13, 15, 17]
    assert model.tid_is_final.nonzero()[0].tolist() == [7, 8, 14, 18]
    assert model.self_loop.tolist() == [1, 5, 0, 9, 11, 13, 15, 17]
    assert all(model.tid(*model.pair(tid)) == tid for tid in range(1, model.num_transition_ids + 1))
    np.testing.assert_allclose(np.exp(model.log_probs[1:4]), [0.2, 0.4, 0.4], rtol=1e-6)


def test_update_against_plain_loops(model):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 40, model.num_transition_ids + 1).astype(np.float64)
    counts[model.first_tid[3] : model.first_tid[4]] = [1, 2]  # too few
    counts[model.first_tid[4] : model.first_tid[5]] = [100, 0]  # floored
    expected, gain, total = model.log_probs.copy(), 0.0, 0.0
    for row in range(len(model.tuples)):
        tids = list(range(model.first_tid[row], model.first_tid[row + 1]))
        if len(tids) == 1:
            continue
        seen = sum(counts[tid] for tid in tids)
        total += seen
        if seen < 5:
            continue
        probs = [counts[tid] / seen for tid in tids]
        for _ in range(3):
            norm = sum(probs)
            probs = [max(prob / norm, 0.01) for prob in probs]
        for tid, prob in zip(tids, probs):
            gain += counts[tid] * (np.log(prob) - expected[tid])
            expected[tid] = np.log(prob)
    assert model.update(counts) == (pytest.approx(gain, rel=1e-4), pytest.approx(total))
    np.testing.assert_allclose(model.log_probs, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model.non_self_loop_log_probs[2], 0)


def test_scaled_costs(model):
    costs = model.scaled_costs(0.7, 0.1)
    for tid in range(1, model.num_transition_ids + 1):
        row = model.tid_to_tuple[tid]
        loop = np.exp(model.log_probs[model.self_loop[row]]) if model.self_loop[row] else 0.0
        expected = -0.1 * np.log(loop) if model.tid_is_self_loop[tid] else None
        if expected is None:
            expected = -0.1 * np.log(1 - loop) - 0.7 * (model.log_probs[tid] - np.log(1 - loop))
        assert costs[tid] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(model.scaled_costs(1.0, 1.0)[1:], -model.log_probs[1:], rtol=1e-5, atol=1e-6)


def test_phones_of_alignments(model):
    reordered = [2, 1, 1, 4, 2, 1, 7, 5, 10, 9, 14, 13, 13, 16, 18, 17]
    assert model.alignment_to_phones(reordered) == [(1, 8), (2, 5), (3, 3)]
    loops_first = [1, 1, 2, 4, 1, 2, 5, 7, 9, 10, 13, 13, 14, 16, 17, 18]
    assert model.alignment_to_phones(loops_first) == [(1, 8), (2, 5), (3, 3)]
    assert model.alignment_to_phones([10, 14, 10, 14]) == [(2, 2), (2, 2)]
    assert model.alignment_to_phones([]) == []


@pytest.mark.parametrize(
    "alignment, message",
    [
        ([10], "does not consist of whole phones"),
        ([14, 10, 14], "does not consist of whole phones"),
        ([10, 18], "the phone changes before its last state"),
        ([10, 14, 99], "transition-id 99, but the model has 18"),
        ([0, 10, 14], "transition-id"),
        ([1, 1], "does not consist of whole phones"),
    ],
)
def test_alignments_of_another_model(model, alignment, message):
    with pytest.raises(AsrtoolError, match=message):
        model.phone_segments(np.array(alignment))


@pytest.mark.parametrize(
    "tuples, log_probs, message",
    [
        ([(2, 0, 0, 0), (1, 0, 1, 1)], None, "not in ascending order"),
        ([], None, "not in ascending order, or there are none"),
        ([(4, 0, 0, 0)], None, "phone 4 has no HMM"),
        ([(2, 2, 0, 0)], None, "no emitting state 2"),
        ([(2, 0, 0, 0)], np.zeros(9), "8 transition probabilities for 2 transitions"),
        ([(2, 0, 0, 0)], np.array([0, -1, 0.5]), "not a number in"),
        ([(2, 0, 0, 0)], np.array([0, -1, np.nan]), "not a number in"),
    ],
)
def test_models_that_do_not_fit(tuples, log_probs, message):
    topology = HmmTopology([LEFT_RIGHT, ERGODIC], {2: 0, 3: 0, 1: 1})
    with pytest.raises(AsrtoolError, match=message):
        TransitionModel(topology, np.array(tuples, dtype=np.int32).reshape(-1, 4), log_probs, name="x.mdl")


def test_counts_of_another_model(model):
    with pytest.raises(AsrtoolError, match="7 transition counts for 18 transitions"):
        model.update(np.zeros(8))


def entry(*states):
    return (*states, HmmState())


@pytest.mark.parametrize(
    "states, message",
    [
        ([], "at least one emitting state"),
        ([HmmState(0, 0, ())], "leads nowhere"),
        ([HmmState(0, 0, ((5, 1.0),))], "a state that does not exist"),
        ([HmmState(0, 0, ((1, 0.5), (1, 0.5)))], "duplicate transition"),
        ([HmmState(0, 0, ((0, 0.0), (1, 1.0)))], "a probability of 0"),
        ([HmmState(1, 1, ((1, 1.0),))], "without gaps"),
        ([HmmState(0, 0, ((2, 1.0),)), HmmState(1, 1, ((2, 1.0),))], "state 1 cannot be reached"),
        ([HmmState(-1, -1, ((1, 1.0),))], "emits nothing and loops or ends"),
    ],
)
def test_topologies_that_kaldi_refuses(states, message):
    with pytest.raises(AsrtoolError, match=message):
        HmmTopology([entry(*states)], {1: 0})


@pytest.mark.parametrize(
    "text, message",
    [
        ("<Topology> <TopologyEntry> <ForPhones> 1 x </ForPhones>", "expected a phone number, found 'x'"),
        ("<Topology> <TopologyEntry> <ForPhones> 1 </ForPhones> <State> 1", "states must be in order"),
        ("<Topology> <TopologyEntry> <ForPhones> 1 </ForPhones> <State> 0 <PdfClass> 0 <Final>", "expected <Transition>"),
        ("<TransitionModel>", "expected <Topology>"),
        ("<Topology> </Topology>", "no topology entries"),
        ("", "expected a token"),
    ],
)
def test_topology_files_that_are_damaged(tmp_path, text, message):
    (tmp_path / "topo").write_text(text)
    with pytest.raises(AsrtoolError, match=message) as caught:
        HmmTopology.read_file(tmp_path / "topo")
    assert "topo" in str(caught.value) and "\n" not in str(caught.value)


def test_phone_in_two_entries(tmp_path):
    states = "<State> 0 <PdfClass> 0 <Transition> 1 1.0 </State> <State> 1 </State>"
    one = f"<TopologyEntry> <ForPhones> 1 </ForPhones> {states} </TopologyEntry>"
    (tmp_path / "topo").write_text(f"<Topology> {one} {one} </Topology>")
    with pytest.raises(AsrtoolError, match="phone 1 has two topology entries"):
        HmmTopology.read_file(tmp_path / "topo")
