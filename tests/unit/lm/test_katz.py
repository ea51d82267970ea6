"""Katz's smoothing against values by hand and against the definition in plain dictionaries."""

from collections import Counter

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.lm.arpa import read_arpa
from asrtool.lm.counts import count_ngrams
from asrtool.lm.katz import estimate_katz, good_turing_discounts
from asrtool.lm.text import BOS, EOS, Vocabulary, encode, vocabulary_of


def random_text(num_sentences: int, num_words: int, seed: int) -> list[list[str]]:
    random = np.random.default_rng(seed)
    words = np.minimum(random.zipf(1.3, (num_sentences, 12)), num_words)
    return [[f"w{word}" for word in row[: random.integers(1, 12)]] for row in words]


def train(sentences, order, vocabulary=None, **settings):
    vocabulary = vocabulary or vocabulary_of(sentences)
    return estimate_katz(count_ngrams(encode(sentences, vocabulary), len(vocabulary), order), vocabulary, **settings)


def prob(model, word, history):
    tokens = np.array([model.vocabulary.ids.get(symbol, -1) for symbol in (*history, word)])
    return 10.0 ** model.log10_probs(tokens)[0][-1]


class BruteForce:
    """Equations of Katz (1987) over dictionaries, with SRILM's treatment of what they leave open."""

    def __init__(self, sentences, order, vocabulary, min_counts, gt_max):
        self.order = order
        self.words = [word for word in vocabulary.words if word != BOS]
        self.minimum = [0, *min_counts, *[min_counts[-1]] * order]
        greatest = [0, *gt_max, *[gt_max[-1]] * order]
        self.raw = [Counter() for _ in range(order + 1)]
        for sentence in sentences:
            ids = [word if word in vocabulary.ids else vocabulary.unknown_id for word in (BOS, *sentence, EOS)]
            for n in range(1, order + 1):
                ngrams = (tuple(ids[i : i + n]) for i in range(len(ids) - n + 1) if i + n > 1)
                self.raw[n].update(ngram for ngram in ngrams if -1 not in ngram)
        self.factor = [None, *(self.factors(self.raw[n], greatest[n]) for n in range(1, order + 1))]

    @staticmethod
    def factors(counts, k):
        n = Counter(counts.values())
        while k > 0 and n[k + 1] == 0:
            k -= 1
        result = {}
        if k and n[1]:
            a = (k + 1) * n[k + 1] / n[1]
            for r in range(1, k + 1):
                plain = (r + 1) * n[r + 1] / n[r] / r if n[r] else np.inf
                value = (plain - a) / (1 - a)
                result[r] = value if plain <= 1 and 1e-9 < value <= 1 else 1.0
        return lambda r: result.get(r, 1.0)

    def explicit(self, history):
        """Probabilities of the words seen after a history, as often as the minimum."""
        n = len(history) + 1
        seen = {g[-1]: c for g, c in self.raw[n].items() if g[:-1] == history}
        total = sum(seen.values())
        mass = {word: self.factor[n](c) * c for word, c in seen.items() if n == 1 or c >= self.minimum[n]}
        if abs(sum(mass.values()) - total) < 1e-9 * total and len(mass) < len(self.words):
            total += 1
        return {word: value / total for word, value in mass.items()}

    def prob(self, word, history):
        explicit = self.explicit(history)
        left = 1 - sum(explicit.values())
        if not history:
            unseen = [v for v in self.words if v not in explicit]
            share = unseen or self.words
            return explicit.get(word, 0.0) + (left / len(share) if word in share else 0.0)
        if not explicit:
            return self.prob(word, history[1:])
        if len(explicit) == len(self.words):
            return explicit[word] / (1 - left)
        if word in explicit:
            return explicit[word]
        return left / (1 - sum(self.prob(v, history[1:]) for v in explicit)) * self.prob(word, history[1:])


def test_factors_by_hand():
    """Katz (1987), equations 8 to 13, with n_1 = 10, n_2 = 4, n_3 = 2 and K = 2: A = 3 * 2 / 10."""
    counts = np.repeat([1, 2, 3, 8], [10, 4, 2, 1])
    factors, unfit = good_turing_discounts(counts, 2)
    np.testing.assert_allclose(factors, [1, (0.8 - 0.6) / 0.4, (0.75 - 0.6) / 0.4, 1])
    assert unfit == []
    factors, unfit = good_turing_discounts(counts, 7)  # A = 8 / 10 = 1* / 1: no share would be left of a count of 1
    assert factors[1] == 1.0 and 1 in unfit
    factors, unfit = good_turing_discounts(np.repeat([1, 2], [2, 5]), 1)
    np.testing.assert_allclose(factors, [1, 1, 1])
    assert unfit == [1]
    np.testing.assert_allclose(good_turing_discounts(np.array([2, 3]), 7)[0], [1, 1])


def test_mass_is_conserved_as_good_and_turing_say():
    """The counts discounted away sum to n_1, the share of what was never seen."""
    counts = np.repeat([1, 2, 3, 4, 5, 6, 7, 8, 20], [400, 120, 60, 35, 24, 17, 12, 9, 5])
    factors, unfit = good_turing_discounts(counts, 7)
    assert unfit == [] and ((1.0 - factors[np.minimum(counts, 8)]) * counts).sum() == pytest.approx(400)


@pytest.mark.parametrize(
    ("order", "min_counts", "gt_max"),
    [(1, (1,), (7,)), (2, (1,), (1, 7)), (3, (1,), (1, 7)), (3, (1, 1, 2), (1, 7)), (4, (1, 2), (0, 4)), (3, (1,), (0,))],
)
def test_against_the_definition(order, min_counts, gt_max):
    sentences = random_text(300, 20, seed=order)
    model, _ = train(sentences, order, min_counts=min_counts, gt_max=gt_max)
    brute = BruteForce(sentences, order, model.vocabulary, min_counts, gt_max)
    random = np.random.default_rng(1)
    for sentence in sentences[:12]:
        words = [BOS, *sentence, EOS]
        for i in range(1, len(words)):
            history = tuple(words[max(0, i - order + 1) : i])
            for word in (words[i], random.choice(brute.words)):
                assert prob(model, word, history) == pytest.approx(brute.prob(word, history), rel=1e-9)


@pytest.mark.parametrize("vocabulary", [None, Vocabulary(["w1", "w3", "w99"], "<unk>"), Vocabulary(["w1", "w2", "w99"])])
@pytest.mark.parametrize(("order", "min_counts"), [(1, (1,)), (3, (1,)), (4, (1, 1, 2)), (3, (1, 2))])
def test_probabilities_sum_to_one(order, min_counts, vocabulary):
    sentences = random_text(400, 6, seed=9)  # so few words that some histories were followed by all of them
    model, _ = train(sentences, order, vocabulary, min_counts=min_counts)
    words = [word for word in model.vocabulary.words if word != BOS]
    histories = [[BOS], *([BOS, *sentence[:3]] for sentence in sentences[:15]), *([word] for word in words if word != EOS)]
    for history in histories:
        assert sum(prob(model, word, history) for word in words) == pytest.approx(1.0, abs=1e-9)


def test_verb(tmp_path, capsys):
    (tmp_path / "text").write_text("\n".join(map(" ".join, random_text(300, 30, seed=2))))
    arguments = ["train-lm", "--smoothing", "katz", "--min-counts", "1 1 2", "--gt-max", "1 5"]
    assert main([*arguments, str(tmp_path / "text"), str(tmp_path / "lm.arpa.gz")]) == 0
    error = capsys.readouterr().err
    assert "order 2: factors 0." in error
    model, _ = train(random_text(300, 30, seed=2), 3, min_counts=(1, 1, 2), gt_max=(1, 5))
    read = read_arpa(tmp_path / "lm.arpa.gz")
    for ours, theirs in zip((*model.log10_prob, *model.log10_backoff), (*read.log10_prob, *read.log10_backoff)):
        np.testing.assert_allclose(ours, theirs, atol=5e-7 * 100)


BAD = [
    (["--min-counts", "1 2 1"], "--min-counts '1 2 1': expected numbers from 1 that do not fall"),
    (["--min-counts", "0 1"], "--min-counts '0 1': expected numbers from 1"),
    (["--min-counts", "2"], "the first must be 1; give the words that the model is to have by --vocab"),
    (["--min-counts", "1 1 1 1"], "more than 3 numbers"),
    (["--min-counts", "1 1 9"], "no 3-gram occurs 9 times; lower it or use --order 2"),
    (["--nj", "0"], "--nj 0: expected 1 or more"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
@pytest.mark.parametrize("smoothing", ["katz", "kneser-ney"])
def test_bad_options(tmp_path, options, message, smoothing, capsys):
    (tmp_path / "text").write_text("a b c\nb c a b\n")
    arguments = ["train-lm", "--smoothing", smoothing, *options, str(tmp_path / "text"), str(tmp_path / "lm.arpa")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and [path.name for path in tmp_path.iterdir()] == ["text"]
