"""What is wrong with an utterance is said of it alone; the others of its batch go on."""

import re
from dataclasses import replace

import numpy as np
import pytest
from phone_lattices import phone_model
from sequence_reference import PDFS, small_problem, small_tables

from asrtool.criterion.sequence import Outer, PhoneTables, SequenceOptions, make_criterion
from asrtool.errors import AsrtoolError
from asrtool.lattice.lattice import Lattice

TABLES = small_tables()


def changed(array, index, value):
    result = array.copy()
    result[index] = value
    return result


def bad_scores(value):
    return lambda loglikes, numerator, lattice: (changed(loglikes, (2, 1), value), numerator, lattice)


def bad_lattice(**changes):
    """Arrays replaced by functions of the lattice."""
    return lambda loglikes, numerator, lattice: (
        loglikes,
        numerator,
        replace(lattice, **{name: make(lattice) for name, make in changes.items()}),
    )


def no_states(loglikes, numerator, lattice):
    integers, floats = np.zeros(0, np.int32), np.zeros(0, np.float32)
    return loglikes, numerator, Lattice(4, integers, integers, integers, integers, integers, floats, floats, floats)


def no_last_arcs(loglikes, numerator, lattice):
    keep = lattice.state_frame[lattice.arc_start] < 3
    columns = "arc_start", "arc_end", "arc_transition_id", "arc_word", "arc_graph_cost", "arc_acoustic_cost"
    return loglikes, numerator, replace(lattice, **{name: getattr(lattice, name)[keep] for name in columns})


def no_numerator_scores(loglikes, numerator, lattice):
    """The numerator's pdf is impossible at a frame where the lattice has others."""
    here = lattice.state_frame[lattice.arc_start] == 0
    (wanted, *_) = set(range(PDFS)) - set(TABLES.tid_to_pdf[lattice.arc_transition_id[here]])
    return changed(loglikes, (0, wanted), -np.inf), changed(numerator, 0, np.flatnonzero(TABLES.tid_to_pdf == wanted)[0]), lattice


MAKE_BAD = {
    "NaN": (bad_scores(np.nan), r"frame 2 has a log-likelihood of NaN or \+inf; lower the learning rate"),
    "inf": (bad_scores(np.inf), r"frame 2 has a log-likelihood of NaN or \+inf; lower the learning rate"),
    "pdfs": (lambda scores, *rest: (scores[:, :-1], *rest), "log-likelihoods of 4 pdfs, but the alignments' model has 5; train"),
    "shape": (lambda scores, *rest: (scores[0], *rest), r"log-likelihoods of shape \(5,\), expected \[frames, pdfs\]"),
    "no frames": (lambda scores, *rest: (scores[:0], *rest), r"log-likelihoods of shape \(0, 5\).*any features"),
    "alignment": (
        lambda scores, numerator, lattice: (scores, numerator[1:], lattice),
        "the alignment has 3 frames, its log-.* 4",
    ),
    "transition-id": (
        lambda scores, numerator, lattice: (scores, changed(numerator, 0, 9), lattice),
        "transition-id 9 in the alignment, but the model has 1 to 8; align with the model",
    ),
    "no transition-id": (
        lambda scores, numerator, lattice: (scores, changed(numerator, 3, 0), lattice),
        "transition-id 0 in the alignment",
    ),
    "no lattice": (lambda scores, numerator, lattice: (scores, numerator, None), "no denominator lattice; decode with a wider"),
    "empty": (no_states, "its denominator lattice is empty; decode with a wider beam"),
    "frames": (bad_lattice(num_frames=lambda lattice: 5), "its lattice has 5 frames, its log-likelihoods 4; make the lattices"),
    "no final": (
        bad_lattice(final_cost=lambda lattice: np.full_like(lattice.final_cost, np.inf)),
        "no path of its lattice has a probability above 0; decode with a wider beam",
    ),
    "cut": (no_last_arcs, "no path of its lattice has a probability above 0; decode with a wider beam"),
    "early final": (
        bad_lattice(final_cost=lambda lattice: changed(lattice.final_cost, 0, 0)),
        "the paths of its lattice do not all have 4 frames; make the lattice again",
    ),
    "uneven": (
        bad_lattice(arc_transition_id=lambda lattice: np.where(lattice.arc_transition_id == 0, 1, lattice.arc_transition_id)),
        "the paths of its lattice do not all have 4 frames",
    ),
    "other model": (
        bad_lattice(arc_transition_id=lambda lattice: changed(lattice.arc_transition_id, -1, 12)),
        "its lattice has transition-ids to 12, the model to 8; decode with a graph of that model",
    ),
    "cycle": (
        bad_lattice(arc_end=lambda lattice: changed(lattice.arc_end, -1, 0)),
        "the states or arcs of its lattice are not in order; make the lattice again",
    ),
    "past the end": (
        bad_lattice(arc_end=lambda lattice: changed(lattice.arc_end, 0, 1000)),
        "the states or arcs of its lattice are not in order",
    ),
    "cost": (
        bad_lattice(arc_graph_cost=lambda lattice: changed(lattice.arc_graph_cost, 1, np.nan)),
        "a graph cost of its lattice is NaN or -inf; make the lattice again",
    ),
    "final cost": (
        bad_lattice(final_cost=lambda lattice: changed(lattice.final_cost, -1, -np.inf)),
        "a graph cost of its lattice is NaN or -inf",
    ),
    "impossible numerator": (
        no_numerator_scores,
        r"its alignment has probability 0 \(a log-likelihood of -inf\); align it again",
    ),
}


@pytest.mark.parametrize("case", MAKE_BAD)
def test_bad_utterance(case):
    make_bad, message = MAKE_BAD[case]
    problems = [small_problem(seed) for seed in (1, 2, 4)]
    criterion = make_criterion(SequenceOptions("mmi"), TABLES)
    alone = criterion(*zip(*problems[::2]), ["first", "last"])
    first, bad, last = criterion(*zip(problems[0], make_bad(*problems[1]), problems[2]), ["first", "bad", "last"])
    assert isinstance(bad, AsrtoolError)
    assert re.match(f"bad: {message}", str(bad)), str(bad)
    for one, other in zip((first, last), alone):
        assert isinstance(one, Outer)
        assert one.objective == other.objective
        for name in ("frame_begin", "label", "weight"):
            assert getattr(one.gradient, name).tolist() == getattr(other.gradient, name).tolist()


def test_nothing_to_do():
    criterion = make_criterion(SequenceOptions("smbr"), TABLES)
    assert criterion([], [], [], []) == []
    (error,) = criterion(*([one] for one in MAKE_BAD["no final"][0](*small_problem(1))), ["alone"])
    assert str(error).startswith("alone: no path")
    (error,) = criterion(*([one] for one in MAKE_BAD["cycle"][0](*small_problem(1))), ["alone"])
    assert str(error).startswith("alone: the states")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criterion": "ce"}, "criterion must be one of mmi, smbr, mpfe, mpe, lfmmi: ce"),
        ({"acoustic_scale": 0.0}, "acoustic_scale must be a number above 0: 0.0"),
        ({"acoustic_scale": np.nan}, "acoustic_scale must be a number above 0: nan"),
        ({"lm_scale": -1.0}, "lm_scale must be a number, at least 0: -1.0"),
        ({"criterion": "mmi", "boost": -0.1}, "boost must be a number, at least 0: -0.1"),
        ({"boost": 0.1}, "boost is for criterion=mmi, not smbr"),
        ({"silence_accuracy": 1.5}, "silence_accuracy must be between 0 and 1: 1.5"),
        ({"criterion": "mpe", "silence_accuracy": 0.5}, "silence_accuracy is for criterion=smbr and mpfe, not mpe"),
        ({"rejection_threshold": 1.0}, "rejection_threshold must be at least 0 and below 1: 1.0"),
        ({"ce_weight": 1.5}, "ce_weight must be between 0 and 1: 1.5"),
    ],
)
def test_bad_options(settings, message):
    with pytest.raises(ValueError, match=message):
        SequenceOptions(**settings)


def test_tables_of_a_model():
    model = phone_model()
    tables = PhoneTables.from_model(model, [1])
    assert tables.num_transition_ids == model.num_transition_ids and tables.num_pdfs == 5
    assert tables.tid_is_silence.tolist() == (model.tid_to_phone == 1).tolist()
    with pytest.raises(AsrtoolError, match="model: silence phone 7 is not in the model; give those of its lang directory"):
        PhoneTables.from_model(model, [1, 7])


def test_no_denominator_graph():
    with pytest.raises(AsrtoolError, match="criterion=lfmmi needs a denominator graph; make one with make-den-graph"):
        make_criterion(SequenceOptions("lfmmi"), TABLES)
