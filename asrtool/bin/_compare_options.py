"""Options of `asrtool compare-parallel`."""

from argparse import ArgumentParser
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser


def number(text: str) -> int | None:
    return int(text) if text else None


def words(text: str) -> list[str] | None:
    return text.split() or None


def numbers(text: str) -> list[int] | None:
    return [int(word) for word in text.split()] or None


SELECTIONS = {"algorithms": words, "networks": words, "num_workers": numbers, "seeds": numbers, "simulate_opts": words}
SELECTIONS |= {"num_settings": number, "simulate_above": number}


def compare_options(doc: str) -> ArgumentParser:
    """Its steps are begin, jobs, run, results."""
    result = parser("compare-parallel", doc, "asrtool compare-parallel jobs search exp/compare")
    steps = result.add_subparsers(dest="step", required=True, metavar="STEP")
    begin = steps.add_parser("begin", help="write DIR/comparison.yaml: what is compared, on which data")
    begin.add_argument("--config", type=existing_path, required=True, help="as conf/compare_parallel.yaml")
    for name, kind in SELECTIONS.items():
        begin.add_argument(f"--{name.replace('_', '-')}", type=kind, help="in place of what the file has; lists are 'a b c'")
    for name in ("valid-alignments", "graph", "dev-data", "test-data"):
        begin.add_argument(f"--{name}", default="")
    begin.add_argument("--metric", choices=("wer", "cer"), default="wer")
    begin.add_argument("--tune-each", type=boolean, default=True, help="find the LM weight for each kind of model")
    for name in ("alignments", "train_data", "valid_data"):
        begin.add_argument(name)
    jobs = steps.add_parser("jobs", help="write lists of what is left to do; print 'threads jobs file', one a line")
    jobs.add_argument("--simulate", default="asrtool simulate-parallel", help="the command that simulates a training")
    jobs.add_argument("phase", choices=("reference", "search", "seeds", "decode", "curves"))
    run = steps.add_parser("run", help="run one job of a list")
    run.add_argument("list", type=existing_path)
    run.add_argument("job", type=int, help="from 1")
    results = steps.add_parser("results", help="write DIR/RESULTS.md and DIR/figures")
    results.add_argument("--title", default="Parallel training algorithms")
    results.add_argument("--command", default="", help="the command line, to be recorded")
    results.add_argument("--commit", default="unknown")
    for step in (begin, jobs, results):
        step.add_argument("directory", type=Path)
    return result
