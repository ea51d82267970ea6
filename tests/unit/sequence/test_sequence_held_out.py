"""Held-out objective and word errors: parts add up, and are those of the tools that do the same from files."""

import numpy as np
import pytest
import torch

from asrtool.criterion.sequence import SequenceOptions
from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable
from asrtool.nnet.forward import loglikes
from asrtool.nnet.model_file import load_model
from asrtool.score.edit_distance import ErrorCounts, count_errors
from asrtool.sequence.held_out import DevDecoding, DevOptions, HeldOut, SequenceSums, WordErrors
from asrtool.sequence.options import SpeechOptions


@pytest.fixture
def model(speech_toy):
    return load_model(speech_toy.root / "model.pt").model


def test_the_objective_of_parts_adds_up_to_that_of_all(speech_toy, make_module, model):
    held_out = HeldOut.load(SpeechOptions(), speech_toy.paths(), SequenceOptions("mmi"))
    whole = held_out(model)
    parts = [held_out(model, index, 3) for index in range(3)]
    assert whole.utterances == len(speech_toy.names) and whole.failed == 0
    np.testing.assert_allclose(np.sum([part.values() for part in parts], axis=0), whole.values(), rtol=1e-4)
    assert SequenceSums(*whole.values()) == whole
    results = make_module("mmi").outer_gradients([(name, 0) for name in speech_toy.names])
    assert whole.objective == pytest.approx(sum(result.outer.objective for result in results), rel=1e-4)
    assert whole.missing_numerator == sum(result.numerator_missing for result in results)
    assert 0 < whole.silence_frames < whole.frames == sum(map(len, speech_toy.alignments.values()))
    held_out.close()


def test_it_is_the_model_given_that_is_evaluated(speech_toy, make_module, model, capsys):
    held_out = HeldOut(make_module(), speech_toy.names[:4])
    before = held_out(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    after = held_out(model)
    assert after.objective != before.objective and after.frames == before.frames
    with torch.no_grad():
        next(model.parameters()).fill_(np.nan)
    for _ in range(2):
        broken = held_out(model)
        assert broken.failed == 4 and broken.utterances == broken.frames == broken.objective == 0
    assert capsys.readouterr().err.count("held out, but not evaluated: at frame 0") == 4


def test_utterances_without_an_alignment_are_not_asked_for(speech_toy, make_module):
    module = make_module()
    module.numerators.alignments = {name: speech_toy.alignments[name] for name in speech_toy.names[:3]}
    assert sorted(HeldOut(module).names) == speech_toy.names[:3]
    module.numerators.alignments = {}
    with pytest.raises(AsrtoolError, match="no utterance with features and an alignment"):
        HeldOut(module)


def dev(toy, **options):
    return DevDecoding(toy.root / "graph", toy.root / "data", toy.root / "model.pt", toy.root / "ali", DevOptions(**options))


def test_word_errors_are_those_of_the_decoder(speech_toy, model):
    decoding = dev(speech_toy, lm_weight=8.0, word_insertion_penalty=0.5)
    whole = decoding(model)
    assert WordErrors(*whole.values()) == whole and whole.failed == 0 and whole.utterances == len(speech_toy.names)
    np.testing.assert_allclose(np.sum([decoding(model, index, 3).values() for index in range(3)], axis=0), whole.values())
    bundle = load_model(speech_toy.root / "model.pt")
    graph, words = (
        CsrGraph.from_fst_file(speech_toy.root / "graph" / "HCLG.fst"),
        SymbolTable.read(speech_toy.root / "lang/words.txt"),
    )
    options = BeamSearchOptions(beam=13.0, max_active=5000, acoustic_scale=1 / 8, word_insertion_penalty=0.5)
    decoder, pipeline = BeamSearchDecoder(graph, speech_toy.model.tid_to_pdf, options), bundle.pipeline(speech_toy.root / "data")
    total = ErrorCounts()
    for name, reference in pipeline.data.text.items():
        found = decoder.decode(loglikes(bundle, pipeline(name))).words
        total += count_errors(reference, [words.symbol(word) for word in found])
    assert (whole.insertions, whole.deletions, whole.substitutions) == (total.insertions, total.deletions, total.substitutions)
    assert whole.words == total.total and 100 * whole.rate == pytest.approx(total.rate)
    assert 0 < total.errors < total.total


def test_characters_and_words_to_be_ignored(speech_toy, model):
    words, characters = dev(speech_toy)(model), dev(speech_toy, metric="cer")(model)
    assert characters.words == words.words  # Latin words count as one
    fewer = dev(speech_toy, ignored=["dad"])(model)
    text = load_model(speech_toy.root / "model.pt").pipeline(speech_toy.root / "data").data.text
    assert fewer.words == sum(word != "dad" for row in text.values() for word in row) < words.words
    for wrong in ({"lm_weight": 0.0}, {"metric": "per"}, {"beam": -1.0}):
        with pytest.raises(ValueError):
            DevOptions(**wrong)


def test_utterances_that_cannot_be_decoded_lose_all_their_words(speech_toy, model, capsys):
    decoding = dev(speech_toy)
    with torch.no_grad():
        next(model.parameters()).fill_(np.nan)
    errors = decoding(model)
    assert errors.failed == errors.utterances == len(speech_toy.names)
    assert errors.deletions == errors.words > 0 and errors.rate == 1.0
    decoding(model)
    assert capsys.readouterr().err.count("held out, but not decoded: NaN") == len(speech_toy.names)
