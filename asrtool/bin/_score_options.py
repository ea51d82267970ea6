"""What the verbs that compare texts share: how both sides are prepared."""

import argparse

from asrtool.arguments import boolean
from asrtool.lang.normalise import STEPS, Normaliser
from asrtool.score.preparation import Preparation


def add_text_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metric", choices=("wer", "cer"), default="wer")
    parser.add_argument("--ignore", default="<UNK>,<SPOKEN_NOISE>,!SIL,<SIL>", help="words that do not count on either side")
    parser.add_argument("--normalise", default="", help=f"steps for both sides, separated by commas: {', '.join(STEPS)}")
    parser.add_argument("--ref-filter", default="", help="shell command for 'utterance words' lines of the references")
    parser.add_argument("--hyp-filter", default="", help="the same for hypotheses")
    parser.add_argument("--latin-words", type=boolean, default=True, help="CER counts a Latin word as one token (default true)")


def preparation_of(args: argparse.Namespace) -> Preparation:
    """The `Preparation` that these options say."""
    ignored, normaliser = frozenset(args.ignore.split(",")), Normaliser(args.normalise)
    return Preparation(ignored, normaliser, args.ref_filter, args.hyp_filter, args.metric, args.latin_words)
