"""A comparison of parallel algorithms: which trainings it consists of, and how they are called."""

import itertools
import json
import math
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from asrtool.errors import AsrtoolError
from asrtool.io.config import from_dict
from asrtool.optim.schedule import ScheduleConfig

RATE_FACTOR = "rate_factor"
"""Among the settings of a run: multiplies the learning rates of the network's settings, the first and the final one."""


@dataclass
class AlgorithmChoices:
    """Attributes:
    settings: what the search tries, name -> overrides. Overrides are `key: value` as on the command line of a training
        (`parallel.sync_frames: 5000`), or `rate_factor: 2.0`. A value may depend on the number of workers: "120000/N",
        "1.0*N", "1.0*sqrt(N)"; it is rounded to an integer where the number in it is one.
    label: in tables and pictures.
    overrides: of all settings.
    """

    settings: dict[str, dict[str, Any]]
    label: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class ComparisonConfig:
    """What is compared. Every algorithm is searched over the same number of settings.

    Attributes:
        algorithms: name -> its choices; see AlgorithmChoices. "single" is the reference: one worker.
        networks: their names.
        network_config: the settings file of a network; {network} is replaced by its name.
        num_workers: numbers N of workers to compare at.
        simulate_above: runs with more workers than this are simulated in one process, the others are real processes; 0: than the
            machine has cores.
        simulate_opts: further options of `asrtool simulate-parallel`: the links between the workers.
        seeds: the first is that of the search; the chosen setting is trained with all of them.
        num_settings: the search tries the first so many settings of each algorithm; 0: all.
        overrides: settings of all runs.
        curves: algorithms whose models within the epochs are kept, and decoded if --curves is true.
        diverged_fer: a run whose global model ends above this frame error rate (%) counts as diverged, as one that stops
            because its loss or its parameters are no longer finite.
    """

    algorithms: dict[str, Any]
    networks: list[str] = field(default_factory=lambda: ["lstm"])
    network_config: str = "conf/{network}_mini.yaml"
    num_workers: list[int] = field(default_factory=lambda: [8])
    simulate_above: int = 0
    simulate_opts: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    num_settings: int = 0
    overrides: dict[str, Any] = field(default_factory=dict)
    curves: list[str] = field(default_factory=lambda: ["bmuf"])
    diverged_fer: float = 95.0

    def __post_init__(self) -> None:
        for name, choices in self.algorithms.items():
            if not isinstance(choices, AlgorithmChoices):
                self.algorithms[name] = from_dict(AlgorithmChoices, choices, f"algorithms: {name}")
            self.algorithms[name].label = self.algorithms[name].label or name
        counts = {name: len(choices.settings) for name, choices in self.algorithms.items()}
        if self.num_settings:
            counts = {name: min(count, self.num_settings) for name, count in counts.items()}
        if not counts or not all(counts.values()) or len(set(counts.values())) > 1:
            shown = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise ValueError(f"the search budgets differ or are empty ({shown}); give each algorithm as many settings")
        self.simulate_above = self.simulate_above or len(os.sched_getaffinity(0))
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must be one or more different numbers")
        if not self.networks or any(number < 2 for number in self.num_workers):
            raise ValueError("networks must name one or more, num_workers must be above 1 ('single' is one worker)")
        if names := [name for name in [*self.algorithms, *self.networks] if not re.fullmatch(r"[A-Za-z0-9_]+", name)]:
            raise ValueError(f"the name '{names[0]}' may have letters, digits and '_' only")

    def select(self, **selected: Any) -> "ComparisonConfig":
        """With other values of some attributes; `algorithms` as a list of names, None where nothing is selected."""
        given = {name: value for name, value in selected.items() if value is not None}
        if "algorithms" in given:
            if unknown := [name for name in given["algorithms"] if name not in self.algorithms]:
                raise AsrtoolError(f"no algorithm '{unknown[0]}' in the settings; known: {', '.join(self.algorithms)}")
            given["algorithms"] = {name: self.algorithms[name] for name in given["algorithms"]}
        try:
            return replace(self, **given)
        except ValueError as error:
            raise AsrtoolError(str(error)) from None


@dataclass(frozen=True)
class Cell:
    """An algorithm at a number of workers on a network: one row of the table."""

    network: str
    algorithm: str
    num_workers: int

    @property
    def name(self) -> str:
        return f"{self.algorithm}-n{self.num_workers}"


@dataclass(frozen=True)
class Run:
    """One training of a cell.

    Attributes:
        directory: its experiment directory.
        overrides: key=value words.
    """

    cell: Cell
    setting: str
    seed: int
    directory: Path
    network_config: str
    overrides: tuple[str, ...]
    simulated: bool

    @property
    def finished(self) -> bool:
        return (self.directory / "done").is_file() or self.diverged

    @property
    def diverged(self) -> bool:
        return (self.directory / "diverged").is_file()

    def record(self) -> dict[str, Any]:
        """What must not change under a run that has begun."""
        keys = ("network_config", "overrides", "simulated")
        return {**{key: getattr(self, key) for key in keys}, "overrides": list(self.overrides), "workers": self.cell.num_workers}

    def check(self) -> None:
        """Raises AsrtoolError if the directory holds a run by other settings."""
        file = self.directory / "plan.json"
        if file.is_file() and (before := json.loads(file.read_text(encoding="utf-8"))) != self.record():
            different = sorted(key for key in self.record() if before.get(key) != self.record()[key])
            raise AsrtoolError(f"{file}: the run was begun by other settings ({', '.join(different)}); remove {self.directory}")


def cells(config: ComparisonConfig) -> list[Cell]:
    """The rows, network by network; one worker first."""
    found = []
    for network, number, algorithm in itertools.product(config.networks, [1, *config.num_workers], config.algorithms):
        if (number == 1) == (algorithm == "single"):
            found.append(Cell(network, algorithm, number))
    return found


def settings_of(config: ComparisonConfig, algorithm: str) -> list[str]:
    """Names of the settings that the search tries."""
    return list(config.algorithms[algorithm].settings)[: config.num_settings or None]


def make_run(config: ComparisonConfig, directory: Path, cell: Cell, setting: str, seed: int) -> Run:
    """Raises AsrtoolError where the network's settings cannot be read, or a value in the settings of the run."""
    choices = config.algorithms[cell.algorithm]
    network_config = config.network_config.format(network=cell.network)
    values = {**config.overrides, **choices.overrides, **choices.settings[setting]}
    where = f"algorithms: {cell.algorithm}: {setting}"
    values = {key: scaled(value, cell.num_workers, f"{where}: {key}") for key, value in values.items()}
    factor = values.pop(RATE_FACTOR, None)
    if factor is not None:
        values |= _rates(network_config, values, factor)
    values = {**values, "seed": seed}
    if cell.algorithm not in config.curves:
        values["models_per_epoch"] = 1
    return Run(
        cell=cell,
        setting=setting,
        seed=seed,
        directory=directory / cell.network / cell.name / f"{setting}-s{seed}",
        network_config=network_config,
        overrides=tuple(f"{key}={_word(value)}" for key, value in values.items()),
        simulated=cell.num_workers > config.simulate_above,
    )


def _word(value: Any) -> str:
    """A setting's value without spaces, as YAML reads it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def scaled(value: Any, num_workers: int, where: str) -> Any:
    """Works out "120000/N", "1.0*N", "1.0*sqrt(N)"; other values as they are."""
    found = re.fullmatch(r"([\d.]+) *([*/]) *(N|sqrt\(N\))", value) if isinstance(value, str) else None
    if not found:
        return value
    number, operator, of = found.groups()
    try:
        base = float(number)
    except ValueError:
        raise AsrtoolError(f"{where}: '{number}' is not a number") from None
    size = math.sqrt(num_workers) if of != "N" else num_workers
    result = base / size if operator == "/" else base * size
    return float(f"{result:.4g}") if "." in number else max(1, round(result))


def _rates(network_config: str, values: dict[str, Any], factor: float) -> dict[str, float]:
    """The learning rates of the network's settings, as `values` override them, times `factor`."""
    if not Path(network_config).is_file():
        raise AsrtoolError(f"{network_config}: no such settings file")
    settings = (yaml.safe_load(Path(network_config).read_text(encoding="utf-8")) or {}).get("schedule", {})
    prefix = "schedule."
    settings = {**settings, **{key[len(prefix) :]: value for key, value in values.items() if key.startswith(prefix)}}
    schedule = from_dict(ScheduleConfig, settings, f"{network_config}: schedule")
    names = ("learning_rate", "final_learning_rate")
    return {prefix + name: float(f"{getattr(schedule, name) * factor:.4g}") for name in names}
