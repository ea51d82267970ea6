"""The work of a comparison as lists of commands: the search, the other seeds, decoding; what is finished is left out."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.config import load_config, save_config
from asrtool.report.parallel_comparison import Cell, ComparisonConfig, Run, cells, make_run, settings_of
from asrtool.report.parallel_comparison_runs import Spread, final_fer, read_run, validated_models
from asrtool.score.results import read_results

FILE = "comparison.yaml"
LOG = "log/train.log"
DIVERGED = re.compile(r"ERROR:.*lower (the learning rate|schedule\.learning_rate)")
"""In every message of a training that stops because losses or parameters are not finite or too high."""
REFERENCE, SEARCH, SEEDS, DECODE, CURVES = PHASES = ("reference", "search", "seeds", "decode", "curves")
"""The reference is the search of one worker: it comes first, as simulations take their speed from it."""
TRAINING = (REFERENCE, SEARCH, SEEDS)


@dataclass
class DataPaths:
    """What the runs train on and are tested with.

    Attributes:
        valid_alignments: "" for those of `alignments`.
        graph: "" where nothing is decoded.
        tune_each: LM weight and penalty are found for each kind of model, not for the global model alone.
    """

    alignments: str
    train_data: str
    valid_data: str
    valid_alignments: str = ""
    graph: str = ""
    dev_data: str = ""
    test_data: str = ""
    metric: str = "wer"
    tune_each: bool = True


@dataclass
class Comparison:
    """A comparison that has begun in a directory, where it is kept as comparison.yaml."""

    config: ComparisonConfig
    data: DataPaths
    directory: Path = field(default_factory=Path)

    @classmethod
    def load(cls, directory: str | Path) -> "Comparison":
        """Raises AsrtoolError where no comparison has begun in `directory`."""
        saved = load_config(_Saved, Path(directory) / FILE)
        return cls(saved.config, saved.data, Path(directory))

    def save(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        save_config(self.directory / FILE, _Saved(self.config, self.data))

    def search_runs(self, cell: Cell) -> list[Run]:
        """The runs of the search, at the first seed."""
        names = settings_of(self.config, cell.algorithm)
        return [make_run(self.config, self.directory, cell, name, self.config.seeds[0]) for name in names]

    def chosen(self, cell: Cell) -> Run | None:
        """The run of the search whose global model has the lowest validation FER; None if all have diverged.

        Raises:
            AsrtoolError: a run of the search is not finished.
        """
        runs = self.search_runs(cell)
        if missing := [run for run in runs if not run.finished]:
            raise AsrtoolError(f"{missing[0].directory}: this run is not finished; start the comparison again to go on")
        errors = {run: final_fer(run, self.config.diverged_fer) for run in runs}
        usable = {run: fer for run, fer in errors.items() if fer is not None}
        return min(usable, key=usable.__getitem__) if usable else None

    def seed_runs(self, cell: Cell) -> list[Run]:
        """The chosen setting with all seeds; empty if the search has found none."""
        chosen = self.chosen(cell)
        if chosen is None:
            return []
        return [make_run(self.config, self.directory, cell, chosen.setting, seed) for seed in self.config.seeds]


@dataclass
class _Saved:
    config: ComparisonConfig
    data: DataPaths


def jobs(comparison: Comparison, phase: str, simulate: list[str]) -> dict[tuple[int, str], list[dict[str, Any]]]:
    """What is left to do in a phase: (threads of a job, "simulated" or "real") -> jobs.

    Args:
        simulate: the command that stands for `asrtool simulate-parallel`.
    """
    found = defaultdict(list)
    for cell in cells(comparison.config):
        if phase == REFERENCE and cell.num_workers > 1:
            continue
        runs = comparison.search_runs(cell) if phase in (REFERENCE, SEARCH) else comparison.seed_runs(cell)
        for run in runs:
            run.check()
            commands = training(comparison, run, simulate) if phase in TRAINING else decoding(comparison, run, phase)
            if not commands:
                continue
            threads = 1 if run.simulated or phase in (DECODE, CURVES) else cell.num_workers
            kind = "simulated" if run.simulated and phase in TRAINING else "real"
            keep = cell.algorithm in comparison.config.curves
            job = {"run": str(run.directory), "plan": run.record(), "commands": commands, "phase": phase, "keep_models": keep}
            found[threads, kind].append(job)
    return dict(found)


def write_lists(comparison: Comparison, phase: str, found: dict[tuple[int, str], list[dict[str, Any]]]) -> list[str]:
    """Writes a list of jobs for each number of threads; returns the lines "threads number-of-jobs file"."""
    lines = []
    for (threads, kind), those in sorted(found.items()):
        file = comparison.directory / "lists" / f"{phase}.{kind}.{threads}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, "".join(json.dumps(job) + "\n" for job in those))
        lines.append(f"{threads} {len(those)} {file}")
    return lines


def training(comparison: Comparison, run: Run, simulate: list[str]) -> list[list[str]]:
    """The command of a run that is not finished."""
    if run.finished:
        return []
    data, workers = comparison.data, ["--num-workers", str(run.cell.num_workers)]
    valid = ["--valid-alignments", data.valid_alignments] if data.valid_alignments else []
    words = [*valid, data.alignments, data.train_data, data.valid_data, str(run.directory), *run.overrides]
    if run.simulated:
        begin = ["utils/run.py", str(run.directory / LOG), *simulate, "--config", run.network_config, *workers]
        return [[*begin, *_speed(comparison, run), *comparison.config.simulate_opts, *words]]
    return [["steps/nnet/train.sh", "--nnet-config", run.network_config, *workers, *words]]


def _speed(comparison: Comparison, run: Run) -> list[str]:
    """The option that makes all simulated workers as fast as one worker was in the search, the run that was least disturbed."""
    reference = [cell for cell in cells(comparison.config) if cell.num_workers == 1 and cell.network == run.cell.network]
    finished = [one for cell in reference for one in comparison.search_runs(cell) if one.finished and not one.diverged]
    speeds = Spread.of(read_run(one, comparison.config.diverged_fer).frames_per_s for one in finished)
    return ["--seconds-per-frame", f"{1 / speeds.high:.4g}"] if speeds else []


def decoding(comparison: Comparison, run: Run, phase: str) -> list[list[str]]:
    """Commands that decode the final models of a run, each with the LM weight that suits it on the dev set (or all with that of
    the global model), or, phase "curves", the models within the epochs, with the weight of the final model of their kind."""
    data = comparison.data
    wanted = phase == DECODE or run.cell.algorithm in comparison.config.curves
    if not wanted or final_fer(run, comparison.config.diverged_fer) is None:
        return []
    results, test = run.directory / "results.json", Path(data.test_data).name
    known = {record["system"] for record in read_results(results) if record["set"] == test} if results.is_file() else set()
    options = ["--nj", "1", "--metric", data.metric, "--set", test, "--results", str(results), "--seed", str(run.seed)]
    options += ["--transition-model", f"{data.alignments}/final.mdl"]
    commands = []
    models = validated_models(run)
    for tuned, those in {model: [model] for model in models}.items() if data.tune_each else [(models[0], models)]:
        systems = _systems(run, those, phase)
        words = [
            word
            for name, path in systems.items()
            if name not in known
            for word in (name, str(path), f"{run.directory}/decode_{test}/{name}")
        ]
        if words:
            final = str(run.directory / f"final_{tuned}.pt")
            dev = [data.graph, data.dev_data, final, f"{run.directory}/decode_dev/{tuned}", data.test_data]
            commands.append(["steps/nnet/evaluate.sh", *options, *dev, *words])
    return commands


def _systems(run: Run, models: list[str], phase: str) -> dict[str, Path]:
    """System -> file: the final models, or those within the epochs."""
    if phase == DECODE:
        return {model: run.directory / f"final_{model}.pt" for model in models}
    return {name: path for model in models for name, path in _within_epochs(run, model).items()}


def _within_epochs(run: Run, model: str) -> dict[str, Path]:
    """`<model>@<epoch>` -> file, of EXP/models/<model>/<epoch>.<part>.pt; part 4 of 4 ends the epoch."""
    files = list((run.directory / "models" / model).glob("*.pt"))
    labels = {path: [int(number) for number in path.stem.split(".")] for path in files}
    parts = max((part for _, part in labels.values()), default=1)
    return {f"{model}@{epoch - 1 + part / parts:g}": path for path, (epoch, part) in sorted(labels.items(), key=lambda x: x[1])}


def run_job(list_file: Path, number: int) -> int:
    """Runs job `number` (from 1) of a list; returns its exit status. A training that diverges is done: it leaves EXP/diverged."""
    job = json.loads(list_file.read_text(encoding="utf-8").splitlines()[number - 1])
    directory = Path(job["run"])
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / "plan.json", json.dumps(job["plan"], indent=1) + "\n")
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    for command in job["commands"]:
        print("# " + " ".join(command), file=sys.stderr, flush=True)
        if status := subprocess.run(command, env=environment, stdin=subprocess.DEVNULL).returncode:
            why = divergence(directory / LOG) if job["phase"] in TRAINING else ""
            if not why:
                return status
            write_text(directory / "diverged", why + "\n")
    if job["phase"] in TRAINING and not job["keep_models"]:
        shutil.rmtree(directory / "models", ignore_errors=True)
    return 0


def divergence(log: Path) -> str:
    """The message by which a training has stopped because its loss or its parameters were not finite; else ""."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return next((line for line in lines if DIVERGED.search(line)), "")
