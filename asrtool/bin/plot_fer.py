"""Draw the validation frame error rate of a training run against the epoch."""

from pathlib import Path

from asrtool.arguments import parser
from asrtool.report.figures import draw_curves, validation_fer


def main(arguments: list[str]) -> int:
    options = parser("plot-fer", __doc__, "asrtool plot-fer exp/lstm exp/figures/fer_lstm.png")
    options.add_argument("exp_dir", type=Path, help="directory of a training run, with metrics.jsonl")
    options.add_argument("png", type=Path, help="the picture to write")
    options.add_argument("--title", default="Validation frame error rate")
    args = options.parse_args(arguments)
    draw_curves(args.png, validation_fer(args.exp_dir / "metrics.jsonl"), "FER (%)", args.title)
    return 0
