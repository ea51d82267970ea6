"""Interpolated models against the interpolation of each probability, and EM weights against a search."""

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.counts import count_ngrams
from asrtool.lm.entropy_pruning import prune
from asrtool.lm.interpolation import em_weights, interpolate, token_probs, united_vocabulary
from asrtool.lm.katz import estimate_katz
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.perplexity import perplexity
from asrtool.lm.text import BOS, encode, vocabulary_of


def random_text(num_sentences: int, num_words: int, seed: int, first: int = 0) -> list[list[str]]:
    random = np.random.default_rng(seed)
    words = np.minimum(random.zipf(1.4, (num_sentences, 12)), num_words)
    return [[f"w{first + word}" for word in row[: random.integers(1, 12)]] for row in words]


def train(sentences, order, smoothing=estimate, unknown_word=None):
    vocabulary = vocabulary_of(sentences, unknown_word)
    return smoothing(count_ngrams(encode(sentences, vocabulary), len(vocabulary), order), vocabulary)[0]


def prob(model, words):
    """Of the last of the words after the others; 0 for a word that the model lacks."""
    tokens = np.array([model.vocabulary.ids.get(word, -1) for word in words])
    log10_prob, order = model.log10_probs(tokens)
    return 10.0 ** log10_prob[-1] if order[-1] else 0.0


@pytest.fixture(scope="module", params=["same words", "other words", "pruned", "unknown word"])
def models(request):
    unknown = "<unk>" if request.param == "unknown word" else None
    first = train(random_text(120, 10, 1), 3, unknown_word=unknown)
    second = train(random_text(60, 12, 2, 0 if request.param == "same words" else 5), 4, estimate_katz)
    third = train(random_text(40, 8, 3), 2, unknown_word=unknown)
    if request.param == "pruned":
        first, second = prune(first, 1e-3), prune(second, 2e-3)
    return [first, second, third]


def test_ngrams_have_the_interpolated_probability(models):
    weights = [0.5, 0.2, 0.3]
    mixed = interpolate(models, weights)
    names = mixed.vocabulary.words
    unions = [set() for _ in range(mixed.order)]
    for model in models:
        for n in range(1, model.order + 1):
            unions[n - 1] |= {tuple(model.vocabulary.words[number] for number in ids) for ids in model.ngram_words(n).tolist()}
    for n in range(1, mixed.order + 1):
        ngrams = [tuple(names[number] for number in ids) for ids in mixed.ngram_words(n).tolist()]
        assert set(ngrams) == unions[n - 1] and len(ngrams) == len(unions[n - 1])
        for index, ngram in enumerate(ngrams):
            if ngram != (BOS,) and index % 4 == 0:
                expected = sum(weight * prob(model, ngram) for weight, model in zip(weights, models))
                assert 10.0 ** mixed.log10_prob[n - 1][index] == pytest.approx(expected, rel=1e-9)


def test_sums_are_one(models):
    mixed = interpolate(models, [0.5, 0.2, 0.3])
    words = [word for word in mixed.vocabulary.words if word != BOS]
    histories = [(), (BOS,), (BOS, "w1"), ("w1", "w2"), ("w6", "w1", "w6"), ("w3", "w1", "w1"), ("w10",)]
    for history in histories:
        assert sum(prob(mixed, (*history, word)) for word in words) == pytest.approx(1.0, abs=1e-9)


def test_weights_of_zero_and_one_give_the_model_itself():
    models = [train(random_text(120, 10, 1), 3), train(random_text(60, 10, 2), 2)]
    mixed = interpolate(models, [1.0, 0.0])
    text = random_text(20, 10, 5)
    assert perplexity(mixed, text).log10_prob == pytest.approx(perplexity(models[0], text).log10_prob, rel=1e-9)


def test_em_finds_the_best_weights(models):
    united = united_vocabulary(models)
    text = random_text(50, 12, 9)
    probs = token_probs(models, united, encode(text, united))
    tokens = sum(map(len, text)) + len(text)
    known = sum(word in united.ids for sentence in text for word in sentence) + len(text)
    assert known <= probs.shape[1] <= tokens
    found = em_weights(probs)
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.ppl == pytest.approx(np.exp(-np.log(found.weights @ probs).mean()))
    grid = np.linspace(0, 1, 41)
    best = min(
        np.exp(-np.log(np.maximum(np.array([a, b, 1 - a - b]) @ probs, 1e-300)).mean())
        for a in grid
        for b in grid
        if a + b <= 1.0
    )
    assert found.ppl <= best * (1 + 1e-9)


def test_text_of_a_model_draws_its_weight():
    texts = [random_text(300, 30, seed, first) for seed, first in ((1, 0), (2, 10))]
    models = [train(text, 2) for text in texts]
    united = united_vocabulary(models)
    for own in (0, 1):
        dev = random_text(60, 30, 5, 10 * own)
        weights = em_weights(token_probs(models, united, encode(dev, united))).weights
        assert weights[own] > 0.8
        mixed, alone = perplexity(interpolate(models, weights), dev), perplexity(models[own], dev)
        assert mixed.ppl < alone.ppl * (1 + 1e-6) or alone.num_oovs > mixed.num_oovs


def test_verb(tmp_path, capsys):
    paths = []
    for number, (order, first) in enumerate(((3, 0), (2, 4))):
        paths.append(str(tmp_path / f"{number}.arpa.gz"))
        write_arpa(paths[-1], train(random_text(200, 12, number, first), order))
    (tmp_path / "dev").write_text("".join(f"utt{n} {' '.join(s)}\n" for n, s in enumerate(random_text(40, 12, 7))))
    out = str(tmp_path / "mixed.arpa.gz")
    assert main(["interpolate-lm", "--dev-text", str(tmp_path / "dev"), "--utterance-ids", "true", *paths, out]) == 0
    error = capsys.readouterr().err
    weights = [float(item.rsplit("=", 1)[1]) for item in error.split("weights: ")[1].split("\n")[0].split()]
    assert sum(weights) == pytest.approx(1.0, abs=2e-6) and weights[0] > 0.7
    assert read_arpa(out).order == 3
    assert main(["interpolate-lm", "--weights", "0.25 0.75", *paths, out]) == 0
    mixed, models = read_arpa(out), [read_arpa(path) for path in paths]
    expected = 0.25 * prob(models[0], (BOS, "w1")) + 0.75 * prob(models[1], (BOS, "w1"))
    assert prob(mixed, (BOS, "w1")) == pytest.approx(expected, rel=1e-5)
    for options, message in (
        (["--weights", "0.5 0.6", *paths], "--weights '0.5 0.6': expected 2 from 0 with the sum 1"),
        (["--weights", "1", *paths], "expected 2 from 0 with the sum 1"),
        (["--weights", "1", paths[0]], "a single model"),
        (paths, "give either --weights or --dev-text"),
    ):
        assert main(["interpolate-lm", *options, str(tmp_path / "other.arpa")]) == 1
        assert message in capsys.readouterr().err and not (tmp_path / "other.arpa").exists()
