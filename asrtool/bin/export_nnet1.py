"""Write a model for Kaldi's nnet1: final.nnet, final.feature_transform, prior counts, options of the features."""

from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser


def main(arguments: list[str]) -> int:
    options = parser("export-nnet1", __doc__, "asrtool export-nnet1 exp/dnn/final_ema.pt exp/dnn_nnet1")
    options.add_argument("--binary", type=boolean, default=True, help="false: text, with 7 digits a number (default true)")
    options.add_argument("model", type=existing_path)
    options.add_argument("out_dir", type=Path)
    given = options.parse_args(arguments)

    from asrtool.nnet.model_file import load_model
    from asrtool.nnet.nnet1_export import export_nnet1

    print(export_nnet1(load_model(given.model), given.out_dir, given.binary), end="")
    return 0
