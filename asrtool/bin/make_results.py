"""Write RESULTS.md from results.json, and print its table."""

from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.io.atomic_file import write_text
from asrtool.report.results_page import (
    all_results_table,
    network_table,
    provenance,
    published_table,
    read_published,
    sequence_table,
)
from asrtool.score.results import read_results


def main(arguments: list[str]) -> int:
    options = parser("make-results", __doc__, "asrtool make-results --networks lstm,dnn exp/results.json exp/RESULTS.md")
    options.add_argument("results", type=existing_path, help="results.json of the recipe")
    options.add_argument("page", type=Path, help="the page to write")
    options.add_argument("--title", default="Results")
    options.add_argument("--note", default="", help="a sentence under the title: what the data are")
    options.add_argument("--set", dest="dataset", default="test", help="the set of the table of networks")
    options.add_argument("--networks", default="lstm,dnn", help="the columns of the table of networks")
    options.add_argument("--exp-dir", type=Path, help="compare the trainings in its folders of the networks' names")
    options.add_argument("--figures", default="", help="pictures to show, separated by commas, relative to the page")
    options.add_argument("--command", default="", help="the recipe's command line, to be recorded")
    options.add_argument("--commit", default="unknown")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument(
        "--sequence",
        default="",
        help="NETWORK=NETWORK_mmi+NETWORK_smbr,...: networks that were trained further by sequence criteria",
    )
    options.add_argument("--published", type=existing_path, help="figures to stand beside: system, set, figure, what it is; tabs")
    args = options.parse_args(arguments)

    from asrtool.report.comparison import comparison_table, read_network  # loads torch

    results = read_results(args.results)
    table = network_table(results, args.dataset, args.networks.split(","))
    lines = [f"# {args.title}", "", *([args.note, ""] if args.note else []), *table, ""]
    lines += [f"![{Path(figure).stem}]({figure})" for figure in args.figures.split(",") if figure]
    if args.sequence:
        pairs = dict(pair.split("=", 1) for pair in args.sequence.split(","))
        lines += ["", "## Sequence training", "", *sequence_table(results, args.dataset, pairs), ""]
    if args.published:
        lines += [
            "",
            "## Beside published figures",
            "",
            "Figures of others, as published, on the data that the last column names; none was made here.",
            "",
        ]
        lines += published_table(results, read_published(args.published))
    if args.exp_dir:
        networks = [read_network(args.exp_dir / network) for network in args.networks.split(",")]
        lines += ["", "## Networks", "", *comparison_table(networks, results)]
    lines += ["", "## All results", "", *all_results_table(results), "", "## How they were made", ""]
    lines += provenance(args.command, args.commit, args.seed)
    write_text(args.page, "\n".join(lines) + "\n")
    print("\n".join(table))
    return 0
