"""Print the depth of lattices: the average number of arcs that cross a frame."""

import sys

from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.io.atomic_file import write_text
from asrtool.lattice.density import depth_per_frame


def main(arguments: list[str]) -> int:
    options = lattice_parser("lattice-depth", __doc__, "asrtool lattice-depth exp/tri/decode depth.txt", scales=False)
    options.add_argument("depths", type=target, nargs="?", help="file to write: an utterance and its depth a line")
    options.add_argument("--per-frame", type=target, help="file to write: an utterance and the arcs of every frame a line")
    args = options.parse_args(arguments)
    depths = dict(each_lattice(args.lattices, lambda _, lattice: depth_per_frame(lattice), args.max_failed))
    if args.depths:
        rows = (f"{utterance} {arcs.mean() if len(arcs) else 0:.7g}\n" for utterance, arcs in depths.items())
        write_text(args.depths.path, "".join(rows))
    if args.per_frame:
        rows = (f"{utterance} {' '.join(map(str, arcs.tolist()))}\n" for utterance, arcs in depths.items())
        write_text(args.per_frame.path, "".join(rows))
    frames = sum(len(arcs) for arcs in depths.values())
    crossing = sum(int(arcs.sum()) for arcs in depths.values())
    print(f"overall depth {crossing / max(frames, 1):.6g}, {frames} frames", file=sys.stderr)
    return 0
