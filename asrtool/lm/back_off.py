"""What pruning and mixing of models share: shorter histories of whole orders at once, and back-off weights made anew."""

import numpy as np

from asrtool.lm.model import NgramModel, find

NOTHING = 1e-9  # a share of probability that is rounding only


def suffix_indices(model: NgramModel) -> list[np.ndarray]:
    """For each order n from 2, int64: the index of an n-gram's last n - 1 words in order n - 1, -1 where the model has none."""
    result: list[np.ndarray] = []
    for n in range(2, model.order + 1):
        result.append(next_suffix(model, n, result[-1] if result else None))
    return result


def next_suffix(model: NgramModel, n: int, shorter: np.ndarray | None) -> np.ndarray:
    """The same of order n alone, from that of order n - 1 (None for n = 2)."""
    prefix, word = model.prefix_and_word(n)
    return word if shorter is None else find(model.keys[n - 3], shorter[prefix], word, len(model.vocabulary))


def isolated_log10_probs(model: NgramModel, words: np.ndarray) -> np.ndarray:
    """float64 [M]: log10 of the probability of the last of each row's words, int64 [M, n], after the others."""
    apart = np.full((len(words), 1), -1, np.int64)  # so that no history reaches into the row before
    log10_prob, _ = model.log10_probs(np.concatenate([apart, words], axis=1).ravel())
    return log10_prob.reshape(len(words), -1)[:, -1]


def shorter_log10_probs(model: NgramModel, n: int, suffix: np.ndarray) -> np.ndarray:
    """float64: for each n-gram of order n, log10 of its last word's probability after the history without its first word.

    Args:
        suffix: of this order, from `suffix_indices`.
    """
    result = np.where(suffix >= 0, model.log10_prob[n - 2][np.maximum(suffix, 0)], 0.0)
    missing = np.flatnonzero(suffix < 0)
    if len(missing):
        result[missing] = isolated_log10_probs(model, model.ngram_words(n)[missing][:, 1:])
    return result


def shares_left(keys: np.ndarray, num_words: int, log10_prob: np.ndarray, log10_shorter: np.ndarray):
    """What the n-grams of an order leave to other words.

    Returns:
        starts int64 [H], the first n-gram of each history that has some; history int64 [H], its index; float64 [H], 1 less the
        sum of the probabilities; float64 [H], the same of the probabilities after the shorter history.
    """
    starts = np.flatnonzero(np.diff(keys // num_words, prepend=-1))
    left, left_shorter = (1.0 - np.add.reduceat(10.0**values, starts) for values in (log10_prob, log10_shorter))
    return starts, keys[starts] // num_words, left, left_shorter


def renormalise(model: NgramModel) -> None:
    """Gives every history the back-off weight with which its probabilities sum to one; 1 where it has no n-grams."""
    for n, suffix in enumerate(suffix_indices(model), 2):
        weights = np.zeros(len(model.log10_prob[n - 2]))
        if len(suffix):
            shorter = shorter_log10_probs(model, n, suffix)
            _, history, left, left_shorter = shares_left(
                model.keys[n - 2], len(model.vocabulary), model.log10_prob[n - 1], shorter
            )
            # where no other word is left, the weight is never used
            some = left_shorter > NOTHING
            weights[history[some]] = np.log10(np.maximum(left[some], NOTHING) / left_shorter[some])
        model.log10_backoff[n - 2] = weights


def select(model: NgramModel, keep: list[np.ndarray]) -> NgramModel:
    """The model with some of its n-grams; orders at the end without any are dropped.

    Args:
        keep: for each order from 2, bool; an n-gram's first words must stay too. The weights are those of before.
    """
    num_words, ranks = len(model.vocabulary), np.arange(len(model.vocabulary))
    result = NgramModel(model.vocabulary, [], [model.log10_prob[0]], [])
    order = max((n for n, kept in enumerate(keep, 2) if kept.any()), default=1)
    for n in range(2, order + 1):
        stays = keep[n - 2]
        prefix, word = np.divmod(model.keys[n - 2][stays], num_words)
        result.keys.append(ranks[prefix] * num_words + word)
        result.log10_prob.append(model.log10_prob[n - 1][stays])
        result.log10_backoff.append(model.log10_backoff[n - 2] if n == 2 else model.log10_backoff[n - 2][keep[n - 3]])
        ranks = np.cumsum(stays) - 1
    return result
