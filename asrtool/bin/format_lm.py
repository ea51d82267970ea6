"""Make a lang directory with G.fst from a lang directory and an ARPA language model, as utils/format_lm.sh."""

from asrtool.arguments import existing_path, parser
from asrtool.lang.format_lm import format_lm


def main(arguments: list[str]) -> int:
    options = parser("format-lm", __doc__, "asrtool format-lm data/lang data/local/lm/lm3.arpa.gz data/lang_test")
    options.add_argument(
        "--classes", type=existing_path, help="'CLASS [weight] word ...' lines: words of the model's class symbols"
    )
    options.add_argument("lang_dir", help="what prepare-lang wrote")
    options.add_argument("arpa", help="the model, gzipped or not")
    options.add_argument("out_lang_dir", help="the directory to write: a copy of lang_dir and G.fst")
    args = options.parse_args(arguments)
    format_lm(args.lang_dir, args.arpa, args.out_lang_dir, args.classes)
    return 0
