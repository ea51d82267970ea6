"""How well a grapheme-to-phoneme model says what a lexicon has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asrtool.lang.g2p import G2p
from asrtool.score.edit_distance import count_errors


@dataclass(frozen=True)
class G2pErrors:
    """Over words: phone errors against the closest pronunciation of the lexicon, and words whose best pronunciation is none of
    its; also those where none of the `n_best` is."""

    num_words: int
    num_phones: int
    phone_errors: int
    word_errors: int
    n_best: int
    n_best_errors: int

    def summary(self) -> str:
        """One line."""
        return (
            f"phone error rate {100 * self.phone_errors / max(self.num_phones, 1):.2f} % of {self.num_phones} phones, word error "
            f"rate {100 * self.word_errors / self.num_words:.2f} % of {self.num_words} words, "
            f"{100 * self.n_best_errors / self.num_words:.2f} % not among the best {self.n_best}"
        )


def score_g2p(model: G2p, lexicon: Mapping[str, Sequence[tuple[str, ...]]], n_best: int = 5) -> G2pErrors:
    """Errors on the words of a lexicon (word -> pronunciations); a word without a pronunciation has all its phones wrong."""
    phones = phone_errors = word_errors = n_best_errors = 0
    for word, references in lexicon.items():
        found = [tuple(pron) for pron, _ in model.pronounce(word, n_best)]
        counts = [count_errors(reference, found[0] if found else ()) for reference in references]
        best = min(counts, key=lambda one: one.rate)
        phones += best.total
        phone_errors += best.errors
        word_errors += best.errors > 0
        n_best_errors += not set(found).intersection(references)
    return G2pErrors(len(lexicon), phones, phone_errors, word_errors, n_best, n_best_errors)
