"""Count the pronunciations of a directory's prons.N.gz and the silences beside them, into Kaldi's files for add-pron-probs."""

import sys

from asrtool.arguments import existing_path, parser
from asrtool.io.symbols import SymbolTable
from asrtool.lang.pron_counts import count_prons, pron_files, write_counts


def main(arguments: list[str]) -> int:
    options = parser("count-prons", __doc__, "asrtool count-prons data/lang exp/tri3_ali")
    options.add_argument("lang_dir", type=existing_path, help="with words.txt, phones.txt and phones/")
    options.add_argument("dir", type=existing_path, help="with prons.N.gz; gets pron_counts.txt, sil_counts_nowb.txt, ...")
    args = options.parse_args(arguments)
    words, phones = (SymbolTable.read(args.lang_dir / name) for name in ("words.txt", "phones.txt"))
    counts = count_prons(pron_files(args.dir), words, phones)
    write_counts(counts, args.dir, words, phones, (args.lang_dir / "phones" / "word_boundary.int").is_file())
    utterances, spoken = len(counts.sentences), sum(counts.prons.values())
    print(
        f"{args.dir}: {spoken} words and silences in {utterances} utterances, {len(counts.prons)} pronunciations", file=sys.stderr
    )
    return 0
