"""Write a model as an ONNX file: windows and state in, log-likelihoods and state out."""

import sys
from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.errors import AsrtoolError

LARGEST_DIFFERENCE = 1e-3  # relative; rounding in float32 stays far below


def main(arguments: list[str]) -> int:
    options = parser("export-onnx", __doc__, "asrtool export-onnx exp/lstm/final_ema.pt lstm.onnx")
    options.add_argument("--chunk-windows", type=int, help="windows in a chunk, for runtimes without free sizes (default: any)")
    options.add_argument(
        "--output",
        choices=("loglikes", "log-posteriors", "logits"),
        default="loglikes",
        help="loglikes: log posteriors minus log priors (default)",
    )
    options.add_argument("model", type=existing_path)
    options.add_argument("out_file", type=Path)
    given = options.parse_args(arguments)
    if given.chunk_windows is not None and given.chunk_windows < 1:
        raise AsrtoolError("--chunk-windows must be at least 1")

    from asrtool.nnet.export_onnx import check_onnx, export_onnx
    from asrtool.nnet.model_file import load_model

    bundle, output = load_model(given.model), given.output.replace("-", "_")
    export_onnx(bundle, given.out_file, given.chunk_windows, output)
    try:
        difference = check_onnx(bundle, given.out_file, given.chunk_windows or 50, output)
    except AsrtoolError as error:
        print(f"WARNING: {error}", file=sys.stderr)
        return 0
    print(f"{given.out_file}: largest difference between onnxruntime and the model: {difference:.1e}", file=sys.stderr)
    if not difference < LARGEST_DIFFERENCE:
        raise AsrtoolError(f"{given.out_file}: onnxruntime gives other outputs than the model; the file is of no use here")
    return 0
