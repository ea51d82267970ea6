"""How well a model predicts a text."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lm.model import NgramModel
from asrtool.lm.text import BOS, BOS_ID, EOS, EOS_ID, OOV_ID
from asrtool.lm.token_files import sentence_words, text_blocks


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
    oov_counts: Counter = field(default_factory=Counter)

    @property
    def ppl(self) -> float:
        """Per word and end of sentence."""
        return 10.0 ** (-self.log10_prob / (self.num_predicted_words + self.num_sentences))

    @property
    def ppl1(self) -> float:
        """Per word, as if sentences had no end; infinite where no word is in the vocabulary."""
        return 10.0 ** (-self.log10_prob / self.num_predicted_words) if self.num_predicted_words else float("inf")

    @property
    def oov_rate(self) -> float:
        """OOVs per word."""
        return self.num_oovs / self.num_words

    def summary(self) -> str:
        """One line."""
        orders = " ".join(f"{order}-grams={number}" for order, number in enumerate(self.order_counts, 1))
        return (
            f"sentences={self.num_sentences} words={self.num_words} oovs={self.num_oovs} logprob={self.log10_prob:.4f} "
            f"ppl={self.ppl:.4f} ppl1={self.ppl1:.4f} {orders} oov_rate={self.oov_rate:.4%}"
        )


@dataclass
class SentenceScore:
    """A sentence, its number of words and of words outside the vocabulary, and its log10 probability with its end."""

    words: list[str]
    num_oovs: int
    log10_prob: float

    def line(self, is_closed: bool) -> str:
        """Words, OOVs, log10 probability, perplexity, text; with tabs between."""
        predicted = len(self.words) + 1 - (self.num_oovs if is_closed else 0)
        ppl = 10.0 ** (-self.log10_prob / predicted)
        return f"{len(self.words)}\t{self.num_oovs}\t{self.log10_prob:.4f}\t{ppl:.4f}\t{' '.join(self.words)}"


def score_words(model: NgramModel, blocks: Iterable[list[str]], sentences: list[SentenceScore] | None = None) -> Perplexity:
    """Perplexity of words with <s> before and </s> after each sentence, block by block.

    Args:
        blocks: whole sentences; empty ones do not count.
        sentences: gets every sentence's score.
    """
    vocabulary = model.vocabulary
    ids, is_closed = vocabulary.ids, vocabulary.unknown_id < 0
    result = Perplexity(0, 0, 0, 0, 0.0, [0] * model.order)
    log10_parts = []
    for words in blocks:
        tokens = np.fromiter((ids.get(word, OOV_ID) for word in words), np.int64, len(words))
        empty = np.flatnonzero((tokens[:-1] == BOS_ID) & (tokens[1:] == EOS_ID))
        if len(empty):
            places = np.delete(np.arange(len(tokens)), np.concatenate([empty, empty + 1]))
            tokens, words = tokens[places], [words[place] for place in places.tolist()]
        oovs = np.flatnonzero(tokens == OOV_ID)
        result.oov_counts.update([words[place] for place in oovs.tolist()])
        if not is_closed:
            tokens[oovs] = vocabulary.unknown_id
        log10_probs, used_order = model.log10_probs(tokens)
        log10_parts.append(float(log10_probs.sum()))
        num_sentences = int((tokens == BOS_ID).sum())
        result.num_sentences += num_sentences
        result.num_words += len(tokens) - 2 * num_sentences
        result.num_oovs += len(oovs)
        hits = np.bincount(used_order, minlength=model.order + 1)
        result.order_counts = [old + int(new) for old, new in zip(result.order_counts, hits[1:])]
        if sentences is not None:
            starts = np.flatnonzero(tokens == BOS_ID)
            sums = np.add.reduceat(log10_probs, starts) if len(starts) else []
            oovs_of = np.bincount(np.searchsorted(starts, oovs, side="right") - 1, minlength=len(starts))
            for low, high, total, number in zip(starts, [*starts[1:], len(tokens)], sums, oovs_of):
                sentences.append(SentenceScore(words[low + 1 : high - 1], int(number), float(total)))
    result.log10_prob = sum(log10_parts)
    result.num_predicted_words = result.num_words - (result.num_oovs if is_closed else 0)
    return result


def perplexity(model: NgramModel, sentences: Sequence[Sequence[str]]) -> Perplexity:
    """Of the model on sentences without <s> and </s>."""
    return score_words(model, [[word for sentence in sentences for word in (BOS, *sentence, EOS)]])


def file_perplexity(
    model: NgramModel, path: str | Path, utterance_ids: bool = False, sentences: list[SentenceScore] | None = None
) -> Perplexity:
    """Of the model on a text file of any size, .gz too.

    Raises:
        AsrtoolError: it cannot be read, or has no sentence.
    """

    def words() -> Iterator[list[str]]:
        for text in text_blocks(path, utterance_ids=utterance_ids):
            yield sentence_words(text)

    result = score_words(model, words(), sentences)
    if result.num_sentences == 0:
        raise AsrtoolError(f"{path}: no sentences" + (" after the utterance ids" if utterance_ids else ""))
    return result
