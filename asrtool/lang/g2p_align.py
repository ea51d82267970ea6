"""Which letters of a word belong to which of its phones: the alignment that grapheme-to-phoneme models are trained on.

A word is a sequence of pieces, each with a few letters and a few phones (Bisani & Ney 2008, "Joint-sequence models for
grapheme-to-phoneme conversion", section 2; Jiampojamarn et al. 2007). Their probabilities, independent of one another, come from
expectation-maximisation over all ways to cut the words; then each word is cut in the best way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asrtool.lang import g2p_align_kernels as kernels

SHAPES = ((1, 0), (1, 1), (1, 2), (2, 1))  # letters and phones of a piece: silent letters, x -> k s, th -> one phone
UNEVEN = (
    0.01  # first weight of other pieces than a letter with a phone: in small lexicons c -> K AA, o -> nothing would do as well
)


@dataclass(frozen=True)
class CutWords:
    """Words cut into pieces.

    Attributes:
        pieces: the letters and the phones of each piece: those used, and one for each letter that is never cut off alone.
        sequences: for each word the places of its pieces in `pieces`; empty where the word cannot be cut.
        log_likelihood: for each iteration, the mean over the words that can be cut.
    """

    pieces: list[tuple[tuple[str, ...], tuple[str, ...]]]
    sequences: list[list[int]]
    log_likelihood: list[float]


def cut_words(
    letters: Sequence[Sequence[str]], phones: Sequence[Sequence[str]], num_iterations: int = 12, shapes=SHAPES
) -> CutWords:
    """Cuts words; `letters` and `phones` hold what each word consists of.

    Words that no sequence of pieces fits (far more phones than letters) get an empty sequence.
    """
    letter_names, letter_ids, letter_begin = _flatten(letters)
    phone_names, phone_ids, phone_begin = _flatten(phones)
    shape_array = np.array(shapes, np.int64)
    bits = np.array([len(letter_names).bit_length(), len(phone_names).bit_length()], np.int64)
    if int(bits @ shape_array.max(axis=0)) > 63:
        raise ValueError(f"pieces of {shape_array.max(axis=0)} letters and phones do not fit into 63 bits")
    words = (letter_begin, phone_begin, shape_array)
    arguments = (letter_ids, letter_begin, phone_ids, phone_begin, shape_array, bits)
    codes = np.empty(kernels.piece_codes(*arguments, np.empty(0, np.int64)), np.int64)
    kernels.piece_codes(*arguments, codes)
    piece_codes, pieces = np.unique(codes, return_inverse=True)
    pieces = pieces.astype(np.int32)
    contents = _contents(piece_codes, letter_names, phone_names, bits, shape_array)
    num_letters = np.array([len(piece_letters) for piece_letters, _ in contents], np.int64)
    first_weight = np.array([1.0 if len(own_letters) == len(own_phones) else UNEVEN for own_letters, own_phones in contents])
    log_prob, last_log_prob, likelihoods = _estimate(words, pieces, num_letters, first_weight, num_iterations)
    # a long piece is one factor where short ones are several: costs by length keep it from winning for that alone
    length = np.array([max(len(piece_letters), len(piece_phones)) for piece_letters, piece_phones in contents])
    path, path_begin = np.empty(len(letter_ids), np.int32), np.empty(len(letters) + 1, np.int64)
    kernels.best_pieces(*words, pieces, -log_prob * length, path, path_begin)
    used, path = np.unique(path[: path_begin[-1]], return_inverse=True)
    ids, begin = path.tolist(), path_begin.tolist()
    sequences = [ids[low:high] for low, high in pairwise(begin)]
    kept = [contents[number] for number in used.tolist()]
    return CutWords(kept + _single_letters(contents, last_log_prob, kept), sequences, likelihoods)


def _single_letters(contents: list[tuple], log_prob: np.ndarray, used: list[tuple]) -> list[tuple]:
    """For each letter that no used piece holds alone the likeliest piece that does, so that every word can be cut."""
    alone = {letters for letters, _ in used if len(letters) == 1}
    best: dict[tuple[str, ...], tuple[float, tuple]] = {}
    for piece, value in zip(contents, log_prob.tolist()):
        letters = piece[0]
        if len(letters) == 1 and letters not in alone and value > best.get(letters, (-np.inf,))[0]:
            best[letters] = (value, piece)
    return [piece for _, piece in best.values()]


def _estimate(
    words: tuple, pieces: np.ndarray, num_letters: np.ndarray, first_weight: np.ndarray, num_iterations: int
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """log probabilities float64 [P] of the pieces, -inf for those that never occur; the same before they became so; and the
    log-likelihoods."""
    log_prob = np.log(first_weight * np.bincount(pieces) / len(pieces))
    last_log_prob = log_prob - 1000.0  # below all that is estimated
    lengths = np.diff(words[0])
    likelihoods = []
    log_scale = -float(log_prob.mean())  # each letter's weight times exp(log_scale): products stay near 1, shares the same
    for _ in range(num_iterations):
        counts, log_total = np.zeros(len(log_prob)), np.empty(len(lengths))
        kernels.expected_counts(*words, pieces, np.exp(log_prob + log_scale * num_letters), counts, log_total)
        fits = log_total > -np.inf
        log_total[fits] -= log_scale * lengths[fits]
        likelihoods.append(float(log_total[fits].mean()) if fits.any() else -np.inf)
        log_scale = -float(log_total[fits].sum() / lengths[fits].sum()) if fits.any() else 0.0
        seen = counts > 1e-10
        log_prob = np.full(len(counts), -np.inf)
        log_prob[seen] = last_log_prob[seen] = np.log(counts[seen] / counts.sum())
    return log_prob, last_log_prob, likelihoods


def _flatten(sequences: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The symbols in order, ids (from 1) int32 of all sequences one after the other, and where each begins, int64."""
    names = sorted({symbol for sequence in sequences for symbol in sequence})
    number = {name: place for place, name in enumerate(names, 1)}
    ids = np.array([number[symbol] for sequence in sequences for symbol in sequence], np.int32)
    return names, ids, np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])]).astype(np.int64)


def _contents(codes: np.ndarray, letters: list[str], phones: list[str], bits: np.ndarray, shapes: np.ndarray) -> list[tuple]:
    """What `piece_codes` packed."""
    most_letters, most_phones = shapes.max(axis=0).tolist()
    letter_bits, phone_bits = bits.tolist()
    contents = []
    for code in codes.tolist():
        parts = []
        for most, width, names in ((most_phones, phone_bits, phones), (most_letters, letter_bits, letters)):
            symbols = []
            for _ in range(most):
                code, number = code >> width, code & ((1 << width) - 1)
                symbols += [names[number - 1]] if number else []
            parts.append(tuple(reversed(symbols)))
        contents.append((parts[1], parts[0]))
    return contents
