"""What a recipe needs of a machine: disk, memory, CPU- and GPU-hours, from the rates in conf/resources.yaml."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

import asrtool
from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.io.config import from_dict
from asrtool.io.progress import duration, size
from asrtool.io.whole_file import read_text

FRAMES_PER_HOUR = 360_000


@dataclass(frozen=True)
class StageRates:
    """What one stage needs; an hour is one of speech.

    Attributes:
        what: the stage in words.
        source: where the rates come from: a command and its figures, or a publication.
        speech: which hours count: of the training set, of it with its perturbed copies, or of a test set.
        disk_mb_per_hour, disk_gb: what it leaves on disk: for each hour, and whatever the hours.
        memory_gb, memory_mb_per_hour: of its largest process.
        cpu_s_per_hour: seconds of one core for an hour of speech; cpu_hours: whatever the hours.
    """

    what: str
    source: str
    speech: str = "training"
    disk_mb_per_hour: float = 0.0
    disk_gb: float = 0.0
    memory_gb: float = 0.0
    memory_mb_per_hour: float = 0.0
    cpu_s_per_hour: float = 0.0
    cpu_hours: float = 0.0

    def __post_init__(self) -> None:
        if self.speech not in ("training", "perturbed", "test"):
            raise ValueError(f"speech: '{self.speech}': expected training, perturbed or test")

    def disk_bytes(self, hours: float) -> float:
        return 1e6 * self.disk_mb_per_hour * hours + 1e9 * self.disk_gb

    def memory_bytes(self, hours: float) -> float:
        return 1e6 * self.memory_mb_per_hour * hours + 1e9 * self.memory_gb

    def cpu_s(self, hours: float) -> float:
        return self.cpu_s_per_hour * hours + 3600 * self.cpu_hours


@dataclass(frozen=True)
class GpuRates:
    """Training of networks on GPUs. Nothing of it was measured here: `source` says who published it.

    Attributes:
        frames_per_s: 10 ms frames that one GPU trains in a second, by criterion.
        speed_up: number of GPUs -> how many times as fast as one.
    """

    source: str
    frames_per_s: dict[str, float]
    speed_up: dict[int, float]


@dataclass(frozen=True)
class Resources:
    """conf/resources.yaml."""

    measured_on: str
    stages: dict[str, StageRates]
    gpu: GpuRates


def default_config() -> Path:
    """conf/resources.yaml of the recipe one is in, else of this tree."""
    here = Path("conf/resources.yaml")
    return here if here.is_file() else Path(asrtool.__file__).parents[1] / "conf/resources.yaml"


def load_resources(path: Path | None = None) -> Resources:
    """Reads the rates.

    Raises:
        AsrtoolError: no such file, or not of this form.
    """
    path = path or default_config()
    if not path.is_file():
        raise AsrtoolError(f"{path}: no such file; give --config, the rates of conf/resources.yaml")
    try:
        settings = yaml.safe_load(read_text(path))
        stages = {name: from_dict(StageRates, rates, f"{path}: {name}") for name, rates in settings["stages"].items()}
        gpu = from_dict(GpuRates, settings["gpu"], f"{path}: gpu")
        return Resources(str(settings["measured_on"]), stages, gpu)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise AsrtoolError(f"{path}: expected measured_on, stages and gpu ({why}); compare with conf/resources.yaml") from None


def data_hours(path: Path) -> float:
    """Hours of a data directory: of its utt2num_frames or utt2dur, else its segments or the headers of its recordings.

    Raises:
        AsrtoolError: no data directory, or a recording that cannot be read.
    """
    data = DataDir.load(path)
    if (path / "utt2num_frames").is_file() and not (path / "utt2dur").is_file():
        return sum(data.utt2num_frames.values()) * data.frame_shift_s / 3600
    return sum(data.utt2dur.values()) / 3600


def check_disk(resources: Resources, stage: str, hours: float, directory: Path) -> str:
    """One line on what `stage` needs and what is free.

    Raises:
        AsrtoolError: too little is free in the file system of `directory`; or no such stage.
    """
    if stage not in resources.stages:
        raise AsrtoolError(f"no stage '{stage}' in the rates; known: {', '.join(resources.stages)}")
    if not 0 <= hours < float("inf"):
        raise AsrtoolError(f"{hours} hours of speech: expected a number from 0 on")
    existing = directory.absolute()
    while not existing.is_dir():
        existing = existing.parent
    need, free = resources.stages[stage].disk_bytes(hours), shutil.disk_usage(existing).free
    if need > free:
        raise AsrtoolError(
            f"{directory}: {size(free)} are free, {stage} needs about {size(need)} for {hours:.4g} h of speech; make room, or "
            "give another directory (disk_check=false in the environment goes on all the same)"
        )
    return f"{directory}: {size(free)} are free, {stage} needs about {size(need)} for {hours:.4g} h of speech"


@dataclass(frozen=True)
class Task:
    """What a table is made for.

    Attributes:
        hours: of the training set.
        test_hours: of all test sets together.
        copies: of the training set after perturbation (3: speeds 0.9, 1, 1.1).
        cores: of the machine that makes features, GMMs and alignments.
        gpus: numbers of GPUs.
        epochs: of network training, over all copies.
        frames_per_s: that one GPU trains (cross-entropy); None: the published figure.
        skip: stages that the recipe does not have.
    """

    hours: float
    test_hours: float = 10.0
    copies: int = 3
    cores: int = 16
    gpus: Sequence[int] = (1, 4, 8)
    epochs: int = 4
    frames_per_s: float | None = None
    skip: Sequence[str] = ()

    def __post_init__(self) -> None:
        if min(self.hours, self.test_hours, self.copies, self.cores, self.epochs, *self.gpus) <= 0:
            raise AsrtoolError("hours, copies, cores, GPUs and epochs must be positive")
        if self.frames_per_s is not None and not self.frames_per_s > 0:
            raise AsrtoolError(f"--frames-per-s {self.frames_per_s}: expected a positive number")

    def speech(self, kind: str) -> float:
        """Hours of the training set, of it with its copies, or of the test sets."""
        return {"training": self.hours, "perturbed": self.hours * self.copies, "test": self.test_hours}[kind]


def table(resources: Resources, task: Task) -> str:
    """Markdown: a row a stage, then the GPUs."""
    unknown = [name for name in task.skip if name not in resources.stages]
    if unknown:
        raise AsrtoolError(f"no stage '{unknown[0]}' in the rates; known: {', '.join(resources.stages)}")
    lines = [f"| stage | hours of speech | disk | memory | CPU-hours | on {task.cores} cores |", "|---|---|---|---|---|---|"]
    disk = cpu_s = memory = 0.0
    for name, rates in resources.stages.items():
        if name in task.skip:
            continue
        hours = task.speech(rates.speech)
        disk += rates.disk_bytes(hours)
        cpu_s += rates.cpu_s(hours)
        memory = max(memory, rates.memory_bytes(hours))
        lines.append(
            f"| {name}: {rates.what} | {hours:.0f} | {size(rates.disk_bytes(hours))} | {size(rates.memory_bytes(hours))} | "
            f"{rates.cpu_s(hours) / 3600:.1f} | {duration(rates.cpu_s(hours) / task.cores)} |"
        )
    lines.append(f"| all | | {size(disk)} | {size(memory)} | {cpu_s / 3600:.1f} | {duration(cpu_s / task.cores)} |")
    return "\n".join([*lines, "", *_gpu_lines(resources.gpu, task)])


def _gpu_lines(gpu: GpuRates, task: Task) -> list[str]:
    """GPU-hours, and hours by the clock for each number of GPUs."""
    hours = task.speech("perturbed")
    rates = dict(gpu.frames_per_s)
    source = f"Published, not measured with asrtool: {gpu.source}"
    if task.frames_per_s is not None:
        scale = task.frames_per_s / rates["cross_entropy"]
        rates = {criterion: rate * scale for criterion, rate in rates.items()}
        source = f"From --frames-per-s {task.frames_per_s:g} (cross-entropy; the others in proportion). {source}"
    columns = " | ".join(f"{count} GPU{'s' if count > 1 else ''}" for count in task.gpus)
    lines = [
        f"| training on {hours:.0f} h | frames/s of a GPU | GPU-hours | {columns} |",
        "|---|---|---|" + "---|" * len(task.gpus),
    ]
    for criterion, rate in rates.items():
        epochs = task.epochs if criterion == "cross_entropy" else 1
        one = hours * FRAMES_PER_HOUR * epochs / rate
        clock = " | ".join(duration(one / _speed_up(gpu, count)) for count in task.gpus)
        lines.append(f"| {criterion}, {epochs} epoch{'s' if epochs > 1 else ''} | {rate:,.0f} | {one / 3600:.0f} | {clock} |")
    return [*lines, "", source]


def _speed_up(gpu: GpuRates, count: int) -> float:
    """As published; between and beyond the published numbers at the efficiency of the next smaller one."""
    known = max((number for number in gpu.speed_up if number <= count), default=1)
    return count * gpu.speed_up.get(known, 1.0) / known
