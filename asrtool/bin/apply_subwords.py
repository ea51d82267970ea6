"""Cut the words of a text into the units of a subword model, or join units to words."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.errors import AsrtoolError
from asrtool.lang.segment import open_lines, write_blocks
from asrtool.lang.subwords import SubwordModel, convert_lines


def main(arguments: list[str]) -> int:
    options = parser("apply-subwords", __doc__, "asrtool apply-subwords --model exp/bpe/bpe.model text text.units")
    options.add_argument("--model", type=existing_path, help="what train-subwords wrote")
    options.add_argument("--decode", type=boolean, default=False, help="from units to words; needs no model (default false)")
    options.add_argument("--mark-words", type=boolean, default=True, help="units that begin a word carry the mark (default true)")
    options.add_argument("--utterance-ids", type=boolean, default=False, help="lines start with an utterance id (default false)")
    options.add_argument("input", type=existing_path, help="text, gzipped or not")
    options.add_argument("output", type=Path, help="gzipped if its name ends in .gz")
    args = options.parse_args(arguments)
    if args.model is None and not args.decode:
        raise AsrtoolError("--model is missing; only --decode true goes without")
    model = None if args.decode else SubwordModel(args.model, args.mark_words)
    blocks = convert_lines(open_lines(args.input), model, args.utterance_ids)
    num_lines, num_units = write_blocks(args.output, blocks, args.utterance_ids)
    print(f"{args.output}: {num_lines} lines, {num_units} {'words' if args.decode else 'units'}", file=sys.stderr)
    return 0
