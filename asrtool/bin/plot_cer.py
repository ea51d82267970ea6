"""Draw the error rate of the intermediate models of a network against the epoch."""

from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.report.figures import draw_curves, intermediate_error_rates
from asrtool.score.results import read_results


def main(arguments: list[str]) -> int:
    options = parser("plot-cer", __doc__, "asrtool plot-cer exp/results.json lstm test_subset exp/figures/cer_lstm.png")
    options.add_argument("results", type=existing_path, help="results.json of the recipe")
    options.add_argument("network", help="systems are named <network>_<model>@<epoch>")
    options.add_argument("dataset", help="the set that was decoded")
    options.add_argument("png", type=Path, help="the picture to write")
    options.add_argument("--title", default="Character error rate")
    options.add_argument("--metric", default="CER")
    args = options.parse_args(arguments)
    series = intermediate_error_rates(read_results(args.results), args.network, args.dataset)
    draw_curves(args.png, series, f"{args.metric} (%)", args.title)
    return 0
