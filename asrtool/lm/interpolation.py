"""Linear interpolation of models, with weights that fit a text best (EM), merged into one back-off model.

The merged model holds every n-gram that one of the models holds, with the interpolated probability, and back-off weights with
which all sums are one (as SRILM's ngram -mix-lm). A word that a model does not have it gives no probability, also if it has an
unknown word: that stands for words outside all models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lm.back_off import isolated_log10_probs, next_suffix, renormalise
from asrtool.lm.model import NgramModel
from asrtool.lm.text import BOS, EOS, Corpus, Vocabulary


def united_vocabulary(models: Sequence[NgramModel]) -> Vocabulary:
    """The words of all models in the C locale's order; the unknown word is that of the first model that has one."""
    words = set().union(*(model.vocabulary.words for model in models)) - {BOS, EOS}
    unknown = [model.vocabulary.words[model.vocabulary.unknown_id] for model in models if model.vocabulary.unknown_id >= 0]
    if len(set(unknown)) > 1:
        raise AsrtoolError(f"the models have different unknown words, {' and '.join(sorted(set(unknown)))}; give them one name")
    return Vocabulary(sorted(words), unknown[0] if unknown else None)


def _places(vocabulary: Vocabulary, united: Vocabulary) -> np.ndarray:
    """int64: the ids in a model's vocabulary of the united words, -1 where it lacks one."""
    return np.array([vocabulary.ids.get(word, -1) for word in united.words], dtype=np.int64)


def token_probs(models: Sequence[NgramModel], united: Vocabulary, corpus: Corpus) -> np.ndarray:
    """float64 [models, words and sentence ends]: each model's probability of those tokens that one of them can predict."""
    rows = []
    for model in models:
        tokens = np.where(corpus.tokens >= 0, _places(model.vocabulary, united)[corpus.tokens], -1)
        log10_prob, order = model.log10_probs(tokens)
        rows.append(np.where(order > 0, 10.0**log10_prob, 0.0))
    probs = np.array(rows)
    return probs[:, probs.sum(axis=0) > 0]


@dataclass
class Mixture:
    """What `em_weights` found: float64 [models] weights, the perplexity per token with them, iterations."""

    weights: np.ndarray
    ppl: float
    num_iterations: int


def em_weights(probs: np.ndarray, tolerance: float = 1e-7, max_iterations: int = 1000) -> Mixture:
    """The weights that make the text most likely; the likelihood has a single maximum.

    Args:
        probs: as from `token_probs`.
        tolerance: ends when no weight changes by more.
    """
    if probs.shape[1] == 0:
        raise AsrtoolError("the models have no word of the text to tune on")
    weights = np.full(len(probs), 1.0 / len(probs))
    iteration, change = 0, np.inf
    while change >= tolerance and iteration < max_iterations:
        iteration += 1
        mixed = weights @ probs
        new = weights * (probs / mixed).mean(axis=1)
        change = np.abs(new - weights).max()
        weights = new / new.sum()
    return Mixture(weights, float(np.exp(-np.log(weights @ probs).mean())), iteration)


def interpolate(models: Sequence[NgramModel], weights: Sequence[float]) -> NgramModel:
    """The models merged into one.

    Args:
        weights: one a model, from 0, with the sum 1.

    Raises:
        AsrtoolError: unfit weights.
    """
    weights = np.asarray(weights, dtype=np.float64)
    if len(weights) != len(models) or not np.all(weights >= 0.0) or abs(weights.sum() - 1.0) > 1e-6:
        raise AsrtoolError(f"--weights '{' '.join(f'{w:g}' for w in weights)}': expected {len(models)} from 0 with the sum 1")
    united = united_vocabulary(models)
    result = NgramModel(united, [], [], [])
    members = [_Member(model, united) for model in models]
    order = max(model.order for model in models)
    suffix = None
    for n in range(1, order + 1):
        if n > 1:
            result.keys.append(np.unique(np.concatenate([member.keys(n, len(united)) for member in members])))
            result.log10_prob.append(np.empty(len(result.keys[-1])))  # filled below; gives the model its order
            result.log10_backoff.append(np.zeros(len(result.log10_prob[-2])))
            suffix = next_suffix(result, n, suffix)
        probs = [member.log10_probs(result, n, suffix) for member in members]
        mixed = sum(weight * 10.0**prob for weight, prob in zip(weights, probs))
        with np.errstate(divide="ignore"):
            values = np.maximum(np.log10(mixed), -99.0)
        result.log10_prob = [*result.log10_prob[: n - 1], values]
    renormalise(result)
    return result


class _Member:
    """A model while it is merged; arrays over the n-grams of the merged model, order by order."""

    def __init__(self, model: NgramModel, united: Vocabulary) -> None:
        self.model = model
        self.places = _places(model.vocabulary, united)
        self._united = np.array([united.ids[word] for word in model.vocabulary.words], dtype=np.int64)
        self._merged_index = self._united  # of this model's n-grams of the order at hand
        self._own_index = self.places  # of the merged model's, -1 where this has none
        self._log10_prob = np.empty(0)
        self._merged_keys = np.empty(0, np.int64)

    def keys(self, n: int, num_words: int) -> np.ndarray:
        """This model's n-grams of order n as keys of the merged model."""
        if n > self.model.order:
            self._merged_keys = np.empty(0, np.int64)
        else:
            prefix, word = self.model.prefix_and_word(n)
            self._merged_keys = self._merged_index[prefix] * num_words + self._united[word]
        return self._merged_keys

    def log10_probs(self, merged: NgramModel, n: int, suffix: np.ndarray | None) -> np.ndarray:
        """float64: of the merged model's n-grams of order n, in this model; -inf for words that it lacks."""
        if n == 1:
            self._log10_prob = np.where(self.places >= 0, self.model.log10_prob[0][np.maximum(self.places, 0)], -np.inf)
            return self._log10_prob
        prefix, word = merged.prefix_and_word(n)
        # backing off: the weight of the history, if it is there, and the probability after the shorter one
        result = self._log10_prob[np.maximum(suffix, 0)]
        missing = np.flatnonzero((suffix < 0) & (self.places[word] >= 0))
        if len(missing):
            result[missing] = isolated_log10_probs(self.model, self.places[merged.ngram_words(n)[missing][:, 1:]])
        history = self._own_index[prefix]
        if n <= self.model.order:
            weights = self.model.log10_backoff[n - 2]
            result += np.where(history >= 0, weights[np.maximum(history, 0)], 0.0)
        result[self.places[word] < 0] = -np.inf
        own_index = np.full(len(result), -1, np.int64)
        if n <= self.model.order:
            self._merged_index = np.searchsorted(merged.keys[n - 2], self._merged_keys)
            own_index[self._merged_index] = np.arange(len(self._merged_keys))
            result[self._merged_index] = self.model.log10_prob[n - 1]
        self._own_index, self._log10_prob = own_index, result
        return result
