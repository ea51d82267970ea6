"""Scale the graph and acoustic costs of lattices."""

from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.errors import AsrtoolError
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.scale import scale


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-scale --inv-acoustic-scale 12 exp/tri/decode/lat.1.gz scaled.gz"
    options = lattice_parser("lattice-scale", __doc__, example)
    options.add_argument("scaled", type=target, help="archive to write; ark,t:FILE for text")
    options.add_argument("--inv-acoustic-scale", type=float, default=1.0, help="1 / acoustic scale, instead of --acoustic-scale")
    options.add_argument("--acoustic2lm-scale", type=float, default=0.0, help="of acoustic costs, added to graph costs")
    options.add_argument("--lm2acoustic-scale", type=float, default=0.0, help="of graph costs, added to acoustic costs")
    args = options.parse_args(arguments)
    if args.inv_acoustic_scale != 1.0:
        if args.acoustic_scale != 1.0 or args.inv_acoustic_scale == 0.0:
            raise AsrtoolError("--inv-acoustic-scale: not 0, and not together with --acoustic-scale")
        args.acoustic_scale = 1.0 / args.inv_acoustic_scale
    scales = args.acoustic_scale, args.lm_scale, args.acoustic2lm_scale, args.lm2acoustic_scale
    scaled = each_lattice(args.lattices, lambda _, lattice: scale(lattice, *scales), args.max_failed)
    write_lattices(args.scaled.path, scaled, not args.scaled.text)
    return 0
