"""Make a dictionary directory for Mandarin words: pinyin initials and finals with tone, from a word list."""

import sys

from asrtool.arguments import boolean, parser
from asrtool.lang.pinyin import make_dict


def main(arguments: list[str]) -> int:
    options = parser("make-pinyin-dict", __doc__, "asrtool make-pinyin-dict data/local/words.txt data/local/dict")
    options.add_argument("--oov-word", default="<UNK>", help="the entry for unknown words, spoken noise (default <UNK>)")
    options.add_argument("--heteronyms", type=boolean, default=False, help="all readings of single characters (default false)")
    options.add_argument("words", help="a word a line; further fields are passed over")
    options.add_argument("dict_dir", help="the directory to write, for prepare-lang")
    args = options.parse_args(arguments)
    number = make_dict(args.words, args.dict_dir, args.oov_word, args.heteronyms)
    print(f"{args.dict_dir}: {number} words", file=sys.stderr)
    return 0
