"""Train an n-gram language model, modified Kneser-Ney or Katz, on text of any size; writes an ARPA file (.gz by its name)."""

import argparse
import sys

from asrtool.arguments import boolean, parser
from asrtool.lm.training import SMOOTHINGS, TrainOptions, train


def main(arguments: list[str]) -> int:
    options = parser("train-lm", __doc__, "asrtool train-lm --order 5 --vocab data/lang/words.txt data/local/lm/text lm5.arpa.gz")
    options.add_argument("--order", type=int, default=3, help="the longest n-grams (default 3)")
    options.add_argument(
        "--smoothing",
        choices=SMOOTHINGS,
        default="kneser-ney",
        help="kneser-ney: interpolated, modified (default); katz: back-off",
    )
    options.add_argument(
        "--min-counts",
        type=integers,
        default=[1],
        metavar="'1 1 2'",
        help="least occurrences, for each order (default 1)",
    )
    options.add_argument(
        "--gt-max", type=integers, default=[1, 7], metavar="'1 7'", help="katz: greatest counts that are discounted (default 1 7)"
    )
    options.add_argument("--vocab", help="word list or words.txt: the model's words (default: those of the text)")
    options.add_argument("--unknown-word", help="stands for words outside the vocabulary (default: none, n-grams are dropped)")
    options.add_argument("--utterance-ids", type=boolean, default=False, help="lines start with an utterance id (default false)")
    options.add_argument("--memory-gib", type=float, default=2.0, help="memory for sorting (default 2)")
    options.add_argument("--nj", type=int, default=1, help="processes and threads (default 1)")
    options.add_argument("--scratch-dir", help="for temporary files (default: the ARPA file's folder)")
    options.add_argument("text", nargs="+", help="a sentence a line, .gz or not; several files count as one")
    options.add_argument("arpa", help="the ARPA file to write")
    values = vars(options.parse_args(arguments))
    text, arpa, num_jobs = values.pop("text"), values.pop("arpa"), values.pop("nj")
    print(train(text, arpa, TrainOptions(num_jobs=num_jobs, **values)), file=sys.stderr)
    return 0


def integers(text: str) -> list[int]:
    """'1 1 2'."""
    numbers = text.replace(",", " ").split()
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"'{text}': expected whole numbers, '1 1 2' say")
    return [int(number) for number in numbers]
