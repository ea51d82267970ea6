"""Write a data directory of lhotse manifests: cuts, or recordings and supervisions."""

from pathlib import Path

from asrtool.arguments import boolean, parser
from asrtool.errors import AsrtoolError


def main(arguments: list[str]) -> int:
    example = "asrtool from-lhotse --prefix-speaker true cuts.jsonl.gz data/train"
    options = parser("from-lhotse", __doc__, example)
    options.usage = "asrtool from-lhotse [options] [CUTS] DATA_DIR"
    options.add_argument("cuts", nargs="?", type=Path, help="CUTS, a .jsonl or .jsonl.gz, unless the two that follow are given")
    options.add_argument("data_dir", type=Path)
    options.add_argument("--recordings", type=Path, help="manifest of recordings")
    options.add_argument("--supervisions", type=Path, help="manifest of supervisions")
    options.add_argument("--features", help="manifest of features, or 'cuts' for those that the cuts have: makes feats.scp too")
    options.add_argument(
        "--prefix-speaker", type=boolean, default=False, help="put the speaker before ids that do not begin so (default: false)"
    )
    options.add_argument("--replace-whitespace", metavar="TEXT", help="put this in place of white space in ids, _ say")
    options.add_argument(
        "--materialise",
        type=boolean,
        default=False,
        help="write DATA_DIR/audio where wav.scp cannot say what is read: mixed or padded cuts, other changes than speed and "
        "volume, archives (default: false)",
    )
    options.add_argument("--audio-format", choices=["flac", "wav"], default="flac", help="of that audio (default: flac)")
    options.add_argument("--rate", type=int, help="sampling rate in Hz of all; with --materialise true others are resampled")
    options.add_argument("--max-failed", type=float, default=0.0, help="share of utterances that may be left out (default: 0)")
    args = options.parse_args(arguments)
    if args.replace_whitespace is not None and (args.replace_whitespace == "" or args.replace_whitespace.split() == []):
        raise AsrtoolError("--replace-whitespace: expected something that is not white space, _ say")
    if (args.cuts is None) == (args.recordings is None) or (args.recordings is None) != (args.supervisions is None):
        raise AsrtoolError("expected either CUTS DATA_DIR, or --recordings R --supervisions S DATA_DIR; see --help")

    from asrtool.data.lhotse_import import ImportOptions, import_manifests

    settings = ImportOptions(
        args.prefix_speaker, args.replace_whitespace, args.materialise, args.audio_format, args.rate, args.max_failed
    )
    number = import_manifests(args.data_dir, settings, args.cuts, args.recordings, args.supervisions, args.features)
    print(f"{args.data_dir}: {number} utterances")
    return 0
