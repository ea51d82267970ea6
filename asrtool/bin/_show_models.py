"""What `asrtool show` prints of models and of alignments by them."""

from collections.abc import Iterator

from asrtool.bin._lattice_options import source
from asrtool.bin._show_display import MODEL, PHONES, UTTERANCES, Display, argument, as_text, chosen, vector
from asrtool.io.alignment import read_alignments
from asrtool.io.kaldi_binary import KaldiReader
from asrtool.io.symbols import SymbolTable
from asrtool.io.tally import Tally


def _transition_model(path):
    from asrtool.hmm.transition_model import TransitionModel

    return TransitionModel.read_file(path)


def _transitions(args) -> Iterator[str]:
    from asrtool.report.show_model import transition_lines

    counts = vector(args.occupancies) if args.occupancies else None
    return transition_lines(_transition_model(args.model), SymbolTable.read(args.phones), counts)


def _alignments(args) -> Iterator[str]:
    from asrtool.errors import AsrtoolError
    from asrtool.report.show_model import alignment_lines

    model, phones, tally = _transition_model(args.model), SymbolTable.read(args.phones), Tally(max_failed=0)
    for utterance, alignment in chosen(read_alignments(args.alignments).items(), args.utterances, args.alignments):
        try:
            yield from alignment_lines(model, phones, utterance, alignment)
            tally.ok()
        except AsrtoolError as error:
            tally.failed(f"{args.alignments}: {utterance}", str(error))
    tally.close()


def _model(with_gmm: bool | None):
    """Lines on a model; `with_gmm` None shows GMMs where the file has them."""

    def lines(args) -> Iterator[str]:
        from asrtool.gmm.model import read_model
        from asrtool.hmm.transition_model import TransitionModel
        from asrtool.report.show_model import model_lines

        with KaldiReader.open(args.model) as reader:
            model = TransitionModel.read(reader)
            has_gmm = not reader.eof and reader.peek_token() == "<DIMENSION>"
        return model_lines(model, read_model(args.model)[1] if with_gmm or (with_gmm is None and has_gmm) else None)

    return lines


def _model_text(args) -> Iterator[str]:
    from asrtool.gmm.model import read_model

    for part in read_model(args.model):
        yield from as_text(part)


DISPLAYS = {
    "show-transitions": Display(
        "every transition-state and transition-id, with its probability", "phones.txt final.mdl final.occs",
        (PHONES, MODEL, argument("occupancies", nargs="?", help="final.occs: the pdfs' counts beside them")), _transitions,
    ),
    "show-alignments": Display(
        "alignments in groups by phone", "phones.txt final.mdl exp/tri_ali 0001-000010011",
        (PHONES, MODEL, argument("alignments", type=source, help="archive or directory"), UTTERANCES), _alignments,
    ),
    "am-info": Display("numbers of phones, pdfs and transitions of any model", "final.mdl", (MODEL,), _model(False)),
    "gmm-info": Display("the same of GMMs, with their dimension and number", "final.mdl", (MODEL,), _model(True)),
    "model-info": Display("am-info or gmm-info, whichever the file allows", "final.mdl", (MODEL,), _model(None)),
    "gmm-copy": Display("a GMM model as text", "final.mdl", (MODEL,), _model_text, end=""),
}  # fmt: skip
