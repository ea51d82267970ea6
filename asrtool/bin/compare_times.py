"""How far an alignment's word or phone boundaries lie from a reference's: CTM files or folders of TextGrids."""

from asrtool.arguments import boolean, existing_path, parser


def main(arguments: list[str]) -> int:
    options = parser("compare-times", __doc__, "asrtool compare-times --tier phones hand_made/ aligned/")
    options.add_argument("reference", type=existing_path, help="a CTM file, a TextGrid or a folder of TextGrids")
    options.add_argument("found", type=existing_path, help="likewise, of the same recordings")
    options.add_argument("--tier", default="phones", help="of TextGrids (default phones)")
    options.add_argument("--ignore", default="sil,SIL,sp,spn,SPN", help="labels to leave out (default: silence and noise)")
    options.add_argument("--by-label", type=boolean, default=False, help="a line for each label too, the worst first")
    args = options.parse_args(arguments)

    from asrtool.forced_alignment.compare import compare, read_stretches

    ignored = tuple(args.ignore.split(","))
    result = compare(*(read_stretches(path, args.tier, ignored) for path in (args.reference, args.found)))
    print(result.summary() + (result.by_label() if args.by_label else ""), end="")
    return 0
