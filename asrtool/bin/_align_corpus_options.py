"""Options that the verbs of forced alignment share."""

import argparse
import os
from typing import TYPE_CHECKING

from asrtool.errors import AsrtoolError

if TYPE_CHECKING:
    from asrtool.forced_alignment.align import AlignSettings


def add_corpus_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--nj", type=int, default=os.cpu_count() or 1, help="threads, without effect on results (default: all)")
    options.add_argument(
        "--speaker-characters", type=int, default=0, help="so many first characters of a file's name are the speaker's (folder)"
    )
    options.add_argument("--max-failed", type=float, default=0.25, help="share of utterances that may fail (default 0.25)")


def check_corpus_options(args: argparse.Namespace) -> None:
    """
    Raises:
        AsrtoolError: a number out of its range.
    """
    if args.nj < 1 or args.speaker_characters < 0 or not 0 <= args.max_failed <= 1:
        raise AsrtoolError("--nj must be at least 1, --speaker-characters at least 0, and --max-failed between 0 and 1")


def add_align_settings(options: argparse.ArgumentParser) -> None:
    options.add_argument("--beam", type=float, default=10, help="alignment beam (default 10)")
    options.add_argument("--retry-beam", type=float, default=200, help="beam when the first one fails (default 200)")
    options.add_argument("--acoustic-scale", type=float, default=0.1)
    options.add_argument("--transition-scale", type=float, default=1.0)
    options.add_argument("--self-loop-scale", type=float, default=0.1)
    options.add_argument("--silence-prob", type=float, default=0.5, help="of a pause between words (default 0.5)")
    options.add_argument("--boost-silence", type=float, default=1.0, help="factor on silence likelihoods (default 1)")
    options.add_argument("--max-duration", type=float, default=30, help="longer ones are cut into pieces first, s (default 30)")


def align_settings(args: argparse.Namespace) -> "AlignSettings":
    from asrtool.forced_alignment.align import AlignSettings

    return AlignSettings(
        args.acoustic_scale,
        args.transition_scale,
        args.self_loop_scale,
        args.beam,
        args.retry_beam,
        args.silence_prob,
        args.boost_silence,
        args.max_duration,
    )
