"""Options that the verbs of alignment and of GMMs share, in Kaldi's names."""

import argparse
import os
from typing import TYPE_CHECKING

from asrtool.bin._gpu_options import add_gpu_option
from asrtool.errors import AsrtoolError

if TYPE_CHECKING:
    from asrtool.train.align_pass import AlignOptions
    from asrtool.train.gmm_run import RunOptions


def add_align_options(options: argparse.ArgumentParser, boost_silence: float | None = 1.0) -> None:
    """`boost_silence`: the default; None for a command without GMMs."""
    options.add_argument("--nj", type=int, default=os.cpu_count() or 1, help="threads, without effect on results (default: all)")
    if boost_silence is not None:
        add_gpu_option(options)
        options.add_argument(
            "--boost-silence", type=float, default=boost_silence, help="factor on silence likelihoods in alignment"
        )
    options.add_argument("--beam", "--regular-beam", type=float, default=10, help="alignment beam (default 10)")
    options.add_argument("--retry-beam", type=float, default=40, help="beam when the first one fails (default 40)")
    options.add_argument("--acoustic-scale", type=float, default=0.1)
    options.add_argument("--transition-scale", type=float, default=1.0)
    options.add_argument("--self-loop-scale", type=float, default=0.1)
    options.add_argument("--max-failed", type=float, default=0.25, help="share of utterances that may fail (default 0.25)")
    options.add_argument("--memory-limit", type=int, default=2048, help="MiB of features kept in memory (default 2048)")


def align_options(args: argparse.Namespace) -> "AlignOptions":
    from asrtool.train.align_pass import AlignOptions

    if not 0 < args.beam < args.retry_beam or args.acoustic_scale <= 0:
        raise AsrtoolError("--beam and --acoustic-scale must be above 0, and --retry-beam above --beam")
    return AlignOptions(args.acoustic_scale, args.transition_scale, args.self_loop_scale, args.beam, args.retry_beam)


def run_options(args: argparse.Namespace) -> "RunOptions":
    from asrtool.gmm.backend import choose_backend
    from asrtool.train.gmm_run import RunOptions

    features = getattr(args, "cmvn_opts", ""), getattr(args, "delta_opts", "")
    return RunOptions(args.nj, args.memory_limit, *features, choose_backend(getattr(args, "use_gpu", "no")))
