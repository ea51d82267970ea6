"""Write a part of a data directory: some speakers, some utterances, or so many of them."""

from pathlib import Path

from asrtool.arguments import parser
from asrtool.data.data_dir import DataDir, select
from asrtool.data.subset import choose_number, read_list, utterances_of_speakers
from asrtool.errors import AsrtoolError


def main(arguments: list[str]) -> int:
    options = parser("subset-data-dir", __doc__, "asrtool subset-data-dir --shortest 1000 data/train data/train_1kshort")
    options.add_argument("source", type=Path)
    options.add_argument("destination", type=Path)
    choice = options.add_mutually_exclusive_group(required=True)
    choice.add_argument("--speakers", metavar="FILE", help="all utterances of the speakers listed")
    choice.add_argument("--utt-list", metavar="FILE", help="the utterances listed")
    for name, summary in (
        ("first", "the first N utterances"),
        ("last", "the last N utterances"),
        ("shortest", "the N shortest utterances"),
        ("even", "N utterances spread evenly over the list"),
        ("per-spk", "the first N utterances of every speaker"),
    ):
        choice.add_argument(f"--{name}", metavar="N", type=int, help=summary)
    args = options.parse_args(arguments)
    data = DataDir.load(args.source)
    if args.speakers:
        utterances = utterances_of_speakers(data, read_list(args.speakers), args.speakers)
    elif args.utt_list:
        utterances = read_list(args.utt_list)
        missing = sorted(set(utterances) - set(data.utt2spk))
        if missing:
            raise AsrtoolError(f"{args.utt_list}: {missing[0]}: not in {args.source} (and {len(missing) - 1} more)")
    else:
        how = next(name for name in ("first", "last", "shortest", "even", "per_spk") if getattr(args, name) is not None)
        utterances = choose_number(data, how, getattr(args, how))
    if args.destination.resolve() == args.source.resolve():
        raise AsrtoolError(f"{args.destination}: is the source itself; give another directory")
    select(data.path, args.destination, utterances)
    print(f"{args.destination}: {len(set(utterances))} of {len(data.utt2spk)} utterances")
    return 0
