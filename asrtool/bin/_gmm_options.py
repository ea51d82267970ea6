"""Options that the verbs of GMMs and of alignment share, in Kaldi's names."""

import argparse
import os
from typing import TYPE_CHECKING

from asrtool.errors import AsrtoolError

if TYPE_CHECKING:
    from asrtool.train.align_pass import AlignOptions
    from asrtool.train.gmm_run import RunOptions
    from asrtool.train.gmm_trainer import GmmTrainingOptions


def one_blas_thread() -> None:
    """Our threads do the work, BLAS must not start its own; has an effect only before numpy is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"


def add_align_options(options: argparse.ArgumentParser, boost_silence: float | None = 1.0) -> None:
    """`boost_silence`: the default; None for a command without it."""
    options.add_argument("--nj", type=int, default=os.cpu_count() or 1, help="threads, without effect on results (default: all)")
    if boost_silence is not None:
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


def add_run_options(options: argparse.ArgumentParser, num_iters: int, max_iter_inc: int, boost_silence: float) -> None:
    add_align_options(options, boost_silence)
    options.add_argument("--num-iters", type=int, default=num_iters, help=f"iterations (default {num_iters})")
    options.add_argument("--max-iter-inc", type=int, default=max_iter_inc, help=f"last to add Gaussians (default {max_iter_inc})")
    options.add_argument("--realign-iters", default="", help='iterations that align first, "10 20 30" (default: as Kaldi)')
    options.add_argument("--power", type=float, default=0.25, help="Gaussians go by occupancy to this power (default 0.25)")
    options.add_argument("--seed", type=int, default=0, help="of the perturbation of split Gaussians (default 0)")


def add_feature_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--cmvn-opts", default="", help="--cmvn-opts=--norm-vars=true (default: means of each speaker)")
    options.add_argument("--delta-opts", default="", help="--delta-opts=--delta-order=1 (default: first and second differences)")


def realign_iterations(args: argparse.Namespace, default: tuple[int, ...]) -> tuple[int, ...]:
    words = args.realign_iters.split()
    if not all(word.isdigit() for word in words):
        raise AsrtoolError(f"--realign-iters '{args.realign_iters}': expected iteration numbers")
    return tuple(map(int, words)) or default


def align_options(args: argparse.Namespace) -> "AlignOptions":
    from asrtool.train.align_pass import AlignOptions

    if not 0 < args.beam < args.retry_beam or args.acoustic_scale <= 0:
        raise AsrtoolError("--beam and --acoustic-scale must be above 0, and --retry-beam above --beam")
    return AlignOptions(args.acoustic_scale, args.transition_scale, args.self_loop_scale, args.beam, args.retry_beam)


def run_options(args: argparse.Namespace) -> "RunOptions":
    from asrtool.train.gmm_run import RunOptions

    return RunOptions(args.nj, args.memory_limit, getattr(args, "cmvn_opts", ""), getattr(args, "delta_opts", ""))


def training_options(
    args: argparse.Namespace, totgauss: int, realign_iters: tuple[int, ...], initial_beam: float
) -> "GmmTrainingOptions":
    from asrtool.train.gmm_trainer import GmmTrainingOptions

    return GmmTrainingOptions(
        num_iters=args.num_iters,
        max_iter_inc=args.max_iter_inc,
        totgauss=totgauss,
        realign_iters=realign_iters,
        power=args.power,
        boost_silence=args.boost_silence,
        initial_beam=initial_beam,
        align=align_options(args),
        seed=args.seed,
        max_failed=args.max_failed,
    )
