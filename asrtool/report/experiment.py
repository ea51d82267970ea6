"""What a training left in its experiment directory, read for a report; a missing piece is None or empty."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from asrtool.errors import AsrtoolError

FRAME_SHIFT_S = 0.01
NUMBERS = {  # fields of a record that the report counts with
    "train": ("epoch", "loss", "fer", "frames", "targets", "frames_per_s"),
    "valid": ("epoch", "loss", "fer", "frames", "targets", "frames_per_s"),
    "frames": ("epoch", "total"),
    "event": ("epoch",),
}


@dataclass
class Experiment:
    """Attributes:
    name: the directory as the user named it.
    config: of config.yaml; `config_text` as it stands there.
    run: of run.json.
    records: lines of metrics.jsonl by kind ("train", "valid", "frames", "event"), in order.
    evaluations: of evaluate-nnet's files EXP/evaluation*.json, by file name.
    decodings: lines "%WER ..." of EXP/decode*/scoring_kaldi/best_*, by decoding directory.
    notes: what could not be read, a sentence each.
    """

    path: Path
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    config_text: str = ""
    run: dict[str, Any] = field(default_factory=dict)
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    decodings: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return self.records.get(kind, [])

    @property
    def models(self) -> list[str]:
        """Names of the models that were validated, the global one first."""
        return list(dict.fromkeys(record["model"] for record in self.of_kind("valid")))

    @property
    def num_workers(self) -> int | None:
        """Of the last start of this training."""
        return self.run.get("workers")

    def best(self, model: str) -> dict[str, Any] | None:
        """The validation record of a model with the lowest FER."""
        found = [record for record in self.of_kind("valid") if record["model"] == model]
        return min(found, key=lambda record: record["fer"], default=None)


def read_experiment(path: Path) -> Experiment:
    """Reads an experiment directory.

    Raises:
        AsrtoolError: no such directory, not one of a network's training, or a broken line in metrics.jsonl.
    """
    if not path.is_dir():
        raise AsrtoolError(f"{path}: no such directory")
    if not any((path / name).is_file() for name in ("metrics.jsonl", "run.json", "config.yaml")):
        raise AsrtoolError(f"{path}: neither metrics.jsonl, run.json nor config.yaml in it; is it a network's training?")
    experiment = Experiment(path, str(path))
    if (path / "config.yaml").is_file():
        _read_config(experiment)
    experiment.run = _read_object(path / "run.json", experiment.notes) or {}
    if (path / "metrics.jsonl").is_file():
        experiment.records = read_metrics(path / "metrics.jsonl", experiment.notes)
    for file in sorted(path.glob("evaluation*.json")):
        evaluation = _read_object(file, experiment.notes)
        if evaluation is not None:
            experiment.evaluations[file.name] = evaluation
    for file in sorted(path.glob("decode*/scoring_kaldi/best_*")):
        experiment.decodings[file.parent.parent.name] = file.read_text(encoding="utf-8", errors="replace").strip()
    return experiment


def _read_config(experiment: Experiment) -> None:
    file = experiment.path / "config.yaml"
    experiment.config_text = file.read_text(encoding="utf-8", errors="replace")
    try:
        config = yaml.safe_load(experiment.config_text)
    except yaml.YAMLError:
        config = None
    if isinstance(config, dict):
        experiment.config = config
    else:
        experiment.notes.append(f"{file.name} is not readable as YAML; it is shown as it stands.")


def _read_object(file: Path, notes: list[str]) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if isinstance(content, dict):
        return content
    notes.append(f"{file.name} is not a JSON object and was left out.")
    return None


def read_metrics(path: Path, notes: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Records by kind. A last line without an end, as a training writes it or dies, is left out with a note.

    Raises:
        AsrtoolError: a line that is not a record; names its number.
    """
    records: dict[str, list[dict[str, Any]]] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            wrong = _what_is_wrong(record)
        except ValueError:
            if number == len(lines):
                notes.append(f"Line {number} of metrics.jsonl is incomplete and was left out.")
                break
            wrong = "is not JSON"
        if wrong:
            raise AsrtoolError(f"{path}: line {number} {wrong}; remove the line")
        records.setdefault(record["kind"], []).append(record)
    return records


def _what_is_wrong(record: Any) -> str:
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        return "is not a record with a 'kind'"
    for name in NUMBERS.get(record["kind"], ()):
        value = record.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"has no number '{name}'"
        if not math.isfinite(value) and name not in ("loss", "fer"):
            return f"has '{name}' {value}"
    if record["kind"] in ("train", "valid") and not isinstance(record.get("model"), str):
        return "has no 'model'"
    if record["kind"] == "frames" and not isinstance(record.get("seen"), list):
        return "has no list 'seen'"
    return ""


def by_epoch(records: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Records by the epoch (from 1) in which they were written: those of epoch 2 have 1 < `epoch` <= 2."""
    found: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        found.setdefault(max(1, math.ceil(record["epoch"] - 1e-6)), []).append(record)
    return dict(sorted(found.items()))


def seconds_of(record: dict[str, Any]) -> float:
    """Wall time that a record stands for."""
    return record["frames"] / record["frames_per_s"] if record["frames_per_s"] > 0 else 0.0


def hours(frames: float) -> float:
    """Hours of speech of a number of 10 ms frames."""
    return frames * FRAME_SHIFT_S / 3600
