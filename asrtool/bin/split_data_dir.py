"""Split a data directory: into N parts by speaker, by lists of speakers, or into training and validation."""

from pathlib import Path

from asrtool.arguments import boolean, parser
from asrtool.data.data_dir import DataDir, select
from asrtool.data.subset import read_list, split_by_speaker, train_valid_speakers, utterances_of_speakers
from asrtool.errors import AsrtoolError

EXAMPLE = """asrtool split-data-dir --num-parts 4 data/train                        (data/train/split4/1 .. 4)
      asrtool split-data-dir --speaker-lists train.txt,dev.txt data/all data/train data/dev
      asrtool split-data-dir --valid-share 0.05 data/all data/train data/valid"""


def main(arguments: list[str]) -> int:
    options = parser("split-data-dir", __doc__, EXAMPLE)
    options.add_argument("source", type=Path)
    options.add_argument("destinations", type=Path, nargs="*", help="one for each list; or training and validation")
    options.add_argument("--num-parts", type=int, help="write SOURCE/splitN/1 .. N")
    options.add_argument("--per-utt", type=boolean, default=False, help="with --num-parts: cut anywhere (splitNutt)")
    options.add_argument("--speaker-lists", help="files of speaker ids, separated by commas")
    options.add_argument("--valid-share", type=float, help="share of the utterances for validation; its speakers are its own")
    options.add_argument("--seed", type=int, default=0, help="of the choice of speakers (default: %(default)s)")
    args = options.parse_args(arguments)
    if sum(option is not None for option in (args.num_parts, args.speaker_lists, args.valid_share)) != 1:
        raise AsrtoolError("give one of --num-parts, --speaker-lists and --valid-share")
    if args.num_parts is not None:
        if args.destinations:
            raise AsrtoolError("--num-parts takes no destinations: the parts go to SOURCE/splitN")
        paths = split_by_speaker(args.source, args.num_parts, args.per_utt)
        print(f"{paths[0].parent}: {len(paths)} parts")
        return 0
    data = DataDir.load(args.source)
    if args.speaker_lists is not None:
        files = args.speaker_lists.split(",")
        lists = [(file, read_list(file)) for file in files]
    else:
        train, valid = train_valid_speakers(data, args.valid_share, args.seed)
        lists = [("training", train), ("validation", valid)]
    if len(lists) != len(args.destinations):
        raise AsrtoolError(f"{len(lists)} lists of speakers need as many destinations, {len(args.destinations)} were given")
    seen: dict[str, str] = {}
    for where, speakers in lists:
        for speaker in speakers:
            if seen.setdefault(speaker, where) != where:
                raise AsrtoolError(f"{where}: speaker '{speaker}' is in {seen[speaker]} too; a speaker may be in one part only")
    for (where, speakers), destination in zip(lists, args.destinations, strict=True):
        utterances = utterances_of_speakers(data, speakers, where)
        select(data.path, destination, utterances)
        print(f"{destination}: {len(speakers)} speakers, {len(utterances)} utterances")
    return 0
