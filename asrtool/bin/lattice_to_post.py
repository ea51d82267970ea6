"""Turn lattices into posteriors of transition-ids, frame by frame."""

import sys

import numpy as np

from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.io.atomic_file import write_text
from asrtool.lattice.forward_backward import forward_backward
from asrtool.lattice.posterior_archive import write_posteriors
from asrtool.lattice.posteriors import posteriors


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-to-post --acoustic-scale 0.1 exp/tri/decode/lat.1.gz post.1.gz"
    options = lattice_parser("lattice-to-post", __doc__, example)
    options.add_argument("posteriors", type=target, help="archive to write; ark,t:FILE for text")
    options.add_argument("loglikes", type=target, nargs="?", help="file to write: the log of the sum over each lattice's paths")
    args = options.parse_args(arguments)
    totals, frames = {}, 0

    def work(utterance, lattice):
        nonlocal frames
        sums = forward_backward(lattice, args.acoustic_scale, args.lm_scale)
        if sums.total == -np.inf:
            return None
        result = posteriors(lattice, args.acoustic_scale, args.lm_scale, sums)
        totals[utterance] = sums.total
        frames += lattice.num_frames
        return result

    write_posteriors(args.posteriors.path, each_lattice(args.lattices, work, args.max_failed), args.posteriors.text)
    if args.loglikes:
        write_text(args.loglikes.path, "".join(f"{utterance} {total:.7g}\n" for utterance, total in totals.items()))
    print(f"log-likelihood per frame {sum(totals.values()) / max(frames, 1):.6g} over {frames} frames", file=sys.stderr)
    return 0
