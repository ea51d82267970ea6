"""Modified Kneser-Ney against values by hand and against the definition in plain dictionaries."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from asrtool.lm.counts import count_ngrams
from asrtool.lm.kneser_ney import FALLBACK_DISCOUNTS, estimate, modified_discounts
from asrtool.lm.text import BOS, EOS, Vocabulary, encode, vocabulary_of


def train(sentences, order, vocabulary=None, min_counts=(1,)):
    vocabulary = vocabulary or vocabulary_of(sentences)
    return estimate(count_ngrams(encode(sentences, vocabulary), len(vocabulary), order), vocabulary, min_counts)


def random_text(num_sentences: int, num_words: int, seed: int) -> list[list[str]]:
    random = np.random.default_rng(seed)
    words = np.minimum(random.zipf(1.4, (num_sentences, 12)), num_words)
    return [[f"w{word}" for word in row[: random.integers(1, 12)]] for row in words]


class BruteForce:
    """The equations of Chen & Goodman over dictionaries of tuples; what is below its minimal count gives all of it to gamma."""

    def __init__(self, sentences, order, vocabulary, min_counts=(1,)):
        self.order, self.vocabulary = order, vocabulary
        self.minimum = [0, *min_counts, *[min_counts[-1]] * order]
        raw = [Counter() for _ in range(order + 1)]
        for sentence in sentences:
            words = [BOS, *sentence, EOS]
            for n in range(1, order + 1):
                raw[n].update(tuple(words[i : i + n]) for i in range(len(words) - n + 1) if i + n > 1)
        self.a = [Counter() for _ in range(order + 1)]
        self.a[order] = raw[order]
        self.raw = raw
        for n in range(1, order):
            before = defaultdict(set)
            for ngram in raw[n + 1]:
                before[ngram[1:]].add(ngram[0])
            self.a[n] = Counter({g: raw[n][g] if g[0] == BOS else len(before[g]) for g in raw[n]})
        self.a[1].pop((BOS,), None)
        self.discount = [None, *(self.discounts(self.a[n]) for n in range(1, order + 1))]

    @staticmethod
    def discounts(a):
        n1, n2, n3, n4 = (sum(1 for count in a.values() if count == k) for k in (1, 2, 3, 4))
        if min(n1, n2, n3) > 0:
            y = n1 / (n1 + 2 * n2)
            d = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
            if all(0 < value <= k for k, value in enumerate(d, 1)):
                return [0, *d]
        return [0, *FALLBACK_DISCOUNTS]

    def prob(self, word, history):
        history = tuple(history)[-(self.order - 1) :] if self.order > 1 else ()
        return self._prob(word, history)

    def _prob(self, word, history):
        n = len(history) + 1
        d = self.discount[n]
        lower = 1 / (len(self.vocabulary) - 1) if n == 1 else self._prob(word, history[1:])
        continuations = {g: count for g, count in self.a[n].items() if g[:-1] == history}
        total = sum(continuations.values())
        if total == 0:
            return lower
        taken = {g: d[min(c, 3)] if self.raw[n][g] >= self.minimum[n] or n == 1 else c for g, c in continuations.items()}
        ngram = (*history, word)
        return (continuations.get(ngram, 0) - taken.get(ngram, 0)) / total + sum(taken.values()) / total * lower


def prob(model, word, history):
    ids = model.vocabulary.ids
    tokens = np.array([ids.get(symbol, -1) for symbol in (*history, word)])
    return 10.0 ** model.log10_probs(tokens)[0][-1]


def test_by_hand():
    model, discounts = train([["a", "b"], ["a", "c"]], order=2)
    assert [is_fallback for _, is_fallback in discounts] == [True, True]
    assert model.num_ngrams() == [5, 5]
    # 5 continuations; discounts 0.5 (of a, b, c) and 1 (of </s>, after b and c): 2.5 / 5 spread over 4 words
    for word, expected in (("a", 0.225), ("b", 0.225), ("c", 0.225), ("</s>", 0.325)):
        assert prob(model, word, ["b", "b"]) == pytest.approx(0.5 * expected + (0.5 if word == "</s>" else 0.0))
        assert 10.0 ** model.log10_prob[0][model.vocabulary.ids[word]] == pytest.approx(expected)
    assert prob(model, "a", [BOS]) == pytest.approx(1 / 2 + 0.5 * 0.225)
    assert prob(model, "b", [BOS, "a"]) == pytest.approx(0.5 / 2 + 0.5 * 0.225)
    assert prob(model, "a", [BOS, "a"]) == pytest.approx(0.5 * 0.225)
    assert model.log10_prob[0][model.vocabulary.ids[BOS]] == -99


def test_discounts_by_hand():
    values, is_fallback = modified_discounts(np.array([0, 1, 1, 1, 1, 1, 2, 2, 3, 4, 9]))
    np.testing.assert_allclose(values, [5 / 9, 7 / 6, 7 / 9])
    assert not is_fallback
    values, is_fallback = modified_discounts(np.array([1, 1, 2, 3, 3, 3, 3, 3]))  # D2 would be negative
    np.testing.assert_array_equal(values, FALLBACK_DISCOUNTS)
    assert is_fallback


CASES = [(1, (1,)), (2, (1,)), (3, (1,)), (5, (1,)), (2, (1, 2)), (3, (1, 1, 2)), (4, (1, 2, 2, 3)), (5, (1, 2))]


@pytest.mark.parametrize(("order", "min_counts"), CASES)
def test_against_the_definition(order, min_counts):
    sentences = random_text(60, 12, seed=order)
    model, _ = train(sentences, order, min_counts=min_counts)
    brute = BruteForce(sentences, order, model.vocabulary, min_counts)
    kept = [sum(brute.raw[n][g] >= brute.minimum[n] for g in brute.raw[n]) for n in range(2, order + 1)]
    assert model.num_ngrams()[1:] == kept
    random = np.random.default_rng(1)
    words = model.vocabulary.words[1:]
    seen = [[BOS, *sentence, EOS] for sentence in sentences[:20]]
    for sentence in seen:
        for i in range(1, len(sentence)):
            history = sentence[max(0, i - order + 1) : i]
            assert prob(model, sentence[i], history) == pytest.approx(brute.prob(sentence[i], history), rel=1e-12)
            word = words[random.integers(len(words))]
            assert prob(model, word, history) == pytest.approx(brute.prob(word, history), rel=1e-12)


@pytest.mark.parametrize(
    ("unknown_word", "vocabulary"),
    [(None, None), ("<unk>", None), (None, ["w1", "w3", "w99", "w5"]), ("<unk>", ["w1", "w3", "w99"])],
)
@pytest.mark.parametrize(("order", "min_counts"), [(1, (1,)), (3, (1,)), (5, (1,)), (4, (1, 1, 2)), (3, (1, 3, 4))])
def test_probabilities_sum_to_one(order, min_counts, unknown_word, vocabulary):
    """Open and closed vocabularies, also where words of the text are left out and words of the list unseen."""
    sentences = random_text(80, 10, seed=7)
    words = Vocabulary(vocabulary, unknown_word) if vocabulary else vocabulary_of(sentences, unknown_word)
    model, _ = train(sentences, order, words, min_counts)
    random = np.random.default_rng(2)
    histories = [[BOS], *([BOS, *sentence[:4]] for sentence in sentences[:15])]
    histories += [list(random.choice(words.words[2:], size=4)) for _ in range(15)]
    for history in histories:
        assert sum(prob(model, word, history) for word in words.words if word != BOS) == pytest.approx(1.0, abs=1e-9)


def test_counts_do_not_cross_sentences_or_unknown_words():
    vocabulary = Vocabulary(["a", "b"])
    counts = count_ngrams(encode([["a", "b"], ["b", "x", "a"]], vocabulary), len(vocabulary), 2)
    words = vocabulary.words
    bigrams = {(words[key // len(words)], words[key % len(words)]): n for key, n in zip(counts.keys[1], counts.counts[1])}
    assert bigrams == {(BOS, "a"): 1, ("a", "b"): 1, ("b", EOS): 1, (BOS, "b"): 1, ("a", EOS): 1}
    assert dict(zip(words, counts.counts[0])) == {BOS: 0, EOS: 2, "a": 2, "b": 2}
    assert [words[index] for index in counts.suffix[1]] == [words[key % len(words)] for key in counts.keys[1]]
