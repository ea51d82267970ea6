"""Entropy pruning (Stolcke 1998, "Entropy-based pruning of backoff language models"), as SRILM's ngram -prune.

Without an n-gram (h, w) the model p becomes p', where w backs off and the weight alpha(h) changes to alpha'(h). The distance is

    D(p || p') = - P(h) { p(w|h) [log p(w|h') + log alpha'(h) - log p(w|h)]
                          + [log alpha'(h) - log alpha(h)] (1 - sum_{v: (h, v) in the model} p(v|h)) }

where h' is h without its first word, and the perplexity grows by a factor of exp(D). N-grams for which it grows by less than the
threshold, relatively, go; each is judged by itself. P(h) is the product of the probabilities of the words of h, given by the
model itself or by another: lower orders of a Kneser-Ney model are not meant for that (Chelba et al. 2010), a Katz model's are.
"""

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lm.back_off import isolated_log10_probs, renormalise, select, shares_left, shorter_log10_probs, suffix_indices
from asrtool.lm.model import NgramModel
from asrtool.lm.text import BOS_ID

_NEVER = -99.0


def log10_history_probs(model: NgramModel, history_model: NgramModel | None = None) -> list[np.ndarray]:
    """For each order below N, float64: log10 P(h) of its n-grams as histories; <s> has probability 1.

    Args:
        history_model: gives the probabilities; by default the model.
    """
    if history_model is None:
        probs = model.log10_prob
    else:
        places = np.array([history_model.vocabulary.ids.get(word, -1) for word in model.vocabulary.words])
        if history_model.vocabulary.unknown_id >= 0:
            places[places < 0] = history_model.vocabulary.unknown_id
        probs = []
        for n in range(1, model.order):
            words = places[model.ngram_words(n)]
            probs.append(np.where(words[:, -1] >= 0, isolated_log10_probs(history_model, words), _NEVER))
    result = [np.where(np.arange(len(probs[0])) == BOS_ID, 0.0, probs[0])]
    for n in range(2, model.order):
        prefix, _ = model.prefix_and_word(n)
        result.append(result[-1][prefix] + probs[n - 1])
    return result


def entropy_changes(model: NgramModel, n: int, suffix: np.ndarray, log10_history: np.ndarray) -> np.ndarray:
    """float64: D(p || p') above, in nats, of each n-gram of order n.

    Args:
        suffix: of this order, from `back_off.suffix_indices`; log10_history: of the order below, from `log10_history_probs`.
    """
    log10_prob = model.log10_prob[n - 1]
    shorter = shorter_log10_probs(model, n, suffix)
    starts, history, left, left_shorter = shares_left(model.keys[n - 2], len(model.vocabulary), log10_prob, shorter)
    length = np.diff(starts, append=len(log10_prob))
    left, left_shorter = np.repeat(np.maximum(left, 0.0), length), np.repeat(np.maximum(left_shorter, 0.0), length)
    old_weight = np.repeat(model.log10_backoff[n - 2][history], length)
    prob, prob_shorter = 10.0**log10_prob, 10.0**shorter
    new_weight = np.log10((left + prob) / (left_shorter + prob_shorter))
    change = prob * (shorter + new_weight - log10_prob) + left * (new_weight - old_weight)
    return -(10.0 ** np.repeat(log10_history[history], length)) * change * np.log(10.0)


def prune(model: NgramModel, threshold: float, min_order: int = 2, history_model: NgramModel | None = None) -> NgramModel:
    """The model without the n-grams that matter least, its back-off weights made anew.

    Args:
        threshold: the relative growth of the perplexity from which an n-gram stays, 1e-8 say.
        min_order: shorter n-grams all stay.
        history_model: see `log10_history_probs`.

    Raises:
        AsrtoolError: an unfit threshold or order.
    """
    if not 0.0 <= threshold < np.inf:
        raise AsrtoolError(f"--threshold {threshold}: expected a number from 0, 1e-8 say")
    if min_order < 2:
        raise AsrtoolError(f"--min-order {min_order}: expected 2 or more; the words of a model stay")
    suffixes = suffix_indices(model)
    histories = log10_history_probs(model, history_model) if model.order > 1 else []
    keep: list[np.ndarray] = []
    for n in range(model.order, 1, -1):
        stays = np.ones(len(model.log10_prob[n - 1]), dtype=bool)
        if n >= min_order and len(stays):
            stays = ~(np.expm1(entropy_changes(model, n, suffixes[n - 2], histories[n - 2])) < threshold)
        if keep:  # as the first words of an n-gram that stays
            prefix, _ = model.prefix_and_word(n + 1)
            stays[prefix[keep[0]]] = True
        keep.insert(0, stays)
    pruned = select(model, keep)
    renormalise(pruned)
    return pruned
