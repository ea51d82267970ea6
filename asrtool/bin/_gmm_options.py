"""Options that the verbs that train GMMs share, in Kaldi's names."""

import argparse
from typing import TYPE_CHECKING

from asrtool.bin._alignment_options import add_align_options, align_options
from asrtool.errors import AsrtoolError

if TYPE_CHECKING:
    from asrtool.train.gmm_trainer import GmmTrainingOptions


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
