"""Look-ups of a compact n-gram model, and its size, beside the same model as sorted arrays (numpy).

The model and the text are made here, of words that follow each other by a random rule; a part of the text is held out.

    python tests/benchmarks/lm_lookup.py --words 50000 --tokens 2000000 --order 4
"""

import argparse
import time

import numpy as np

from asrtool.lm.compact_model import CompactNgram
from asrtool.lm.counts import count_ngrams
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.text import Corpus, Vocabulary


def random_text(num_words: int, num_tokens: int, seed: int = 0) -> np.ndarray:
    """int64 ids: sentences of 5 to 25 words, most drawn from those that often follow the one before, with <s> and </s>."""
    random = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, num_words - 1)
    tokens = 2 + np.searchsorted(np.cumsum(share / share.sum()), random.random(num_tokens)).clip(0, num_words - 3)
    choice = random.zipf(1.4, num_tokens) % 97
    follows = random.random(num_tokens) < 0.7
    for place in range(1, num_tokens):
        if follows[place]:
            before = int(tokens[place - 1]) * 1000003 + int(tokens[place - 2]) * 7919 * int(choice[place] % 3 == 0)
            tokens[place] = 2 + (before + int(choice[place]) ** 2 * 31) % (num_words - 2)
    lengths = random.integers(5, 26, num_tokens // 10)
    ends = np.cumsum(lengths)
    ends = ends[ends < num_tokens]
    return np.insert(tokens[: ends[-1]], np.repeat(np.concatenate([[0], ends])[:-1], 2), np.tile([1, 0], len(ends)))[1:]


def cpu_s(work, at_least_s: float = 1.0) -> float:
    """CPU seconds of a call, of several calls' mean if it is short."""
    work()
    calls, start = 0, time.process_time()
    while time.process_time() - start < at_least_s:
        work()
        calls += 1
    return (time.process_time() - start) / calls


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--words", type=int, default=20000)
    options.add_argument("--tokens", type=int, default=400000)
    options.add_argument("--order", type=int, default=4)
    args = options.parse_args()
    tokens = random_text(args.words, args.tokens)
    cut = int(np.flatnonzero(tokens[: len(tokens) * 9 // 10] == 0)[-1])
    train, held_out = tokens[:cut], tokens[cut:]
    vocabulary = Vocabulary([f"w{number}" for number in range(2, args.words)])
    model, _ = estimate(count_ngrams(Corpus(train, 0, 0, 0), args.words, args.order), vocabulary)
    num_ngrams = sum(model.num_ngrams())
    predicted = int((held_out != 0).sum())
    arrays = [*model.keys, *model.log10_prob, *model.log10_backoff]
    base_s = cpu_s(lambda: model.log10_probs(held_out))
    base_ppl = 10 ** (-model.log10_probs(held_out)[0].sum() / predicted)
    print(f"order {args.order}, n-grams {model.num_ngrams()}, {predicted} look-ups of held-out text")
    print("model                 bytes/n-gram  look-ups/CPU s   ratio  perplexity")
    size = sum(array.nbytes for array in arrays) / num_ngrams
    print(f"{'sorted arrays, numpy':20} {size:13.2f} {predicted / base_s:15,.0f} {1:7.2f} {base_ppl:11.4f}")
    for bits in (0, 12, 8, 6, 4):
        compact = CompactNgram.from_model(model, bits)
        seconds = cpu_s(lambda compact=compact: compact.token_costs(held_out))
        ppl = np.exp(compact.token_costs(held_out).sum() / predicted)
        name = f"compact, {bits} bits" if bits else "compact, float32"
        print(f"{name:20} {compact.bytes_per_ngram:13.2f} {predicted / seconds:15,.0f} {base_s / seconds:7.2f} {ppl:11.4f}")


if __name__ == "__main__":
    main()
