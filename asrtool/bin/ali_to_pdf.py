"""Turn alignments (transition-ids) into pdf-ids, from 0."""

from asrtool.arguments import existing_path, parser
from asrtool.bin._lattice_options import source, target
from asrtool.errors import AsrtoolError
from asrtool.io.alignment import read_alignments, write_alignments, write_text_ints


def main(arguments: list[str]) -> int:
    options = parser("ali-to-pdf", __doc__, "asrtool ali-to-pdf exp/tri_ali/final.mdl exp/tri_ali ark,t:pdf.txt")
    options.add_argument("model", type=existing_path, help="final.mdl that the alignments were made with")
    options.add_argument("alignments", type=source, help="archive or directory with ali.*.gz")
    options.add_argument("pdfs", type=target, help="archive to write; ark,t:FILE for text")
    args = options.parse_args(arguments)

    from asrtool.hmm.transition_model import TransitionModel

    model = TransitionModel.read_file(args.model)
    pdfs = {}
    for utterance, alignment in read_alignments(args.alignments).items():
        if len(alignment) and not (alignment.min() > 0 and alignment.max() <= model.num_transition_ids):
            raise AsrtoolError(
                f"{args.alignments}: {utterance}: transition-id {alignment.max()}, {args.model} has {model.num_transition_ids}; "
                "give the model they were made with"
            )
        pdfs[utterance] = model.tid_to_pdf[alignment]
    (write_text_ints if args.pdfs.text else write_alignments)(args.pdfs.path, pdfs)
    return 0
