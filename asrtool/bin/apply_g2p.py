"""Pronounce words with a model of train-g2p: lexicon lines, of each word the likeliest pronunciations."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.tally import Tally


def main(arguments: list[str]) -> int:
    options = parser("apply-g2p", __doc__, "asrtool apply-g2p --nbest 3 exp/g2p/g2p.arpa.gz oov_words.txt oov_lexicon.txt")
    options.add_argument("--nbest", type=int, default=1, help="pronunciations of a word, at most (default 1)")
    options.add_argument("--var-mass", type=float, default=1.0, help="no more once they are so probable together (default 1)")
    options.add_argument("--probabilities", type=boolean, default=False, help="write 'word probability phones' (default false)")
    options.add_argument("--max-normalize", type=boolean, default=False, help="a word's likeliest one gets 1 (default false)")
    options.add_argument("--max-failed", type=float, default=1.0, help="share of words that may have none (default 1)")
    options.add_argument("model", type=existing_path, help="what train-g2p wrote")
    options.add_argument("words", type=existing_path, help="the first field of each line is a word")
    options.add_argument("lexicon", help="file to write, - for standard output")
    args = options.parse_args(arguments)
    if args.nbest < 1 or not 0.0 < args.var_mass <= 1.0:
        raise AsrtoolError(f"--nbest {args.nbest} --var-mass {args.var_mass}: expected 1 or more, and above 0 to 1")

    from asrtool.io.whole_file import read_text
    from asrtool.lang.g2p import G2p

    model = G2p.load(args.model)
    words = dict.fromkeys(line.split()[0] for line in read_text(args.words).split("\n") if line.strip())
    tally, lines = Tally("words", args.max_failed), []
    for word in words:
        found, mass = model.pronounce(word, args.nbest), 0.0
        if not found:
            tally.failed(word, f"no pronunciation: {model.name} lacks {model.unknown_letters(word)}")
            continue
        tally.ok()
        scale = found[0][1] if args.max_normalize else 1.0
        for phones, probability in found:
            number = f"{probability / scale:.6g} " if args.probabilities else ""
            if mass < args.var_mass and not number.startswith("0 "):
                lines.append(f"{word} {number}{' '.join(phones)}\n")
            mass += probability
    tally.close()
    if args.lexicon == "-":
        sys.stdout.write("".join(lines))
    else:
        write_text(Path(args.lexicon), "".join(lines))
    return 0
