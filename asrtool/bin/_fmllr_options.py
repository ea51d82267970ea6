"""Options that the verbs with fMLLR share, in Kaldi's names."""

import argparse
from typing import TYPE_CHECKING

from asrtool.errors import AsrtoolError

if TYPE_CHECKING:
    from asrtool.gmm.fmllr import FmllrOptions


def add_fmllr_options(options: argparse.ArgumentParser, silence_weight: float) -> None:
    """`silence_weight`: the default."""
    options.add_argument("--fmllr-update-type", default="full", help="full (default), diag, offset or none")
    options.add_argument(
        "--fmllr-min-count", type=float, default=500.0, help="speakers with fewer frames keep their features (default 500)"
    )
    options.add_argument("--fmllr-num-iters", type=int, default=40, help="sweeps over the rows of a transform (default 40)")
    options.add_argument(
        "--silence-weight", type=float, default=silence_weight, help=f"of silence in transforms (default {silence_weight:g})"
    )


def fmllr_options(args: argparse.Namespace) -> "FmllrOptions":
    from asrtool.gmm.fmllr import FmllrOptions

    if not 0 <= args.silence_weight <= 1:
        raise AsrtoolError("--silence-weight must be from 0 to 1")
    return FmllrOptions(args.fmllr_update_type, args.fmllr_min_count, args.fmllr_num_iters)
