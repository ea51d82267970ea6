"""Compare the error rates of two systems: bootstrap intervals, probability of improvement, matched-pairs significance."""

from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.bin._score_options import add_text_options, preparation_of
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import read_scp
from asrtool.score.comparison import compare, load_system


def main(arguments: list[str]) -> int:
    options = parser("compare-wer", __doc__, "asrtool compare-wer --metric cer exp/tri/decode_test exp/lstm/decode_test")
    options.add_argument("first", type=existing_path, help="a scored decoding directory, or a file of hypotheses (text or .trn)")
    options.add_argument("second", type=existing_path, help="the other; in the figures it is held against the first")
    options.add_argument("--text", type=existing_path, help="references for files of hypotheses (text or .trn)")
    options.add_argument("--utt2spk", type=existing_path, help="draw whole speakers in the bootstrap, not utterances")
    options.add_argument("--num-samples", type=int, default=10000, help="bootstrap samples (default 10000)")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--output", type=Path, help="write the report to this file too")
    add_text_options(options)
    args = options.parse_args(arguments)
    if args.num_samples < 2:
        raise AsrtoolError(f"--num-samples {args.num_samples}: expected 2 or more; 10000 is usual")
    preparation = preparation_of(args)
    systems = [load_system(path, args.text, preparation) for path in (args.first, args.second)]
    utt2spk = read_scp(args.utt2spk) if args.utt2spk else None
    lines = compare(*systems, args.metric, utt2spk, args.num_samples, args.seed)
    report = "".join(f"{line}\n" for line in [f"1: {args.first}", f"2: {args.second}", *lines])
    print(report, end="")
    if args.output:
        write_text(args.output, report)
    return 0
