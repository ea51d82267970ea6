"""From text files to an ARPA file, by way of a scratch folder, so that neither has to fit into memory."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.lm.arpa import write_arpa
from asrtool.lm.columns import Scratch
from asrtool.lm.counts import NgramCounts, count_token_files
from asrtool.lm.cut_offs import check_min_counts
from asrtool.lm.katz import DEFAULT_GT_MAX, estimate_katz
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.model import NgramModel
from asrtool.lm.text import Vocabulary, read_vocabulary
from asrtool.lm.token_files import TokenFiles, make_token_files

SMOOTHINGS = ("kneser-ney", "katz")


@dataclass
class TrainOptions:
    """What `train` can be told.

    Attributes:
        vocab: a word list or words.txt; by default the words of the text.
        unknown_word: in the vocabulary, for all words outside; None: n-grams with such are left out.
        min_counts, gt_max: for each order, the last for those above too.
        memory_gib: for sorting; num_jobs: processes and threads.
        scratch_dir: for files of 4 bytes a word and up to 60 for each n-gram; by default beside the ARPA file.
    """

    order: int = 3
    smoothing: str = "kneser-ney"
    min_counts: Sequence[int] = (1,)
    gt_max: Sequence[int] = DEFAULT_GT_MAX
    vocab: str | None = None
    unknown_word: str | None = None
    utterance_ids: bool = False
    memory_gib: float = 2.0
    num_jobs: int = 1
    scratch_dir: str | None = None

    def check(self) -> None:
        if self.order < 1:
            raise AsrtoolError(f"--order {self.order}: expected 1 or more")
        if self.unknown_word in ("<s>", "</s>"):
            raise AsrtoolError(f"--unknown-word {self.unknown_word}: this word has another use; '<unk>' is usual")
        if self.num_jobs < 1:
            raise AsrtoolError(f"--nj {self.num_jobs}: expected 1 or more")
        if min(self.gt_max) < 0:
            raise AsrtoolError(f"--gt-max '{' '.join(map(str, self.gt_max))}': expected numbers from 0")
        self.min_counts = check_min_counts(self.min_counts, self.order)


def train(paths: list[str], arpa: str | Path, options: TrainOptions) -> str:
    """Writes the model of the text.

    Returns:
        One line of figures.

    Raises:
        AsrtoolError: an option or a text is unfit.
    """
    options.check()
    parent = Path(options.scratch_dir or Path(arpa).parent)
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".train-lm.", dir=parent) as folder:
        text, counts = count_text(paths, options, Path(folder))
        write_arpa(arpa, model := smooth(counts, text.vocabulary, options, Scratch(folder)))
        sizes = " ".join(f"ngram{order}={number}" for order, number in enumerate(model.num_ngrams(), 1))
        return f"{arpa}: sentences={text.num_sentences} words={text.num_words} oovs={text.num_oovs} {sizes}"


def count_text(paths: list[str], options: TrainOptions, folder: Path) -> tuple[TokenFiles, NgramCounts]:
    """The counts, on disk in `folder`, which the caller removes."""
    vocabulary: Vocabulary | None = read_vocabulary(options.vocab, options.unknown_word) if options.vocab else None
    text = make_token_files(paths, folder, vocabulary, options.unknown_word, options.utterance_ids, options.num_jobs)
    if text.num_oovs == text.num_words:
        raise AsrtoolError(f"{paths[0]}: none of its words is in {options.vocab}")
    counts = count_token_files(text, options.order, Scratch(folder), options.memory_gib, options.num_jobs)
    if len(counts.keys[-1]) == 0:
        longest = max(order for order, keys in enumerate(counts.keys, 1) if len(keys))
        raise AsrtoolError(f"{paths[0]}: no {options.order}-grams, the sentences are too short; use --order {longest} or less")
    for file in text.files:
        file.path.unlink()
    return text, counts


def smooth(counts: NgramCounts, vocabulary: Vocabulary, options: TrainOptions, scratch: Scratch) -> NgramModel:
    """The model; says on standard error which discounts were used."""
    if options.smoothing == "katz":
        model, factors = estimate_katz(counts, vocabulary, options.min_counts, options.gt_max, scratch)
        for order, (values, unfit) in enumerate(factors, 1):
            note = f" (counts {' '.join(map(str, unfit))} not discounted: their factors are out of range)" if unfit else ""
            print(f"order {order}: factors {' '.join(f'{value:.4f}' for value in values[1:-1]) or 'none'}{note}", file=sys.stderr)
    else:
        model, discounts = estimate(counts, vocabulary, options.min_counts, scratch)
        for order, (values, is_fallback) in enumerate(discounts, 1):
            note = " (fixed: the counts of counts allow no estimate)" if is_fallback else ""
            print(f"order {order}: discounts {' '.join(f'{value:.4f}' for value in values)}{note}", file=sys.stderr)
    empty = [order for order, number in enumerate(model.num_ngrams(), 1) if number == 0]
    if empty:
        minimum = options.min_counts[empty[0] - 1]
        raise AsrtoolError(f"--min-counts: no {empty[0]}-gram occurs {minimum} times; lower it or use --order {empty[0] - 1}")
    return model
