"""Perplexity against size of models pruned by entropy and by count cut-offs, on English: the docstrings of installed packages.

Prints the curves and, for each smoothing, lm_pruning_*: the perplexity of the model with cut-offs over that of the entropy-pruned
model of the same size (a ratio above 1 is better). An argument gives the number of files that are read (600).
"""

import ast
import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

from asrtool.lm.counts import NgramCounts, count_ngrams
from asrtool.lm.entropy_pruning import prune
from asrtool.lm.katz import estimate_katz
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.model import NgramModel
from asrtool.lm.perplexity import perplexity
from asrtool.lm.text import Vocabulary, encode, vocabulary_of

PACKAGES = ("torch", "numpy", "scipy", "matplotlib", "sympy", "numba", "networkx", "onnx", "asrtool")
CUT_OFFS = ((1, 1, 2), (1, 2, 2), (1, 2, 3), (1, 2, 5), (1, 4, 8))
THRESHOLDS = (1e-8, 3e-8, 1e-7, 3e-7, 1e-6, 3e-6, 1e-5)


def docstring_sentences(most_files: int) -> list[list[str]]:
    """Sentences of 4 words and more, each once, in an order drawn with a seed."""
    found: dict[str, None] = {}
    root = Path(sysconfig.get_paths()["purelib"])
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))[:most_files]:
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for sentence in re.split(r"[.!?:;]\s|\n\s*\n", ast.get_docstring(node) or ""):
                    words = re.findall(r"[a-z]+(?:'[a-z]+)?", sentence.lower())
                    if len(words) >= 4:
                        found[" ".join(words)] = None
    order = np.random.default_rng(0).permutation(len(found))
    sentences = [sentence.split() for sentence in found]
    return [sentences[place] for place in order]


def size(model: NgramModel) -> int:
    return sum(model.num_ngrams())


def pruned_to(model: NgramModel, wanted: int, histories: NgramModel) -> NgramModel:
    """The largest model of at most `wanted` n-grams that some threshold gives, within a per cent or so."""
    low, high = 1e-10, 1e-2
    for _ in range(14):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if size(prune(model, middle, history_model=histories)) > wanted else (low, middle)
    return prune(model, high, history_model=histories)


def curves(name: str, smoothing, counts: NgramCounts, vocabulary: Vocabulary, katz: NgramModel, held_out) -> None:
    model = smoothing(counts, vocabulary)[0]
    print(f"# {name}: {size(model)} n-grams, perplexity {perplexity(model, held_out).ppl:.2f}", file=sys.stderr)
    for kind, histories in (("own histories", None), ("katz histories", katz)):
        for threshold in THRESHOLDS:
            pruned = prune(model, threshold, history_model=histories)
            ppl = perplexity(pruned, held_out).ppl
            print(f"# {name} {kind} threshold {threshold:g}: {size(pruned)} n-grams, perplexity {ppl:.2f}", file=sys.stderr)
    for cut_off in CUT_OFFS:
        cut = smoothing(counts, vocabulary, cut_off)[0]
        pruned = pruned_to(model, size(cut), katz)
        ours, reference = perplexity(pruned, held_out).ppl, perplexity(cut, held_out).ppl
        print(
            f"lm_pruning_{name} ours={ours:.2f} reference={reference:.2f} ratio={reference / ours:.3f} unit=perplexity "
            f"cut_offs={','.join(map(str, cut_off))} ngrams={size(pruned)},{size(cut)}"
        )


def main() -> None:
    sentences = docstring_sentences(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
    held_out, train = sentences[: len(sentences) // 25], sentences[len(sentences) // 25 :]
    vocabulary = vocabulary_of(train, "<unk>")
    counts = count_ngrams(encode(train, vocabulary), len(vocabulary), 3)
    print(f"# {sum(map(len, train))} words, {len(vocabulary)} different", file=sys.stderr)
    katz = estimate_katz(counts, vocabulary)[0]
    for name, smoothing in (("katz", estimate_katz), ("kneser_ney", estimate)):
        curves(name, smoothing, counts, vocabulary, katz, held_out)


if __name__ == "__main__":
    main()
