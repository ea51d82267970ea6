"""Models of a training on disk: EXP/models/<name>/<label>.pt, and the final ones as EXP/final_<name>.pt."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from asrtool.io.atomic_file import atomic_path
from asrtool.nnet.model_file import ModelBundle, save_model
from asrtool.train.disk import writing


class ModelWriter:
    """Writes models; rank 0 alone does it.

    Raises:
        AsrtoolError: from all methods, when the disk is full.
    """

    def __init__(self, experiment: Path, bundle: ModelBundle, active: bool) -> None:
        self.experiment = experiment
        self.bundle = bundle
        self.active = active

    def save(self, models: dict[str, dict[str, Tensor]], label: str, info: dict[str, Any]) -> None:
        """Writes the weights of each model as its model `label`."""
        for name, weights in models.items() if self.active else ():
            path = self._path(name, label)
            with writing(path):
                save_model(path, dataclasses.replace(self.bundle, info={**info, "model": name}), weights)

    def keep(self, labels: dict[str, str]) -> None:
        """Makes the saved model `labels[name]` the final one of each name."""
        for name, label in labels.items() if self.active else ():
            path = self.experiment / f"final_{name}.pt"
            with writing(path), atomic_path(path) as temporary:
                shutil.copyfile(self._path(name, label), temporary)

    def _path(self, name: str, label: str) -> Path:
        return self.experiment / "models" / name / f"{label}.pt"
