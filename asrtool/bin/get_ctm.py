"""Write the words of a decoding with times (CTM files) for a range of LM weights: DECODE_DIR/score_LMWT/NAME.ctm."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.errors import AsrtoolError
from asrtool.io.ctm import write_ctm


def options():
    result = parser("get-ctm", __doc__, "asrtool get-ctm data/test exp/tri/graph exp/tri/decode_test")
    result.add_argument("data_dir", type=existing_path, help="what was decoded; NAME is its name")
    result.add_argument("lang_dir", type=existing_path, help="graph or lang directory, with words.txt and phones/")
    result.add_argument("decode_dir", type=existing_path, help="with lat.*.gz")
    result.add_argument("--model", type=existing_path, help="final.mdl (default: of DECODE_DIR, or of the directory above it)")
    result.add_argument("--min-lmwt", type=int, default=5)
    result.add_argument("--max-lmwt", type=int, default=20)
    result.add_argument("--word-ins-penalty", type=float, default=0.0, help="for every word")
    result.add_argument("--frame-shift", type=float, default=0.01, help="seconds between frames (default 0.01)")
    result.add_argument("--use-segments", type=boolean, default=True, help="times in recordings where there are segments")
    result.add_argument("--print-silence", type=boolean, default=False, help="also <eps>, what lies between words")
    result.add_argument("--confidence", type=boolean, default=False, help="with confidences; times are averages then")
    result.add_argument("--decode-mbr", type=boolean, default=True, help="with --confidence: words of the least expected error")
    result.add_argument("--max-failed", type=float, default=0.1, help="share of utterances that may fail (default 0.1)")
    return result


def main(arguments: list[str]) -> int:
    args = options().parse_args(arguments)
    if not 0 < args.min_lmwt <= args.max_lmwt:
        raise AsrtoolError(f"--min-lmwt {args.min_lmwt} --max-lmwt {args.max_lmwt}: expected 0 < min <= max")
    model = args.model or next(
        (path for path in (args.decode_dir / "final.mdl", args.decode_dir.parent / "final.mdl") if path.is_file()), None
    )
    if model is None:
        raise AsrtoolError(f"{args.decode_dir}: neither final.mdl nor ../final.mdl is there; give --model")

    from asrtool.data.data_dir import DataDir
    from asrtool.hmm.transition_model import TransitionModel
    from asrtool.io.symbols import SymbolTable
    from asrtool.io.tally import Tally
    from asrtool.lattice.archive import read_lattices
    from asrtool.lattice.ctm import Recordings, WordAligner, ctm_digits
    from asrtool.lattice.ctm_sweep import CtmOptions, sweep_ctm

    data = DataDir.load(args.data_dir)
    recordings = None
    if args.use_segments and data.segments:
        channels = args.data_dir / "reco2file_and_channel"
        recordings = Recordings.read(args.data_dir / "segments", channels if channels.is_file() else None)
    sweep = CtmOptions(
        lm_weights=tuple(range(args.min_lmwt, args.max_lmwt + 1)),
        word_insertion_penalty=args.word_ins_penalty,
        frame_shift_s=args.frame_shift,
        print_silence=args.print_silence,
        confidence=args.confidence,
        decode_mbr=args.decode_mbr,
    )
    aligner = WordAligner.of_graph_dir(args.lang_dir, TransitionModel.read_file(model))
    tally = Tally(max_failed=args.max_failed)
    symbol = SymbolTable.read(args.lang_dir / "words.txt").symbol
    words, missing = sweep_ctm(read_lattices(args.decode_dir), aligner, symbol, recordings, sweep, tally, data.utterances)
    for utterance in missing:
        tally.failed(utterance, f"no lattice in {args.decode_dir}")
    tally.close()
    name = args.data_dir.resolve().name
    for weight, found in words.items():
        write_ctm(args.decode_dir / f"score_{weight}" / f"{name}.ctm", found, ctm_digits(args.frame_shift))
    first, last = (Path(args.decode_dir) / f"score_{weight}" / f"{name}.ctm" for weight in (args.min_lmwt, args.max_lmwt))
    print(f"{first} to {last}", file=sys.stderr)
    return 0
