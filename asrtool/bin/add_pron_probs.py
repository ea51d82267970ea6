"""Give a dictionary probabilities of its pronunciations, and of silence beside them, from counts of aligned speech."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.errors import AsrtoolError
from asrtool.lang.pronunciation_probs import add_pron_probs


def main(arguments: list[str]) -> int:
    example = "asrtool add-pron-probs data/local/dict tri3/{pron,sil,pron_bigram}_counts_nowb.txt data/local/dict_prons"
    options = parser("add-pron-probs", __doc__, example)
    options.add_argument(
        "--max-normalize", type=boolean, default=True, help="a word's likeliest pronunciation gets 1 (default true)"
    )
    options.add_argument("dict_dir", type=existing_path, help="dictionary that the speech was aligned with")
    options.add_argument("pron_counts", type=existing_path, help="pron_counts_nowb.txt of steps/get_prons.sh")
    options.add_argument("more", nargs="+", metavar="[sil_counts pron_bigram_counts] out_dir", help="and the directory to write")
    args = options.parse_args(arguments)
    if len(args.more) not in (1, 3):
        raise AsrtoolError("expected 3 or 5 arguments: dict, pron counts, perhaps silence counts and bigram counts, out-dir")
    *silence, out_dir = map(Path, args.more)
    if out_dir.resolve() == args.dict_dir.resolve():
        raise AsrtoolError(f"{out_dir}: is the dictionary itself; give another directory")
    lexicon = add_pron_probs(args.dict_dir, args.pron_counts, out_dir, tuple(silence) if silence else None, args.max_normalize)
    rare = sorted(lexicon, key=lambda row: float(row[1]))[:8]
    print(f"{out_dir}: {len(lexicon)} pronunciations; of low probability: ", file=sys.stderr, end="")
    print("; ".join(f"{pron} {share}" for _, share, pron in rare), file=sys.stderr)
    return 0
