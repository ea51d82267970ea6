"""Options that the verbs that train GMMs share, in Kaldi's names."""

import argparse
from typing import TYPE_CHECKING, Any

from asrtool.bin._alignment_options import add_align_options, align_options, run_options
from asrtool.errors import AsrtoolError

if TYPE_CHECKING:
    from asrtool.train.gmm_trainer import GmmTrainingOptions


def add_run_options(
    options: argparse.ArgumentParser, num_iters: int, max_iter_inc: int, boost_silence: float, power: float = 0.25
) -> None:
    add_align_options(options, boost_silence)
    options.add_argument("--num-iters", type=int, default=num_iters, help=f"iterations (default {num_iters})")
    options.add_argument("--max-iter-inc", type=int, default=max_iter_inc, help=f"last to add Gaussians (default {max_iter_inc})")
    options.add_argument("--realign-iters", default="", help='iterations that align first, "10 20 30" (default: as Kaldi)')
    options.add_argument(
        "--power", type=float, default=power, help=f"Gaussians go by occupancy to this power (default {power:g})"
    )
    options.add_argument("--seed", type=int, default=0, help="of the perturbation of split Gaussians (default 0)")


def add_feature_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--cmvn-opts", default="", help="--cmvn-opts=--norm-vars=true (default: means of each speaker)")
    options.add_argument("--delta-opts", default="", help="--delta-opts=--delta-order=1 (default: first and second differences)")


def add_triphone_options(options: argparse.ArgumentParser) -> None:
    """With the positional arguments of the trainings that start from another model's alignments."""
    options.add_argument("--cluster-thresh", type=float, default=-1, help="for merging leaves (default -1: as splitting)")
    options.add_argument(
        "--context-opts", default="", help='"--context-width=2 --central-position=1" for left biphones (default: triphones)'
    )
    options.add_argument("num_leaves", type=int, help="leaves of the tree")
    options.add_argument("totgauss", type=int, help="Gaussians in the end")
    options.add_argument("data_dir")
    options.add_argument("lang_dir")
    options.add_argument("alignment_dir", help="with ali.*.gz and final.mdl")
    options.add_argument("exp_dir")


def realign_iterations(args: argparse.Namespace, default: tuple[int, ...]) -> tuple[int, ...]:
    return iterations(args.realign_iters, "--realign-iters") or default


def iterations(text: str, name: str) -> tuple[int, ...]:
    """Iteration numbers of an option, "2 4 6 12"."""
    if not all(word.isdecimal() for word in text.split()):
        raise AsrtoolError(f"{name} '{text}': expected iteration numbers")
    return tuple(map(int, text.split()))


def triphone_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of train.gmm_triphones.TriphoneOptions."""
    from asrtool.train.gmm_triphones import REALIGN_ITERS

    return {
        "num_leaves": args.num_leaves,
        "training": training_options(args, args.totgauss, realign_iterations(args, REALIGN_ITERS), args.beam),
        "cluster_threshold": args.cluster_thresh,
        "run": run_options(args),
        **_context(args),
    }


def _context(args: argparse.Namespace) -> dict[str, int]:
    """--context-opts as arguments of TriphoneOptions."""
    values = {}
    for word in args.context_opts.split():
        name, _, value = word.partition("=")
        if name not in ("--context-width", "--central-position") or not value.isdecimal():
            raise AsrtoolError(f"--context-opts: '{word}': only --context-width=N and --central-position=N are known")
        values[name[2:].replace("-", "_")] = int(value)
    return values


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
