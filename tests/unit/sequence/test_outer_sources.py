"""The source without processes: whose parameters, in what order, and what it reports."""

import pickle

import numpy as np
import pytest
import torch

from asrtool.errors import AsrtoolError
from asrtool.nnet.model_file import load_model
from asrtool.sequence.failures import Failures, UtteranceError
from asrtool.sequence.inline_source import InlineSource
from asrtool.sequence.make_source import make_source
from asrtool.sequence.notes import ALWAYS
from asrtool.sequence.numerators import Alignments
from asrtool.sequence.options import SpeechOptions


@pytest.fixture
def model(speech_toy):
    return load_model(speech_toy.root / "model.pt").model


def change(model, factor=1.02):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)


def test_results_are_those_of_the_parameters_when_a_batch_was_due(speech_toy, make_module, model):
    source, order = InlineSource(make_module("mmi", batch_utterances=3)), [(name, 1) for name in speech_toy.names[:8]]
    with pytest.raises(ValueError, match="published before"):
        source.begin(order)
    source.publish(model, 0)
    source.begin(order)
    results, flats = [], {}
    for step, (name, _) in enumerate(order):
        flats[step] = torch.zeros(source.module.layout.num_elements)
        source.module.layout.pack(model, flats[step])
        results.append(source.take(name))
        change(model)
        source.publish(model, step + 1)
    assert [(result.name, result.shift) for result in results] == order
    assert [result.version for result in results] == [0, 0, 0, 3, 3, 3, 6, 6]
    reference = make_module("mmi")
    for result in results:
        reference.set_parameters(flats[result.version], result.version)
        expected = reference.outer_gradients([(result.name, result.shift)])[0]
        assert result.outer.objective == pytest.approx(expected.outer.objective, rel=1e-5)
    assert len({round(result.outer.objective / result.num_frames, 6) for result in results}) == 8
    notes = source.notes()
    assert set(ALWAYS) <= set(notes)
    assert notes["lattice_staleness_mean"] == pytest.approx(np.mean([0, 1, 2, 0, 1, 2, 0, 1]))
    assert notes["lattice_staleness_max"] == 2 and notes["lattices"] == 8 and notes["failed"] == 0
    assert notes["outer_frames"] == sum(result.num_frames for result in results)
    assert notes["sequence_objective"] == pytest.approx(sum(result.outer.objective for result in results))
    assert notes["depth_mean"] > 1 and notes["search_s"] > 0
    assert all(type(value) is float for value in notes.values())
    assert source.notes()["lattices"] == 0 and "depth_mean" not in source.notes()
    source.close()


def test_results_that_are_too_old_are_made_again(speech_toy, make_module, model):
    source = InlineSource(make_module(batch_utterances=8, max_staleness=2))
    source.publish(model, 5)
    source.begin([(name, 0) for name in speech_toy.names[:6]])
    versions = []
    for step, name in enumerate(speech_toy.names[:6], 5):
        source.publish(model, step)
        versions.append(source.take(name).version)
    assert versions == [5, 5, 5, 8, 9, 10]
    notes = source.notes()
    assert notes["recomputed"] == 3 and notes["lattice_staleness_max"] == 2


def test_the_order_is_kept_to(speech_toy, make_module, model):
    source, names = InlineSource(make_module()), speech_toy.names
    source.publish(model, 0)
    source.begin([(names[0], 0), (names[1], 0)])
    with pytest.raises(ValueError, match=f"{names[1]} was taken, the order says {names[0]}"):
        source.take(names[1])
    source.begin([(names[2], 0)])
    assert source.take(names[2]).name == names[2]
    with pytest.raises(ValueError, match="nothing more"):
        source.take(names[3])


def test_a_training_that_goes_on_takes_what_was_made(speech_toy, make_module, model):
    order = [(name, 0) for name in speech_toy.names[:6]]
    source = InlineSource(make_module(batch_utterances=4))
    source.publish(model, 0)
    source.begin(order)
    source.take(order[0][0])
    ahead = source.ahead()
    assert [result.name for result in ahead] == [name for name, _ in order[1:4]]
    change(model)
    again = InlineSource(make_module(batch_utterances=4))
    again.publish(model, 1)
    again.begin(order[1:])
    again.take_over(ahead)
    results = [again.take(name) for name, _ in order[1:]]
    assert [result.version for result in results] == [0, 0, 0, 1, 1]
    assert results[0].outer is ahead[0].outer


def test_failures_are_named_once_and_too_many_are_an_error(speech_toy, make_module, model, capsys):
    names = speech_toy.names
    module = make_module(max_failed=0.3, min_counted=16, batch_utterances=1)
    few = {name: speech_toy.alignments[name] for name in names[2:]}
    module.numerators = Alignments(few, speech_toy.model.num_transition_ids)
    source = InlineSource(module)
    source.publish(model, 0)
    for _ in range(2):
        source.begin([(name, 0) for name in names[:8]])
        results = [source.take(name) for name in names[:8]]
        assert [result.reason for result in results[:3]] == ["alignment", "alignment", ""]
    err = capsys.readouterr().err
    assert err.count(f"WARNING: {names[0]}: left out: its alignment is missing") == 1
    notes = source.notes()
    assert (notes["failed"], notes["failed_alignment"], notes["lattices"]) == (4, 4, 12)
    module.numerators = Alignments({}, speech_toy.model.num_transition_ids)
    source.begin([(name, 0) for name in names])
    with pytest.raises(
        AsrtoolError, match=r"6 of the last 18 utterances gave no outer gradient \(allowed: 30%\): 6 because its al"
    ):
        for name in names:
            source.take(name)


def test_the_share_of_failures_is_that_of_late():
    failures = Failures(SpeechOptions(max_failed=0.1, min_counted=20))
    for _ in range(5000):
        failures.ok()
    with pytest.raises(
        AsrtoolError, match=r"101 of the last 1000 .*: 100 because the network's outputs .*, 1 because the search"
    ):
        failures.add("a", "search", "x")
        for number in range(1000):
            failures.add(f"u{number}", "nan", "x")
    error = pickle.loads(pickle.dumps(UtteranceError("nan", "why")))
    assert (type(error), error.kind, str(error)) == (UtteranceError, "nan", "why")


def test_settings_choose_the_source(speech_toy):
    from asrtool.criterion.sequence import SequenceOptions

    source = make_source(SpeechOptions(num_processes=0), speech_toy.paths(), SequenceOptions())
    assert isinstance(source, InlineSource)
    source.close()


@pytest.mark.parametrize(("policy", "said"), [("keep", "kept"), ("add", "added"), ("skip", "left out")])
def test_missing_numerators_are_named_and_no_failures(speech_toy, make_module, model, capsys, policy, said):
    narrow = {"beam": 4.0, "lattice_beam": 1.0}
    source = InlineSource(make_module("mmi", missing_numerator=policy, max_failed=0.0, min_counted=1, **narrow))
    source.publish(model, 0)
    missing = set()
    for _ in range(2):
        source.begin([(name, 0) for name in speech_toy.names])
        missing |= {result.name for result in map(source.take, speech_toy.names) if result.numerator_missing}
    source.close()
    lines = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith(f"numerator is no path of the lattice, {said}")
    ]
    named = [name for line in lines for name in line.rpartition(": ")[2].split()]
    assert sorted(named) == sorted(missing) and 0 < len(missing) < len(speech_toy.names)
    notes = source.notes()
    assert notes["missing_numerator"] == 2 * len(missing)
    assert notes["failed"] == notes.get("failed_numerator", 0.0) == (2 * len(missing) if policy == "skip" else 0)
