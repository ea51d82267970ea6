"""Plot sequence trainings against the epoch: losses, word error rate, staleness, silence, frames and utterances left out."""

from pathlib import Path

from asrtool.arguments import existing_path, parser


def main(arguments: list[str]) -> int:
    options = parser("plot-sequence", __doc__, "asrtool plot-sequence --title sMBR exp/lstm_smbr exp/figures/smbr.png")
    options.add_argument("--title", default="", help="default: the directories' names")
    options.add_argument("experiments", type=existing_path, nargs="+", help="directories of sequence trainings, finished or not")
    options.add_argument("picture", type=Path, help="the PNG to write")
    given = options.parse_args(arguments)

    from asrtool.report.experiment import read_experiment
    from asrtool.report.sequence_curves import draw_sequence_curves

    found = {path.name: read_experiment(path) for path in given.experiments}
    draw_sequence_curves(given.picture, found, given.title or ", ".join(found))
    return 0
