"""Study sequence training as Sak 2014: alignments, language models, criteria; sub-steps of steps/nnet/compare_sequence.sh."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.errors import AsrtoolError

DATA = ("alignments", "valid_alignments", "train_data", "valid_data", "lang", "graph", "dev_data", "test_data")
CHOICES = {"tables": str, "seeds": int, "switch_epochs": int, "orders": int, "ce_opts": str, "seq_opts": str}
SINGLE = {"start": str, "average": str, "metric": str, "ce_epochs": int, "order": int, "workers": int, "simulate": boolean}
CONFIGS = ("network_config", "smbr_config", "mmi_config")


def study_options() -> ArgumentParser:
    """Its steps are begin, jobs, diverged, results."""
    result = parser("compare-sequence", __doc__, "asrtool compare-sequence jobs sequence exp/seq")
    steps = result.add_subparsers(dest="step", required=True, metavar="STEP")
    begin = steps.add_parser("begin", help="check the settings and write DIR/study.yaml")
    for name in (*CHOICES, *SINGLE, *CONFIGS):
        many = " (several: 'a b c')" if name in CHOICES else ""
        begin.add_argument(f"--{name.replace('_', '-')}", help=f"see StudyConfig in asrtool/report/sequence_study.py{many}")
    for name in DATA:
        begin.add_argument(name, type=existing_path)
    jobs = steps.add_parser("jobs", help="print what is left to do in a phase, a shell command a line")
    jobs.add_argument("phase", choices=("ce", "align", "ce_again", "graphs", "sequence", "parallel", "decode"))
    diverged = steps.add_parser("diverged", help="mark a training as diverged if its log says so; else fail")
    results = steps.add_parser("results", help="write DIR/RESULTS.md and DIR/figures")
    results.add_argument("--title", default="Sequence-discriminative training")
    results.add_argument("--command", default="", help="the command line, to be recorded")
    results.add_argument("--commit", default="unknown")
    for step in (begin, jobs, diverged, results):
        step.add_argument("directory", type=Path)
    return result


def main(arguments: list[str]) -> int:
    given = study_options().parse_args(arguments)
    from asrtool.report.sequence_study import Study
    from asrtool.report.sequence_study_jobs import jobs, mark_diverged

    if given.step == "begin":
        begin(given)
    elif given.step == "diverged":
        return 0 if mark_diverged(given.directory) else 1
    elif given.step == "jobs":
        print("".join(f"{line}\n" for line in jobs(Study.load(given.directory), given.phase)), end="")
    else:
        from asrtool.report.sequence_study_page import write_results

        print("\n".join(write_results(Study.load(given.directory), given.title, given.command, given.commit)))
    return 0


def begin(given: Namespace) -> None:
    """Keeps the settings."""
    from asrtool.report.sequence_study import Study, StudyConfig

    try:
        values = {name: str(getattr(given, name)) for name in DATA}
        values |= {
            name: [kind(word) for word in getattr(given, name).split()] for name, kind in CHOICES.items() if getattr(given, name)
        }
        values |= {name: kind(getattr(given, name)) for name, kind in SINGLE.items() if getattr(given, name)}
        values |= {name: getattr(given, name) for name in CONFIGS if getattr(given, name)}
        Study(StudyConfig(**values), given.directory).save()
    except ValueError as error:
        raise AsrtoolError(str(error)) from None
