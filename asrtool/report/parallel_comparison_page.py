"""RESULTS.md of a comparison of parallel algorithms."""

import os
from pathlib import Path

from asrtool.io.atomic_file import write_text
from asrtool.report.parallel_comparison import Cell, cells
from asrtool.report.parallel_comparison_figures import draw_comparison
from asrtool.report.parallel_comparison_jobs import Comparison
from asrtool.report.parallel_comparison_runs import CellResult, final_fer, read_run
from asrtool.report.parallel_comparison_table import cost_table, error_table, search_table, sentences
from asrtool.report.results_page import provenance

READING = (
    "Mean [lowest, highest] over the seeds. Each algorithm was tried with {num} setting(s) at seed {seed}; the one with the "
    "lowest validation FER of its global model was trained with seeds {seeds}. FER: validation data; the final model is that of "
    "its best epoch. Diverged: runs of {runs}, the search included."
)


def read_cell(comparison: Comparison, cell: Cell) -> CellResult:
    """Reads what is finished of a cell. Raises AsrtoolError while its search is not."""
    config, dataset = comparison.config, Path(comparison.data.test_data).name
    chosen = comparison.chosen(cell)
    search = comparison.search_runs(cell)
    runs = [run for run in comparison.seed_runs(cell) if run.finished]
    results = [read_run(run, config.diverged_fer, dataset) for run in runs]
    finished = {run.directory: run for run in [*search, *runs]}.values()
    return CellResult(
        cell=cell,
        label=config.algorithms[cell.algorithm].label,
        setting=chosen.setting if chosen else "",
        runs=results,
        search={run.setting: final_fer(run, config.diverged_fer) for run in search},
        diverged=sum(final_fer(run, config.diverged_fer) is None for run in finished),
    )


def write_results(comparison: Comparison, title: str, command: str, commit: str) -> list[str]:
    """Writes RESULTS.md and figures/ into the comparison's directory; returns the lines of the page.

    Raises:
        AsrtoolError: a run of the search is not finished.
    """
    config, metric = comparison.config, comparison.data.metric
    lines = [f"# {title}", ""]
    budget = len(next(iter(config.algorithms.values())).settings)
    budget = min(budget, config.num_settings) if config.num_settings else budget
    seeds = ", ".join(map(str, config.seeds))
    lines += [READING.format(num=budget, seed=config.seeds[0], seeds=seeds, runs=budget + len(config.seeds) - 1), ""]
    for network in config.networks:
        results = [read_cell(comparison, cell) for cell in cells(config) if cell.network == network]
        figures = draw_comparison(results, comparison.directory / "figures", config.curves, metric)
        said = sentences(results, metric)
        lines += [f"## {network.upper()}", "", *error_table(results, metric), ""]
        lines += [*[f"- {sentence}" for sentence in said], ""] if said else []
        lines += [f"![{file.stem}](figures/{file.name})" for file in figures] + [""] * bool(figures)
        lines += ["### Speed and exchange", "", *_how_fast(results), "", *cost_table(results), ""]
        lines += ["### The search", "", "Validation FER % of the global model; the chosen setting in bold.", ""]
        lines += [*search_table(results), ""]
    lines += ["## How they were made", "", *_provenance(command, commit, seeds)]
    lines += [f"- {text}" for text in _data(comparison)]
    write_text(comparison.directory / "RESULTS.md", "\n".join(lines) + "\n")
    return lines


def _provenance(command: str, commit: str, seeds: str) -> list[str]:
    lines = provenance(command, commit, 0)
    seeded = [f"- seeds: {seeds}" if line == "- seed: 0" else line for line in lines]
    return [f"{line}, {os.cpu_count()} cores" if line.startswith("- machine") else line for line in seeded]


def _how_fast(results: list[CellResult]) -> list[str]:
    simulated = any(run.run.simulated for result in results for run in result.runs)
    text = "10 ms frames a second of all workers together, validation and saving left out."
    return [text + " Speeds of simulated workers are modelled from measured computation and a model of the links." * simulated]


def _data(comparison: Comparison) -> list[str]:
    data, config = comparison.data, comparison.config
    shown = ", ".join(f"{key}={value}" for key, value in config.overrides.items())
    found = [f"training {data.train_data}, validation {data.valid_data}, alignments {data.alignments}"]
    if data.graph:
        model = "each" if data.tune_each else "the global"
        found.append(f"{data.metric.upper()} on {data.test_data}, LM weight and penalty of {model} model from {data.dev_data}")
    if config.simulate_opts:
        found.append(f"simulation: {' '.join(config.simulate_opts)}")
    return [*found, f"settings of all runs: {shown or 'those of the networks'}; every setting stands in `comparison.yaml`"]
