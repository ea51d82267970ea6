"""Turn a CTM file relative to utterances into one relative to recordings, by a data directory's segments."""

from asrtool.arguments import boolean, existing_path, parser
from asrtool.bin._ctm_options import write_ctm
from asrtool.errors import AsrtoolError


def main(arguments: list[str]) -> int:
    example = "asrtool convert-ctm data/test/segments data/test/reco2file_and_channel utterances.ctm recordings.ctm"
    options = parser("convert-ctm", __doc__, example)
    options.add_argument("segments", type=existing_path)
    options.add_argument("reco2file_and_channel", type=existing_path, help="'recording file channel' lines")
    options.add_argument("ctm", type=existing_path, help="'utterance channel begin duration word [confidence]' lines")
    options.add_argument("out", help="file to write, - for standard output")
    options.add_argument("--skip-unknown", type=boolean, default=False, help="leave out utterances without a segment")
    args = options.parse_args(arguments)

    from asrtool.lattice.ctm import CtmLine, Recordings

    recordings = Recordings.read(args.segments, args.reco2file_and_channel)
    lines = []
    for number, line in enumerate(args.ctm.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split()
        try:
            utterance, channel, begin_s, duration_s, word, *confidence = fields
            parsed = CtmLine(utterance, channel, float(begin_s), float(duration_s), word, *map(float, confidence))
        except (ValueError, TypeError):
            raise AsrtoolError(
                f"{args.ctm}: line {number}: expected 'utterance channel begin duration word [confidence]', found '{line[:60]}'"
            ) from None
        if args.skip_unknown and utterance not in recordings.segments:
            continue
        lines.append(recordings.place(parsed))
    if not lines:
        raise AsrtoolError(f"{args.ctm}: no line that could be converted; is it of the same data as {args.segments}?")
    write_ctm(args.out, lines, 2)
    return 0
