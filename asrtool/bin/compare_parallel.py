"""Compare parallel training algorithms; the sub-steps of steps/nnet/compare_parallel.sh."""

from argparse import Namespace

from asrtool.bin._compare_options import SELECTIONS, compare_options


def main(arguments: list[str]) -> int:
    given = compare_options(__doc__).parse_args(arguments)
    from asrtool.report import parallel_comparison_jobs as comparisons

    if given.step == "run":
        return comparisons.run_job(given.list, given.job)
    if given.step == "begin":
        return begin(given)
    comparison = comparisons.Comparison.load(given.directory)
    if given.step == "jobs":
        found = comparisons.jobs(comparison, given.phase, given.simulate.split())
        print("\n".join(comparisons.write_lists(comparison, given.phase, found)))
        return 0
    from asrtool.report.parallel_comparison_page import write_results

    print("\n".join(write_results(comparison, given.title, given.command, given.commit)))
    return 0


def begin(given: Namespace) -> int:
    """Checks all settings before anything runs, and keeps them."""
    from asrtool.io.config import load_config
    from asrtool.report.parallel_comparison import ComparisonConfig, cells
    from asrtool.report.parallel_comparison_jobs import Comparison, DataPaths

    config = load_config(ComparisonConfig, given.config).select(**{name: getattr(given, name) for name in SELECTIONS})
    data = DataPaths(**{name: getattr(given, name) for name in DataPaths.__dataclass_fields__})
    comparison = Comparison(config, data, given.directory)
    runs = [run for cell in cells(config) for run in comparison.search_runs(cell)]

    from asrtool.parallel.registry import make_algorithm  # loads torch
    from asrtool.train.config import TrainConfig

    for run in runs:
        make_algorithm(load_config(TrainConfig, run.network_config, list(run.overrides)).parallel)
        run.check()
    comparison.save()
    return 0
