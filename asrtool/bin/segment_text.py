"""Split text without spaces (Mandarin) into the words of a list: longest match, or most probable by unigrams."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.lang.segment import METHODS, Segmenter, open_lines, read_word_costs, read_words, segment_lines, write_blocks


def main(arguments: list[str]) -> int:
    options = parser("segment-text", __doc__, "asrtool segment-text --lexicon lexicon.txt --utterance-ids true text text.seg")
    options.add_argument("--lexicon", type=existing_path, required=True, help="word list, lexicon or words.txt; see --method")
    options.add_argument(
        "--method", choices=METHODS, default=METHODS[0], help="unigram needs counts ('word count' lines) or an ARPA file as list"
    )
    options.add_argument(
        "--utterance-ids", type=boolean, default=False, help="lines begin with an id, which stays (default false)"
    )
    options.add_argument("--keep-spaces", type=boolean, default=False, help="spaces always part words (default: only Latin ones)")
    options.add_argument("input", type=existing_path, help="text, gzipped or not")
    options.add_argument("output", type=Path, help="gzipped if its name ends in .gz")
    args = options.parse_args(arguments)
    words = (read_words if args.method == METHODS[0] else read_word_costs)(args.lexicon)
    segmenter = Segmenter(words, args.method, args.keep_spaces)
    blocks = segment_lines(open_lines(args.input), segmenter, args.utterance_ids)
    num_lines, num_words = write_blocks(args.output, blocks, args.utterance_ids)
    print(f"{args.output}: {num_lines} lines, {num_words} words", file=sys.stderr)
    return 0
