"""Turn a CTM file relative to utterances into one relative to recordings, by a data directory's segments."""

from asrtool.arguments import boolean, existing_path, parser
from asrtool.errors import AsrtoolError
from asrtool.io.ctm import read_ctm, write_ctm


def main(arguments: list[str]) -> int:
    example = "asrtool convert-ctm data/test/segments data/test/reco2file_and_channel utterances.ctm recordings.ctm"
    options = parser("convert-ctm", __doc__, example)
    options.add_argument("segments", type=existing_path)
    options.add_argument("reco2file_and_channel", type=existing_path, help="'recording file channel' lines")
    options.add_argument("ctm", type=existing_path, help="'utterance channel begin duration word [confidence]' lines")
    options.add_argument("out", help="file to write, - for standard output")
    options.add_argument("--skip-unknown", type=boolean, default=False, help="leave out utterances without a segment")
    args = options.parse_args(arguments)

    from asrtool.lattice.ctm import Recordings

    recordings = Recordings.read(args.segments, args.reco2file_and_channel)
    words = read_ctm(args.ctm, "utterance")
    if args.skip_unknown:
        words = [word for word in words if word.recording in recordings.segments]
    if not words:
        raise AsrtoolError(f"{args.ctm}: no line that could be converted; is it of the same data as {args.segments}?")
    write_ctm(args.out, map(recordings.place, words))
    return 0
