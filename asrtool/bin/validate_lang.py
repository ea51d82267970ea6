"""Check a lang directory: symbol tables, phone lists, topology, L.fst, L_disambig.fst and, where there is one, G.fst."""

from asrtool.arguments import parser
from asrtool.lang.validate import validate_lang


def main(arguments: list[str]) -> int:
    options = parser("validate-lang", __doc__, "asrtool validate-lang data/lang")
    options.add_argument("lang_dir")
    args = options.parse_args(arguments)
    print(f"{args.lang_dir}: {validate_lang(args.lang_dir)}")
    return 0
