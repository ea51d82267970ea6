"""What the finished runs of a comparison say: errors, speed, bytes, staleness; and their spread over the seeds."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

from asrtool.report.experiment import Experiment, read_experiment, seconds_of
from asrtool.report.figures import Series
from asrtool.report.parallel_comparison import Cell, Run
from asrtool.score.results import read_results

GLOBAL = "global"
"""Stands for the global model, which goes by the algorithm's name in a run's own records."""


@dataclass(frozen=True)
class Spread:
    """Mean, lowest and highest of some figures."""

    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread | None":
        """None where there is no value."""
        known = [value for value in values if value is not None]
        return cls(fmean(known), min(known), max(known), len(known)) if known else None


@dataclass
class RunResult:
    """Attributes:
    curves: model ("global", "ma", "ema", ...) -> [(epoch, validation FER in %)].
    fer: model -> validation FER of the final model, %.
    rates: model -> error rate of words or characters on the test set, %.
    rate_curves: model -> [(epoch, error rate)] of the models within the epochs.
    frames_per_s: 10 ms frames a second, all workers together: measured, or modelled if the run was simulated.
    speed_up: over one worker, of a simulated run.
    megabytes: that a worker sends in an epoch.
    staleness, max_staleness: of the pushes of asgd: how many others came in between, mean and highest.
    """

    run: Run
    diverged: bool = False
    curves: Series = field(default_factory=dict)
    fer: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    rate_curves: Series = field(default_factory=dict)
    frames_per_s: float | None = None
    speed_up: float | None = None
    megabytes: float | None = None
    staleness: float | None = None
    max_staleness: float | None = None


def read_run(run: Run, diverged_fer: float, dataset: str = "") -> RunResult:
    """Reads a finished run; `dataset` is the name of the test set in its results.json."""
    result = RunResult(run, diverged=final_fer(run, diverged_fer) is None)
    if not (run.directory / "metrics.jsonl").is_file():
        return result
    experiment = read_experiment(run.directory)
    names = _names(experiment)
    for model, name in names.items():
        points = [(record["epoch"], 100 * record["fer"]) for record in experiment.of_kind("valid") if record["model"] == model]
        result.curves[name] = sorted(points)
        if not run.diverged:
            result.fer[name] = _final(experiment, model)
    for system, value in results_of(run, dataset).items():
        model, at, epoch = system.partition("@")
        if at:
            result.rate_curves.setdefault(names.get(model, model), []).append((float(epoch), value))
        else:
            result.rates[names.get(model, model)] = value
    result.rate_curves = {model: sorted(points) for model, points in result.rate_curves.items()}
    _read_costs(result, experiment)
    return result


def _names(experiment: Experiment) -> dict[str, str]:
    """Model names in the run's records -> names here; the global model is the first that was validated."""
    return {model: GLOBAL if index == 0 else model for index, model in enumerate(experiment.models)}


def _final(experiment: Experiment, model: str) -> float:
    """FER (%) of the epoch whose model is the final one: the best epoch's or the last one's."""
    if experiment.config.get("keep_epoch", "best") == "best":
        return 100 * experiment.best(model)["fer"]
    records = [record for record in experiment.of_kind("valid") if record["model"] == model]
    return 100 * max(records, key=lambda record: record["epoch"])["fer"]


def _read_costs(result: RunResult, experiment: Experiment) -> None:
    train, run = experiment.of_kind("train"), result.run
    epochs = max((record["epoch"] for record in train), default=0.0)
    seconds, frames = sum(map(seconds_of, train)), sum(record["frames"] for record in train)
    modelled = _read_simulation(run.directory)
    if run.simulated:
        result.frames_per_s, result.speed_up = modelled.get("frames_per_s"), modelled.get("speed_up")
    elif seconds:
        result.frames_per_s = frames / seconds
    sent = [record["bytes_sent"] for record in train if "bytes_sent" in record] or [modelled.get("bytes_sent", 0)]
    if sum(sent) and epochs:
        result.megabytes = sum(sent) / 1e6 / epochs / run.cell.num_workers
    pushes = [(record["staleness_mean"], record["frames"]) for record in train if "staleness_mean" in record]
    if weight := sum(frames for _, frames in pushes):
        result.staleness = sum(value * frames for value, frames in pushes) / weight
        result.max_staleness = max((record["staleness_max"] for record in train if "staleness_max" in record), default=None)


def _read_simulation(directory: Path) -> dict[str, Any]:
    """simulation.json of a simulated run; {} where there is none."""
    file = directory / "simulation.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def results_of(run: Run, dataset: str) -> dict[str, float]:
    """System -> error rate (%) of a run on a test set."""
    file = run.directory / "results.json"
    records = read_results(file) if file.is_file() else []
    return {record["system"]: record["value"] for record in records if record["set"] == dataset}


def final_fer(run: Run, diverged_fer: float) -> float | None:
    """Validation FER (%) of a finished run's global model; None if the run has diverged or is not finished."""
    if run.diverged or not run.finished:
        return None
    experiment = _experiment(run.directory)
    fer = _final(experiment, experiment.models[0])
    return fer if math.isfinite(fer) and fer <= diverged_fer else None


def validated_models(run: Run) -> list[str]:
    """Names of a finished run's models, the global one first."""
    return _experiment(run.directory).models


@lru_cache(maxsize=1000)
def _experiment(directory: Path) -> Experiment:
    """Of a finished run, which no longer changes."""
    return read_experiment(directory)


@dataclass
class CellResult:
    """The chosen setting of an algorithm, with every seed, and what the search tried.

    Attributes:
        runs: of the chosen setting, those that are finished; empty if the search has found none.
        search: setting -> validation FER of its global model, None if it diverged.
        diverged: of all runs, search and seeds.
    """

    cell: Cell
    label: str
    setting: str
    runs: list[RunResult]
    search: dict[str, float | None]
    diverged: int

    def spread(self, figure: str, model: str = "") -> Spread | None:
        """Of an attribute of RunResult over the seeds that have not diverged, or of `model`'s entry in it."""
        values = [getattr(result, figure) for result in self.runs if not result.diverged]
        return Spread.of([value.get(model) for value in values] if model else values)

    def by_seed(self, figure: str, model: str) -> dict[int, float]:
        """Seed -> `model`'s entry in an attribute of RunResult."""
        usable = [result for result in self.runs if not result.diverged and model in getattr(result, figure)]
        return {result.run.seed: getattr(result, figure)[model] for result in usable}

    @property
    def models(self) -> list[str]:
        """The global model, then the averages."""
        return list(dict.fromkeys(model for result in self.runs for model in result.fer))
