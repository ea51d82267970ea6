"""Adds two sections to RESULTS.md, before its list of all results: word error rates by language model with Kaldi's published ones
beside them, and the tables of the comparison of parallel training algorithms.

`python local/results_page.py [--compare exp/compare/RESULTS.md] --parts 960 --sets "dev_clean test_clean" exp/results.json PAGE`
"""

import re
import sys
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.score.results import read_results

LMS = ("tgsmall", "tgmed", "tglarge", "fglarge")
SIZES = {"mini": 5, "100": 100, "460": 460, "960": 960}  # hours of training speech
PUBLISHED = Path(__file__).resolve().parent / "kaldi_results.tsv"
BEFORE = "## All results"
HEADING = "## Word error rates by language model"
COMPARISON = "## Parallel training algorithms (arXiv:1703.05880)"
READING = (
    "In %; LM weight and insertion penalty are those of the dev set; in brackets: with the set's own best ones, as Kaldi's "
    "figures are. Rows in italics are not ours: Kaldi's egs/librispeech/s5 publishes them for the same parts of the corpus. "
    "Its GMMs had no probabilities of pronunciations, its TDNN speed-perturbed data."
)


def read_published(path: Path, parts: str) -> dict[tuple[str, str], dict[str, str]]:
    """(system, LM) -> set -> figure of the models trained on `parts`, in the order of the file."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    head, *rows = rows
    return {(name, lm): dict(zip(head[3:], figures, strict=True)) for name, of, lm, *figures in rows if of == parts}


def our_figures(results: list[dict], sets: list[str]) -> dict[tuple[str, str], dict[str, str]]:
    """(system, LM) -> set -> figure with the own best one in brackets."""
    values = {(record["system"], record["set"]): f"{record['value']:.2f}" for record in results}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for (name, dataset), value in values.items():
        system, _, lm = name.rpartition("_")
        if lm in LMS and dataset in sets:
            best = values.get((f"{name}_best", dataset))
            found.setdefault((system, lm), {})[dataset] = f"{value} ({best})" if best else value
    return found


def error_table(results: list[dict], sets: list[str], parts: str) -> list[str]:
    """A row for each system and language model; Kaldi's GMM below ours of the same name, its networks at the end."""
    ours, published = our_figures(results, sets), read_published(PUBLISHED, parts)
    size = f"{SIZES[parts]} h"
    systems = sorted({system for system, _ in ours}, key=lambda name: (not re.match(r"mono|tri", name), name))
    lines = [f"| system | LM | {' | '.join(sets)} |", f"|---|---|{'---|' * len(sets)}"]

    def rows(name: str, figures: dict, title: str) -> list[str]:
        return [
            f"| {title} | {lm} | " + " | ".join(figures[name, lm].get(dataset, "-") for dataset in sets) + " |"
            for lm in LMS
            if (name, lm) in figures
        ]

    left = list(dict.fromkeys(name for name, _ in published))
    for system in systems:
        lines += rows(system, ours, system)
        if system in left:
            left.remove(system)
            lines += rows(system, published, f"*Kaldi's {system}, {size}*")
    for system in left:
        lines += rows(system, published, f"*Kaldi's {system}, {size}*")
    return lines


def comparison_lines(page: Path) -> list[str]:
    """The tables of a comparison's page, one heading lower, with its pictures."""
    if not page.is_file():
        return []
    text = page.read_text(encoding="utf-8").split("\n## How they were made")[0]
    lines = text.splitlines()[1:]
    folder = page.parent.name
    return [re.sub(r"\]\(figures/", f"]({folder}/figures/", f"#{line}" if line.startswith("##") else line) for line in lines]


def extend(page: Path, results: list[dict], sets: list[str], parts: str, comparison: Path | None) -> list[str]:
    """Rewrites the page; returns the lines of the table.

    Raises:
        AsrtoolError: no such page, or not one of asrtool make-results.
    """
    if not page.is_file():
        raise AsrtoolError(f"{page}: no such file; asrtool make-results writes it")
    text = page.read_text(encoding="utf-8")
    if f"\n{BEFORE}\n" not in text:
        raise AsrtoolError(f"{page}: has no '{BEFORE}'; is it what asrtool make-results wrote?")
    head, tail = text.split(f"{BEFORE}\n", 1)
    table = error_table(results, sets, parts)
    added = [HEADING, "", READING, "", *table, ""]
    if comparison is not None and (compared := comparison_lines(comparison)):
        added += [COMPARISON, *compared, ""]
    write_text(page, head.split(HEADING)[0] + "\n".join([*added, BEFORE]) + "\n" + tail)
    return table


def main(arguments: list[str]) -> int:
    options = parser("results_page.py", __doc__)
    options.add_argument("--compare", type=Path, help="RESULTS.md of local/compare_parallel.sh, where there is one")
    options.add_argument("--parts", choices=SIZES, required=True)
    options.add_argument("--sets", required=True, help="columns of the table, separated by blanks")
    options.add_argument("results", type=Path)
    options.add_argument("page", type=Path)
    given = options.parse_args(arguments)
    print("\n".join(extend(given.page, read_results(given.results), given.sets.split(), given.parts, given.compare)))
    return 0


if __name__ == "__main__":
    sys.exit(guarded("results_page.py", main, sys.argv[1:]))
