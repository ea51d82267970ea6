"""The speech module against its parts put together by hand, and what it does with utterances that fail."""

import numpy as np
import pytest
import torch
from random_lattices import all_paths, random_lattice

from asrtool.criterion.sequence import PhoneTables, SequenceOptions, make_criterion
from asrtool.decoder.aligner import align
from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.graph.training_graph import TrainingGraphCompiler, add_transition_costs
from asrtool.lattice.posteriors import merge_pairs
from asrtool.nnet.forward import loglikes, scaled_loglikes
from asrtool.nnet.input import InputOptions
from asrtool.nnet.model_file import load_model
from asrtool.sequence.denominators import has_numerator, join
from asrtool.sequence.load_module import load_module, silence_phones
from asrtool.sequence.numerators import Alignments
from asrtool.sequence.options import SpeechOptions, SpeechPaths
from asrtool.sequence.outer_source import dense_gradient, window_gradient
from asrtool.sequence.parameters import FlatParameters
from asrtool.tree.context_dependency import ContextDependency

NARROW = {"beam": 4.0, "lattice_beam": 1.0}


def by_hand(toy, name, criterion):
    """An utterance's result from the decoder, the network and the criterion, each called directly."""
    bundle, graph = load_model(toy.root / "model.pt"), CsrGraph.from_fst_file(toy.root / "graph" / "HCLG.fst")
    options = BeamSearchOptions(beam=13.0, lattice_beam=7.0, max_active=5000, min_active=200, acoustic_scale=0.1)
    scores = loglikes(bundle, bundle.pipeline(toy.root / "data")(name))
    lattice = BeamSearchDecoder(graph, toy.model.tid_to_pdf, options).decode_lattice(scores)
    tables = PhoneTables.from_model(toy.model, silence_phones(toy.root / "lang"))
    (outer,) = make_criterion(SequenceOptions(criterion), tables)([scores], [toy.alignments[name]], [lattice], [name])
    return outer, lattice


@pytest.mark.parametrize("criterion", ["mmi", "smbr", "mpfe", "mpe"])
def test_it_is_the_sum_of_its_parts(speech_toy, make_module, criterion):
    results = make_module(criterion).outer_gradients([(name, 0) for name in speech_toy.names[:5]])
    for result in results:
        outer, lattice = by_hand(speech_toy, result.name, criterion)
        np.testing.assert_allclose(result.outer.objective, outer.objective, rtol=1e-4, atol=1e-4)
        num_pdfs = speech_toy.model.num_pdfs
        one, other = dense_gradient(result.outer.gradient, num_pdfs), dense_gradient(outer.gradient, num_pdfs)
        np.testing.assert_allclose(one, other, atol=2e-5)
        assert np.abs(one).max() > 1e-3
        assert result.num_frames == len(speech_toy.alignments[result.name]) == outer.num_frames
        assert result.depth == pytest.approx(np.count_nonzero(lattice.arc_transition_id) / result.num_frames, rel=0.02)
        assert result.numerator_missing == (not outer.numerator_in_lattice)
        assert min(result.forward_s, result.search_s, result.criterion_s) >= 0 and result.reason == ""


def test_a_shift_is_frames_put_before_the_utterance(speech_toy):
    bundle = load_model(speech_toy.root / "model.pt")
    features = [bundle.normalise(bundle.pipeline(speech_toy.root / "data")(name)) for name in speech_toy.names[:3]]
    shifted = scaled_loglikes(bundle, features, [0, 1, 2])
    for matrix, shift, scores in zip(features, (0, 1, 2), shifted):
        padded = torch.cat([matrix[:1].repeat(shift, 1), matrix])
        (expected,) = scaled_loglikes(bundle, [padded], [0])
        assert scores.shape == (len(matrix), speech_toy.model.num_pdfs)
        np.testing.assert_allclose(scores, expected[shift:], atol=1e-5)
        assert np.array_equal(scores[3 - shift], scores[4 - shift])  # one window's frames
    raw = bundle.pipeline(speech_toy.root / "data")(speech_toy.names[0])
    np.testing.assert_allclose(shifted[0], loglikes(bundle, raw), atol=1e-5)


@pytest.mark.parametrize(("num_frames", "shift"), [(10, 0), (11, 1), (12, 2), (1, 2)])
def test_the_gradient_of_a_window_is_that_of_autograd(num_frames, shift):
    options, num_pdfs, random = InputOptions(1, 1, stride=3, label_delay=2), 4, np.random.default_rng(num_frames)
    dense = np.where(random.random((num_frames, num_pdfs)) < 0.6, random.normal(size=(num_frames, num_pdfs)), 0.0)
    dense -= dense.mean(axis=1, keepdims=True)  # the rows of outer gradients sum to 0
    frame, pdf = np.nonzero(dense)
    gradient = merge_pairs(frame, pdf.astype(np.int32), dense[frame, pdf], num_frames)
    windows = window_gradient(gradient, options, shift)
    num_windows = (num_frames + shift + 2) // 3
    logits = torch.randn(num_windows, num_pdfs, dtype=torch.float64, requires_grad=True)
    at_frames = torch.log_softmax(logits, -1).repeat_interleave(3, 0)[shift : shift + num_frames]
    (at_frames * torch.from_numpy(dense)).sum().backward()
    assert windows.num_frames == num_windows
    np.testing.assert_allclose(dense_gradient(windows, num_pdfs), logits.grad.numpy(), atol=1e-6)


def test_failures_are_told_apart_and_leave_the_others_alone(speech_toy, make_module):
    module, names = make_module("mmi"), speech_toy.names
    alone = module.outer_gradients([(names[0], 0)])[0]
    alignments = dict(speech_toy.alignments)
    del alignments[names[1]]
    alignments[names[2]] = alignments[names[2]][:-1]
    alignments[names[3]] = np.full_like(alignments[names[3]], 9999)
    module.numerators = Alignments(alignments, speech_toy.model.num_transition_ids)
    pipeline = module.pipeline

    class Broken:
        data = pipeline.data

        def __call__(self, name):
            features = pipeline(name).copy()
            if name == names[4]:
                features[7] = np.nan
            return features[:0] if name == names[5] else features

    module.pipeline = Broken()
    module.criterion = _refusing(module.criterion, names[6])
    results = module.outer_gradients([(name, 0) for name in [*names[:7], "nobody"]])
    assert [result.name for result in results] == [*names[:7], "nobody"]
    assert [result.reason for result in results] == [
        *("", "alignment", "length", "alignment", "nan", "features", "criterion", "features")
    ]
    assert results[0].outer.objective == pytest.approx(alone.outer.objective, rel=1e-5)
    assert all((result.outer is None) == bool(result.reason) == bool(result.message) for result in results)
    assert "frame 3" in results[4].message and "nobody" in results[7].message and "refused" in results[6].message
    assert f"{len(alignments[names[2]]) + 1} frames of features" in results[2].message and "9999" in results[3].message


def _refusing(criterion, bad):
    def call(scores, numerators, lattices, names):
        outers = criterion(scores, numerators, lattices, names)
        return [AsrtoolError("refused") if name == bad else outer for name, outer in zip(names, outers)]

    return call


def test_long_utterances_do_not_go_through_the_network_together(speech_toy, make_module, monkeypatch):
    module, requests = make_module("mmi"), [(name, 1) for name in speech_toy.names[:7]]
    lengths = [len(speech_toy.alignments[name]) for name, _ in requests]
    together = module.outer_gradients(requests)
    passes = []
    monkeypatch.setattr("asrtool.sequence.module.MAX_SCORES", 2 * max(lengths) * speech_toy.model.num_pdfs)
    monkeypatch.setattr(
        "asrtool.sequence.module.scaled_loglikes", lambda *args: (passes.append(len(args[1])), scaled_loglikes(*args))[1]
    )
    for one, other in zip(together, module.outer_gradients(requests)):
        assert one.outer.objective == pytest.approx(other.outer.objective, rel=1e-5) and one.name == other.name
    assert sum(passes) == 7 and 1 < len(passes) < 7
    monkeypatch.setattr("asrtool.sequence.module.MAX_SCORES", 1)
    passes.clear()
    module.outer_gradients(requests)
    assert passes == [1] * 7


def test_a_search_that_fails_and_an_empty_lattice(speech_toy, make_module):
    module, names = make_module(), speech_toy.names[:3]
    search = module.denominators

    def denominators(name, scores):
        if name == names[0]:
            return search(name, np.full_like(scores, -np.inf))
        lattice = search(name, scores)
        if name == names[1]:
            lattice.final_cost[:] = np.inf
        return lattice

    module.denominators = denominators
    results = module.outer_gradients([(name, 0) for name in names])
    assert [result.reason for result in results] == ["search", "lattice", ""]
    assert "no path survives" in results[0].message and "no path reaches its end" in results[1].message


def test_what_is_done_about_missing_numerators(speech_toy, make_module):
    requests = [(name, 0) for name in speech_toy.names]
    keep, skip, add = (
        make_module("mmi", missing_numerator=policy, **NARROW).outer_gradients(requests) for policy in ("keep", "skip", "add")
    )
    missing = [result.numerator_missing for result in keep]
    assert 0 < sum(missing) < len(missing)
    for kept, skipped, added in zip(keep, skip, add):
        assert kept.numerator_missing == skipped.numerator_missing == added.numerator_missing
        assert kept.outer.numerator_in_lattice == (not kept.numerator_missing)
        assert added.outer.numerator_in_lattice
        if kept.numerator_missing:
            assert skipped.outer is None and skipped.reason == "numerator"
            assert added.outer.objective < 1e-5 and added.outer.rejected_frames <= kept.outer.rejected_frames
            assert added.depth == pytest.approx(kept.depth + 1)
        else:
            assert skipped.outer.objective == added.outer.objective == kept.outer.objective


def test_an_added_numerator_has_its_cost_in_the_graph(speech_toy, make_module):
    module = make_module("mmi", missing_numerator="add", **NARROW)
    name = next(r.name for r in module.outer_gradients([(n, 0) for n in speech_toy.names]) if r.numerator_missing)
    scores = scaled_loglikes(module.bundle, [module.bundle.normalise(module.pipeline(name))], [0])[0]
    numerator = speech_toy.alignments[name]
    path = module.numerator_paths(numerator, scores)
    pdfs = speech_toy.model.tid_to_pdf[numerator]
    assert path.num_arcs == path.num_states - 1 and path.num_frames == len(numerator)
    tids = path.arc_transition_id[path.arc_transition_id != 0]
    assert np.array_equal(speech_toy.model.tid_to_pdf[tids], pdfs)
    expected = -scores[np.arange(len(pdfs)), pdfs].sum(dtype=np.float64)
    assert path.arc_acoustic_cost.sum(dtype=np.float64) == pytest.approx(expected, rel=1e-5)
    # the same words and transition-ids cost as much in the lattice of a search that leaves nothing out
    graph = CsrGraph.from_fst_file(speech_toy.root / "graph" / "HCLG.fst")
    assert path.arc_graph_cost.sum() + path.final_cost[-1] == pytest.approx(_cheapest(graph, speech_toy.model, pdfs), rel=1e-4)
    impossible = np.full(len(numerator), numerator[0])  # a phone's first state all along, which cannot end
    assert module.numerator_paths(impossible, scores) is None


def _cheapest(graph, model, pdfs):
    """The cost of the cheapest path with these pdfs, by going through all states in each frame."""
    source = np.repeat(np.arange(graph.num_states), np.diff(graph.arc_begin))
    cost = np.full(graph.num_states, np.inf)
    cost[graph.start] = 0.0
    arc_pdf = np.where(graph.arc_ilabel > 0, model.tid_to_pdf[graph.arc_ilabel], -1)

    def go(cost, arcs, after):
        np.minimum.at(after, graph.arc_nextstate[arcs], cost[source[arcs]] + graph.arc_cost[arcs])
        return after

    for pdf in [None, *pdfs]:
        if pdf is not None:
            cost = go(cost, arc_pdf == pdf, np.full_like(cost, np.inf))
        for _ in range(20):
            cost = go(cost, arc_pdf < 0, cost.copy())
    return (cost + graph.final_cost).min()


@pytest.mark.parametrize("seed", range(4))
def test_joined_lattices_have_the_paths_of_both(seed):
    one, other = random_lattice(seed), random_lattice(seed + 50)
    joined = join(one, other)

    def summary(lattice):
        return sorted((p.words, p.transition_ids, round(p.graph, 4), round(p.acoustic, 4)) for p in all_paths(lattice))

    assert summary(joined) == sorted(summary(one) + summary(other))
    assert (np.diff(joined.state_frame) >= 0).all() and (joined.arc_start < joined.arc_end).all()
    assert (np.diff(joined.arc_start) >= 0).all()
    assert joined.state_frame.dtype == joined.arc_start.dtype == joined.arc_end.dtype == np.int32


@pytest.mark.parametrize("seed", range(6))
def test_presence_is_looked_for_on_pdfs(seed):
    lattice, tid_to_pdf = random_lattice(seed), np.array([-1, 0, 1, 1, 2, 0], np.int32)
    paths = {tuple(tid_to_pdf[list(path.transition_ids)]) for path in all_paths(lattice)}
    random = np.random.default_rng(seed)
    tried = [np.array(path.transition_ids) for path in all_paths(lattice)[:20]]
    tried += [random.integers(1, 6, lattice.num_frames) for _ in range(30)]
    found = [has_numerator(lattice, tid_to_pdf, numerator) for numerator in tried]
    assert found == [tuple(tid_to_pdf[numerator]) in paths for numerator in tried]
    assert not has_numerator(lattice, tid_to_pdf, np.ones(lattice.num_frames + 1, int))


def test_realigning_is_viterbi_through_the_training_graph(speech_toy, make_module):
    module, names = make_module("mmi", numerator="realign", align_beam=50.0), speech_toy.names[:4]
    tree = ContextDependency.read_file(speech_toy.root / "ali" / "tree")
    compiler = TrainingGraphCompiler(speech_toy.root / "lang", tree, speech_toy.model)
    text = module.pipeline.data.text
    for name in names:
        scores = scaled_loglikes(module.bundle, [module.bundle.normalise(module.pipeline(name))], [0])[0]
        graph = add_transition_costs(compiler.compile(text[name]), speech_toy.model)
        best = align(graph, scores, speech_toy.model.tid_to_pdf, 0.1, 500.0, 0.0)
        assert np.array_equal(module.numerators(name, scores), best.transition_ids)
    text.lines[names[0]] = "bcd " * 40
    text.lines[names[1]] = "cab <eps>"
    del text.lines[names[2]]
    module.numerators._graphs.clear()
    results = module.outer_gradients([(name, 0) for name in names])
    assert [result.reason for result in results] == ["realign", "realign", "realign", ""]
    assert "no path survives" in results[0].message and "no text" in results[2].message


def test_parameters_are_copied_from_model_to_model(speech_toy, make_module):
    module, other = make_module(), load_model(speech_toy.root / "model.pt").model
    requests = [(speech_toy.names[0], 0)]
    before = module.outer_gradients(requests)[0]
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    flat = torch.zeros(module.layout.num_elements)
    module.layout.pack(other, flat)
    module.set_parameters(flat, 17)
    after = module.outer_gradients(requests)[0]
    assert (before.version, after.version) == (0, 17)
    assert after.outer.objective != before.outer.objective
    for one, two in zip(module.bundle.model.parameters(), other.parameters()):
        assert torch.equal(one, two)
    with pytest.raises(AsrtoolError, match="another architecture"):
        FlatParameters(torch.nn.Linear(3, 2)).pack(other, flat)


def test_files_and_settings_that_do_not_fit(speech_toy, tmp_path):
    smbr = SequenceOptions()
    with pytest.raises(AsrtoolError, match=r"lattices need the denominator's graph"):
        load_module(SpeechOptions(), speech_toy.paths(graph_dir=None), smbr)
    with pytest.raises(AsrtoolError, match=r'"add" needs the denominator'):
        load_module(SpeechOptions(missing_numerator="add"), speech_toy.paths(graph_dir=None, denlats_dir=tmp_path), smbr)
    with pytest.raises(AsrtoolError, match=r"silence\.csl: no such file"):
        load_module(SpeechOptions(), speech_toy.paths(lang_dir=tmp_path), smbr)
    (tmp_path / "phones").mkdir()
    (tmp_path / "phones/silence.csl").write_text("SIL:2\n")
    with pytest.raises(AsrtoolError, match="expected phone ids"):
        silence_phones(tmp_path)
    with pytest.raises(AsrtoolError, match="lfmmi needs a denominator graph"):
        load_module(SpeechOptions(), speech_toy.paths(), SequenceOptions("lfmmi"))
    for wrong in ({"beam": 0.0}, {"batch_utterances": 0}, {"queue_utterances": 3}, {"max_failed": 2.0}, {"num_processes": -1}):
        with pytest.raises(ValueError):
            SpeechOptions(**wrong)
    assert SpeechPaths("m", "d", "a", "l").graph_dir is None
