"""Import a Kaldi experiment's alignments, model and tree, checked against a data directory."""

from pathlib import Path

from asrtool.arguments import parser


def main(arguments: list[str]) -> int:
    example = "asrtool import-alignment --lang data/lang kaldi/exp/tri3b_ali data/train exp/ali"
    options = parser("import-alignment", __doc__, example)
    options.add_argument("--lang", type=Path, help="its phones.txt must be the experiment's")
    options.add_argument("--max-failed", type=float, default=0.05, help="share of utterances that may lack one (default 0.05)")
    options.add_argument("--frame-subsampling-factor", type=int, default=1, help="3 for Kaldi's chain models (default 1)")
    options.add_argument("experiment", help="directory with final.mdl, tree, ali.*.gz, phones.txt")
    options.add_argument("data_dir")
    options.add_argument("out_dir")
    args = options.parse_args(arguments)

    from asrtool.train.gmm_import import ImportOptions, import_alignment

    import_options = ImportOptions(args.max_failed, args.lang, max(args.frame_subsampling_factor, 1))
    import_alignment(args.experiment, args.data_dir, args.out_dir, import_options)
    return 0
