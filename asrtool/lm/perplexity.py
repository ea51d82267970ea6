"""How well a model predicts a text."""

from collections.abc import Sequence
from dataclasses import dataclass

from asrtool.lm.model import NgramModel
from asrtool.lm.text import encode


@dataclass
class Perplexity:
    """Counts over a text, and log10_prob, the log10 probability of all of it.

    Words outside a closed vocabulary (OOVs) are left out of the probability and of both perplexities, as SRILM does; in a model
    with an unknown word they are predicted as that.
    """

    num_sentences: int
    num_words: int
    num_oovs: int
    num_predicted_words: int
    log10_prob: float
    order_counts: list[int]

    @property
    def ppl(self) -> float:
        """Per word and end of sentence."""
        return 10.0 ** (-self.log10_prob / (self.num_predicted_words + self.num_sentences))

    @property
    def ppl1(self) -> float:
        """Per word, as if sentences had no end; infinite where no word is in the vocabulary."""
        return 10.0 ** (-self.log10_prob / self.num_predicted_words) if self.num_predicted_words else float("inf")

    def summary(self) -> str:
        """One line."""
        orders = " ".join(f"{order}-grams={number}" for order, number in enumerate(self.order_counts, 1))
        return (
            f"sentences={self.num_sentences} words={self.num_words} oovs={self.num_oovs} logprob={self.log10_prob:.4f} "
            f"ppl={self.ppl:.4f} ppl1={self.ppl1:.4f} {orders}"
        )


def perplexity(model: NgramModel, sentences: Sequence[Sequence[str]]) -> Perplexity:
    """Of the model on sentences without <s> and </s>."""
    corpus = encode(sentences, model.vocabulary)
    log10_probs, used_order = model.log10_probs(corpus.tokens)
    left_out = corpus.num_oovs if model.vocabulary.unknown_id < 0 else 0
    return Perplexity(
        num_sentences=corpus.num_sentences,
        num_words=corpus.num_words,
        num_oovs=corpus.num_oovs,
        num_predicted_words=corpus.num_words - left_out,
        log10_prob=float(log10_probs.sum()),
        order_counts=[int((used_order == order).sum()) for order in range(1, model.order + 1)],
    )
