"""Import alignments: a Kaldi experiment with its model and tree, pdf-ids, or phones with times (CTM, TextGrid)."""

from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser

EXAMPLE = """asrtool import-alignment --lang data/lang kaldi/exp/tri3b_ali data/train exp/ali
      asrtool import-alignment --format text-pdf --num-pdfs 2000 pdf.txt data/train exp/ali
      asrtool import-alignment --format textgrid --lang data/lang mfa_output data/train exp/ali"""


def options():
    result = parser("import-alignment", __doc__, EXAMPLE)
    add = result.add_argument
    add("--format", default="", help="kaldi, text-pdf, ctm or textgrid (default: as the source looks)")
    add("--lang", type=existing_path, help="its phones.txt must be the experiment's; phones with times need it")
    add(
        "--alignments", type=existing_path, help="kaldi: archive of transition-ids, or directory with them, not in the experiment"
    )
    add("--model", type=existing_path, help="text-pdf, ctm, textgrid: directory with final.mdl and tree whose states are meant")
    add("--max-failed", type=float, default=0.05, help="share of utterances that may lack one (default 0.05)")
    add("--frame-subsampling-factor", type=int, help="3 for Kaldi's chain models (default: the experiment's, or 1)")
    add("--stretch", type=boolean, default=True, help="alignments at a lower rate become as long as the features (default true)")
    add("--length-tolerance", type=int, default=0, help="alignments so many frames too long or short are made to fit")
    add("--graph-dir", type=existing_path, dest="graph", help="a decoding graph to take along that is not in the experiment")
    add("--copy-graphs", type=boolean, default=True, help="take the experiment's own along (default true)")
    add("--write-phones", type=boolean, default=True, help="also phones.1.gz and phones.ctm (default true)")
    add("--write-pdfs", type=boolean, default=False, help="also pdf.1.gz")
    add("--num-pdfs", type=int, default=0, help="text-pdf without a model: default one more than the largest")
    add("--phone-map", type=existing_path, help="ctm, textgrid: lines 'their-label our-phone'")
    add("--word-ctm", type=existing_path, help="ctm: words with times, for phones that depend on the place in the word")
    add("--tier", default="", help="textgrid: the tier of phones (default: phones, or the like)")
    add("--frame-shift", type=float, dest="frame_shift_s", help="seconds (default: of the data directory)")
    add("--frame-offset", type=float, default=0.0, dest="frame_offset_s", help="seconds at which frame 0 begins (default 0)")
    add("source", type=Path, help="directory with final.mdl, tree, ali.*.gz; or pdf-ids, CTM file, folder of TextGrids")
    add("data_dir")
    add("out_dir")
    return result


def main(arguments: list[str]) -> int:
    args = vars(options().parse_args(arguments))
    places = [args.pop(name) for name in ("source", "data_dir", "out_dir")]

    from asrtool.train.gmm_import import ImportOptions, import_alignment

    import_alignment(*places, ImportOptions(**args))
    return 0
