"""Modified Kneser-Ney of a million words: asrtool's estimate against plain Python dictionaries, from sentences to a model.

Both count, smooth and evaluate the same text; the perplexities of held-out text must be equal to 4 digits, or the benchmark
fails. Prints lm_training, words per CPU second.
"""

import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import lm_large_text
import numpy as np

from asrtool.lm.counts import count_ngrams
from asrtool.lm.kneser_ney import FALLBACK_DISCOUNTS, estimate
from asrtool.lm.perplexity import perplexity
from asrtool.lm.text import BOS, EOS, encode, read_sentences, vocabulary_of

ORDER = 3


def dictionary_model(sentences: list[list[str]], num_words: int):
    """Probabilities and back-off weights, natural numbers, by n-gram; the equations of Chen & Goodman (1998)."""
    raw = [Counter() for _ in range(ORDER + 1)]
    for sentence in sentences:
        words = (BOS, *sentence, EOS)
        for n in range(1, ORDER + 1):
            raw[n].update(zip(*(words[i:] for i in range(n))))
    del raw[1][(BOS,)]
    prob: dict[tuple, float] = {}
    weight: dict[tuple, float] = {}
    for n in range(1, ORDER + 1):
        counts = raw[n]
        if n < ORDER:
            before = Counter(ngram[1:] for ngram in raw[n + 1])
            counts = {ngram: count if ngram[0] == BOS else before[ngram] for ngram, count in counts.items()}
        discounts = (0.0, *discounts_of(counts))
        total: dict[tuple, float] = defaultdict(float)
        taken: dict[tuple, float] = defaultdict(float)
        for ngram, count in counts.items():
            total[ngram[:-1]] += count
            taken[ngram[:-1]] += discounts[min(count, 3)]
        for history in total:
            weight[history] = taken[history] / total[history]
        for ngram, count in counts.items():
            history = ngram[:-1]
            shorter = prob[ngram[1:]] if n > 1 else 1.0 / num_words
            prob[ngram] = (count - discounts[min(count, 3)]) / total[history] + weight[history] * shorter
    return prob, weight


def discounts_of(counts: dict) -> tuple[float, float, float]:
    n1, n2, n3, n4 = (sum(1 for count in counts.values() if count == k) for k in (1, 2, 3, 4))
    if min(n1, n2, n3) == 0:
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    values = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return values if all(0 < value <= k for k, value in enumerate(values, 1)) else FALLBACK_DISCOUNTS


def dictionary_perplexity(prob: dict, weight: dict, sentences: list[list[str]]) -> float:
    log_prob, number = 0.0, 0
    for sentence in sentences:
        words = [BOS, *sentence, EOS]
        for i in range(1, len(words)):
            history, factor = tuple(words[max(0, i - ORDER + 1) : i]), 1.0
            while (*history, words[i]) not in prob:
                factor *= weight.get(history, 1.0)
                history = history[1:]
            log_prob += np.log(factor * prob[(*history, words[i])])
            number += 1
    return float(np.exp(-log_prob / number))


def main() -> None:
    num_words = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        lm_large_text.write_text(Path(folder) / "text", num_words)
        sentences = read_sentences(Path(folder) / "text")
    words = set().union(*sentences)
    held_out = [[word for word in sentence if word in words] for sentence in sentences[::101]]
    held_out = [sentence[::-1] for sentence in held_out]
    ours, estimate_ours = np.inf, None
    for _ in range(3):  # the first compiles or loads the kernels
        start = time.process_time()
        vocabulary = vocabulary_of(sentences)
        estimate_ours, _ = estimate(count_ngrams(encode(sentences, vocabulary), len(vocabulary), ORDER), vocabulary)
        ours = min(ours, time.process_time() - start)
    start = time.process_time()
    prob, weight = dictionary_model(sentences, len(words) + 1)
    reference = time.process_time() - start
    for text in (held_out, sentences[:2000]):
        ours_ppl, reference_ppl = perplexity(estimate_ours, text).ppl, dictionary_perplexity(prob, weight, text)
        assert abs(ours_ppl / reference_ppl - 1) < 1e-9, (ours_ppl, reference_ppl)
        print(f"# perplexity {ours_ppl:.6f} and {reference_ppl:.6f}", file=sys.stderr)
    rates = [num_words / seconds for seconds in (ours, reference)]
    print(f"lm_training ours={rates[0]:.0f} reference={rates[1]:.0f} ratio={rates[0] / rates[1]:.2f} unit=words/CPU-s")


if __name__ == "__main__":
    main()
