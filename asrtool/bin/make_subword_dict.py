"""Make a dictionary directory for the units of a subword model: each unit's letters, or pinyin, are its phones."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.lang.subwords import SubwordModel, make_subword_dict


def main(arguments: list[str]) -> int:
    options = parser("make-subword-dict", __doc__, "asrtool make-subword-dict exp/bpe/bpe.model data/local/dict_bpe")
    options.add_argument("--pronunciations", choices=("grapheme", "pinyin"), default="grapheme")
    options.add_argument("--mark-words", type=boolean, default=True, help="units that begin a word carry the mark (default true)")
    options.add_argument("--oov-word", default="<UNK>", help="stands for unknown words (default <UNK>)")
    options.add_argument("model", type=existing_path, help="what train-subwords wrote")
    options.add_argument("dict_dir", type=Path, help="the directory to write")
    args = options.parse_args(arguments)
    count = make_subword_dict(SubwordModel(args.model, args.mark_words), args.dict_dir, args.pronunciations, args.oov_word)
    print(f"{args.dict_dir}: {count} entries", file=sys.stderr)
    return 0
