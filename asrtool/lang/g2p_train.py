"""Training of a grapheme-to-phoneme model: words are cut into pieces, a Kneser-Ney model is estimated over these."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.lang.g2p import BETWEEN, DIVIDER, NOTHING, piece_name
from asrtool.lang.g2p_align import cut_words
from asrtool.lm.arpa import write_arpa
from asrtool.lm.counts import count_ngrams
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.text import Vocabulary, encode

Entry = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class G2pOptions:
    """order: of the longest n-grams of pieces; num_iterations: of the alignment."""

    order: int = 6
    num_iterations: int = 12

    def __post_init__(self) -> None:
        if self.order < 1:
            raise AsrtoolError(f"--order {self.order}: expected 1 or more")
        if self.num_iterations < 1:
            raise AsrtoolError(f"--num-iters {self.num_iterations}: expected 1 or more")


@dataclass(frozen=True)
class G2pSummary:
    """num_words: entries trained on; unfit: those that could not be aligned; log_likelihood: of the alignment, per entry."""

    num_words: int
    unfit: list[Entry]
    log_likelihood: list[float]
    num_ngrams: list[int]


def train_g2p(entries: Sequence[Entry], path: str | Path, options: G2pOptions | None = None, name: str = "lexicon") -> G2pSummary:
    """Writes the model of (word, phones) entries as an ARPA file, gzipped where the name ends in .gz.

    Raises:
        AsrtoolError: no entries that can be aligned, or symbols that the model's file keeps for itself.
    """
    options = options or G2pOptions()
    _check_symbols(entries, name)
    cut = cut_words([tuple(word) for word, _ in entries], [phones for _, phones in entries], options.num_iterations)
    names = [piece_name(letters, phones) for letters, phones in cut.pieces]
    sentences = [[names[piece] for piece in sequence] for sequence in cut.sequences if sequence]
    unfit = [entry for entry, sequence in zip(entries, cut.sequences) if not sequence]
    if not sentences:
        raise AsrtoolError(f"{name}: no entry whose letters and phones can be aligned; is it a lexicon of words and phones?")
    order = min(options.order, max(map(len, sentences)) + 2)
    vocabulary = Vocabulary(sorted(names))
    model, _ = estimate(count_ngrams(encode(sentences, vocabulary), len(vocabulary), order), vocabulary)
    write_arpa(path, model)
    return G2pSummary(len(sentences), unfit, cut.log_likelihood, model.num_ngrams())


def _check_symbols(entries: Sequence[Entry], name: str) -> None:
    for word, phones in entries:
        if BETWEEN in word or DIVIDER in word:
            raise AsrtoolError(f"{name}: word '{word}': {BETWEEN} and {DIVIDER} cannot be letters; leave the entry out")
        for phone in phones:
            if BETWEEN in phone or DIVIDER in phone or phone == NOTHING:
                raise AsrtoolError(
                    f"{name}: word '{word}': phone '{phone}': rename it ({BETWEEN}, {DIVIDER}, {NOTHING} are used)"
                )
