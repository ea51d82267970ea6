"""Entropy pruning against the relative entropy summed over all words, and what it does to models of text."""

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.lm.arpa import read_arpa
from asrtool.lm.back_off import renormalise, select, suffix_indices
from asrtool.lm.counts import count_ngrams
from asrtool.lm.entropy_pruning import entropy_changes, log10_history_probs, prune
from asrtool.lm.katz import estimate_katz
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.perplexity import perplexity
from asrtool.lm.text import BOS, encode, vocabulary_of


def random_text(num_sentences: int, num_words: int, seed: int) -> list[list[str]]:
    random = np.random.default_rng(seed)
    words = np.minimum(random.zipf(1.4, (num_sentences, 12)), num_words)
    return [[f"w{word}" for word in row[: random.integers(1, 12)]] for row in words]


def train(sentences, order, smoothing=estimate, min_counts=(1,)):
    vocabulary = vocabulary_of(sentences)
    return smoothing(count_ngrams(encode(sentences, vocabulary), len(vocabulary), order), vocabulary, min_counts)[0]


class Dictionary:
    """A back-off model over tuples of words, evaluated as its definition says."""

    def __init__(self, model):
        self.words = [word for word in model.vocabulary.words if word != BOS]
        names = model.vocabulary.words
        self.prob, self.weight = {}, {}
        for n in range(1, model.order + 1):
            for index, ids in enumerate(model.ngram_words(n).tolist()):
                ngram = tuple(names[number] for number in ids)
                self.prob[ngram] = 10.0 ** model.log10_prob[n - 1][index]
                if n < model.order:
                    self.weight[ngram] = 10.0 ** model.log10_backoff[n - 1][index]

    def p(self, word, history):
        if (*history, word) in self.prob:
            return self.prob[(*history, word)]
        return self.weight.get(history, 1.0) * self.p(word, history[1:])

    def history_prob(self, history):
        result = 1.0
        for i, word in enumerate(history):
            result *= 1.0 if word == BOS else self.p(word, history[:i])
        return result

    def without(self, ngram):
        """A copy without an n-gram, the weight of its history made anew."""
        copy = object.__new__(Dictionary)
        copy.words = self.words
        copy.prob = {key: value for key, value in self.prob.items() if key != ngram}
        history = ngram[:-1]
        seen = [key[-1] for key in copy.prob if key[:-1] == history]
        left = 1.0 - sum(copy.prob[(*history, word)] for word in seen)
        copy.weight = {**self.weight, history: left / (1.0 - sum(self.p(word, history[1:]) for word in seen))}
        return copy


@pytest.mark.parametrize("smoothing", [estimate, estimate_katz])
def test_change_is_the_relative_entropy(smoothing):
    """D(p || p') summed over every word after the history, and all other histories unchanged."""
    model = train(random_text(60, 9, seed=4), 3, smoothing)
    dictionary = Dictionary(model)
    suffixes, histories = suffix_indices(model), log10_history_probs(model)
    names = model.vocabulary.words
    prefixes = {key[:-1] for key in dictionary.prob}
    checked = 0
    for n in (2, 3):
        changes = entropy_changes(model, n, suffixes[n - 2], histories[n - 2])
        for index in range(0, len(changes), 7):
            ngram = tuple(names[number] for number in model.ngram_words(n)[index])
            history = ngram[:-1]
            if ngram in prefixes:
                continue  # the sum over histories would have to count its continuations as well
            without = dictionary.without(ngram)
            old = np.array([dictionary.p(word, history) for word in dictionary.words])
            new = np.array([without.p(word, history) for word in dictionary.words])
            assert new.sum() == pytest.approx(1.0)
            expected = dictionary.history_prob(history) * (old * np.log(old / new)).sum()
            assert changes[index] == pytest.approx(expected, rel=1e-6, abs=1e-13)
            checked += 1
    assert checked > 20


@pytest.mark.parametrize("smoothing", [estimate, estimate_katz])
def test_what_goes_and_what_stays(smoothing):
    model = train(random_text(200, 15, seed=5), 4, smoothing)
    threshold = 2e-4
    pruned = prune(model, threshold)
    before, after = Dictionary(model), Dictionary(pruned)
    suffixes, histories = suffix_indices(model), log10_history_probs(model)
    names = model.vocabulary.words
    prefixes = {ngram[:-1] for ngram in after.prob}
    for n in (2, 3, 4):
        growth = np.expm1(entropy_changes(model, n, suffixes[n - 2], histories[n - 2]))
        for ids, value in zip(model.ngram_words(n).tolist(), growth):
            ngram = tuple(names[number] for number in ids)
            assert (ngram in after.prob) == (value >= threshold or ngram in prefixes)
    assert 0 < len(after.prob) < 0.7 * len(before.prob)
    assert all(before.prob[ngram] == value for ngram, value in after.prob.items())
    for history in [(), (BOS,), *list(after.weight)[:60], ("w1", "w2", "w1")]:
        assert sum(after.p(word, history) for word in after.words) == pytest.approx(1.0, abs=1e-9)


def test_thresholds_and_orders():
    model = train(random_text(200, 15, seed=6), 3)
    assert prune(model, 0.0).num_ngrams() == model.num_ngrams()
    sizes = [sum(prune(model, threshold).num_ngrams()) for threshold in (1e-6, 1e-5, 1e-4, 1e-3)]
    assert sorted(sizes, reverse=True) == sizes and sizes[-1] < sizes[0]
    assert prune(model, 10.0).order == 1
    assert prune(model, 10.0, min_order=3).num_ngrams() == model.num_ngrams()[:2]
    again = prune(model, 0.0)
    for n in range(3):  # weights made anew are those of before
        np.testing.assert_allclose(again.log10_prob[n], model.log10_prob[n])
    for n in range(2):
        used = again.log10_backoff[n] != 0.0  # not where all words follow, or none
        assert used.sum() > 10
        np.testing.assert_allclose(again.log10_backoff[n][used], model.log10_backoff[n][used], atol=1e-9)


def test_better_than_cut_offs_of_equal_size():
    """Models of a random trigram source; the one by Kneser-Ney needs the other's probabilities of histories for it."""
    random = np.random.default_rng(7)
    table = 0.7 * random.dirichlet(np.full(60, 0.05), size=(60, 60)) + 0.3 * random.dirichlet(np.full(60, 0.3), size=60)
    sums = table.cumsum(axis=2)

    def text(number):
        sentences = []
        for _ in range(number):
            words = [0, 0]
            while len(words) < 14:
                words.append(int(np.searchsorted(sums[words[-2], words[-1]], random.random() * sums[words[-2], words[-1], -1])))
            sentences.append([f"w{word}" for word in words[2:]])
        return sentences

    train_text, held_out = text(4000), text(300)
    katz = train(train_text, 3, estimate_katz)
    for smoothing in (estimate_katz, estimate):
        model, cut = train(train_text, 3, smoothing), train(train_text, 3, smoothing, min_counts=(1, 1, 2))
        low, high = 1e-7, 1e-3
        for _ in range(9):
            middle = np.sqrt(low * high)
            is_larger = sum(prune(model, middle, history_model=katz).num_ngrams()) > sum(cut.num_ngrams())
            low, high = (middle, high) if is_larger else (low, middle)
        pruned = prune(model, high, history_model=katz)
        assert sum(pruned.num_ngrams()) <= sum(cut.num_ngrams()) < sum(model.num_ngrams())
        assert perplexity(pruned, held_out).ppl < perplexity(cut, held_out).ppl


def test_histories_of_another_model():
    sentences = random_text(200, 15, seed=8)
    model, katz = train(sentences, 3), train(sentences, 3, estimate_katz)
    histories = log10_history_probs(model, katz)
    reference = Dictionary(katz)
    for n in (1, 2):
        for index in range(0, len(histories[n - 1]), 7):
            history = tuple(model.vocabulary.words[number] for number in model.ngram_words(n)[index])
            assert 10.0 ** histories[n - 1][index] == pytest.approx(reference.history_prob(history))
    assert prune(model, 1e-4, history_model=katz).num_ngrams() != prune(model, 1e-4).num_ngrams()


def test_select_and_renormalise_when_shorter_ngrams_are_missing():
    """A trigram may lose its last two words as a bigram."""
    model = train(random_text(150, 10, seed=9), 3)
    random = np.random.default_rng(0)
    keep = [random.random(number) < 0.7 for number in model.num_ngrams()[1:]]
    prefix, _ = model.prefix_and_word(3)
    keep[1] &= keep[0][prefix]
    part = select(model, keep)
    assert (suffix_indices(part)[1] < 0).sum() > 5
    renormalise(part)
    dictionary = Dictionary(part)
    for history in list(dictionary.weight):
        assert sum(dictionary.p(word, history) for word in dictionary.words) == pytest.approx(1.0, abs=1e-9)


def test_verb(tmp_path, capsys):
    (tmp_path / "text").write_text("\n".join(map(" ".join, random_text(200, 15, seed=6))))
    lm, katz, pruned = (str(tmp_path / name) for name in ("lm.arpa.gz", "katz.arpa", "pruned.arpa.gz"))
    assert main(["train-lm", str(tmp_path / "text"), lm]) == 0
    assert main(["train-lm", "--smoothing", "katz", str(tmp_path / "text"), katz]) == 0
    assert main(["prune-lm", "--threshold", "1e-4", "--history-lm", katz, lm, pruned]) == 0
    assert "pruned.arpa.gz: kept ngram1=17/17 ngram2=" in capsys.readouterr().err
    assert sum(read_arpa(pruned).num_ngrams()) < sum(read_arpa(lm).num_ngrams())
    for option, value, message in (
        ("--threshold", "-1", "--threshold -1.0: expected a number from 0"),
        ("--min-order", "1", "--min-order 1: expected 2 or more"),
    ):
        arguments = ["prune-lm", "--threshold", "1e-4", option, value, lm, str(tmp_path / "other")]
        assert main(arguments) == 1
        assert message in capsys.readouterr().err and not (tmp_path / "other").exists()
