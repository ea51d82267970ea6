"""Turn alignments (transition-ids) into phones: a sequence, with lengths, for every frame, or with times (CTM)."""

from asrtool.arguments import boolean, existing_path, parser
from asrtool.bin._lattice_options import source, target
from asrtool.errors import AsrtoolError
from asrtool.io.alignment import read_alignments, write_alignments, write_text_ints
from asrtool.io.atomic_file import write_text
from asrtool.io.tally import Tally


def options():
    result = parser("ali-to-phones", __doc__, "asrtool ali-to-phones --write-lengths true final.mdl exp/tri_ali phones.txt")
    result.add_argument("model", type=existing_path, help="final.mdl that the alignments were made with")
    result.add_argument("alignments", type=source, help="archive or directory with ali.*.gz")
    result.add_argument("phones", type=target, help="file to write; ark,t:FILE for text (CTM and lengths are text)")
    result.add_argument("--per-frame", type=boolean, default=False, help="a phone for every frame")
    result.add_argument("--write-lengths", type=boolean, default=False, help="phones and their frames: 'phone frames ; ...'")
    result.add_argument("--ctm-output", type=boolean, default=False, help="a line a phone: utterance 1 begin duration phone")
    result.add_argument("--frame-shift", type=float, default=0.01, help="seconds between frames, for CTM (default 0.01)")
    result.add_argument("--phone-symbol-table", type=existing_path, help="phones.txt; phones by name in CTM")
    result.add_argument("--max-failed", type=float, default=0.0, help="share of utterances that may fail (default 0)")
    return result


def main(arguments: list[str]) -> int:
    args = options().parse_args(arguments)
    if args.per_frame + args.write_lengths + args.ctm_output > 1:
        raise AsrtoolError("give one of --per-frame, --write-lengths and --ctm-output")

    from asrtool.hmm.transition_model import TransitionModel
    from asrtool.io.symbols import SymbolTable
    from asrtool.lattice.ctm import WordTime, ctm_digits, ctm_words

    model = TransitionModel.read_file(args.model)
    symbol = SymbolTable.read(args.phone_symbol_table).symbol if args.phone_symbol_table else str
    tally = Tally(max_failed=args.max_failed)
    phones, lines = {}, []
    for utterance, alignment in read_alignments(args.alignments).items():
        try:
            names, lengths = model.phone_segments(alignment)
        except AsrtoolError as error:
            tally.failed(f"{args.alignments}: {utterance}", str(error))
            continue
        tally.ok()
        if args.write_lengths:
            pairs = (f"{name} {length}" for name, length in zip(names, lengths))
            lines.append(f"{utterance} {' ; '.join(pairs)}".rstrip())
        elif args.ctm_output:
            times = [WordTime(*one) for one in zip(names.tolist(), (lengths.cumsum() - lengths).tolist(), lengths.tolist())]
            found = ctm_words(utterance, times, args.frame_shift, symbol, confidences=False)
            lines += [word.line(ctm_digits(args.frame_shift)) for word in found]
        else:
            phones[utterance] = names.repeat(lengths) if args.per_frame else names
    tally.close()
    if args.write_lengths or args.ctm_output:
        write_text(args.phones.path, "".join(f"{line}\n" for line in lines))
    else:
        (write_text_ints if args.phones.text else write_alignments)(args.phones.path, phones)
    return 0
