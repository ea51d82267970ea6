"""Model files: weights with all that decoding needs besides them.

A file is a torch archive of plain containers and tensors (`torch.load(weights_only=True)`, so that loading a file never
runs its code): format, model (kind and sizes), weights, features, input, feature_mean, feature_scale, log_prior,
global_cmvn, info.
"""

import dataclasses
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
from asrtool.io.atomic_file import atomic_path
from asrtool.io.config import from_dict
from asrtool.nnet.input import InputOptions
from asrtool.nnet.model import AcousticModel
from asrtool.nnet.registry import MODELS, make_model

FORMAT = "asrtool acoustic model 1"


@dataclass
class ModelBundle:
    """A model with its input and its priors.

    Attributes:
        model: the network.
        settings: its kind and sizes, as `registry.make_model` takes them.
        features: how the feature pipeline makes frames (CMVN, deltas).
        input: windows of frames and label delay.
        feature_mean_D, feature_scale_D: frames enter the windows as (frame - mean) * scale, with the statistics of the
            training data.
        log_prior_P: see `log_prior`.
        global_cmvn: statistics [2, D + 1] of the training data where `features.cmvn` is "global".
        info: where the model comes from (epoch, average, frames trained, frame error rate ...).
    """

    model: AcousticModel
    settings: dict[str, Any]
    features: FeatureOptions
    input: InputOptions
    feature_mean_D: Tensor
    feature_scale_D: Tensor
    log_prior_P: np.ndarray
    global_cmvn: np.ndarray | None = None
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def feature_dim(self) -> int:
        return len(self.feature_mean_D)

    @property
    def config(self) -> Any:
        """The sizes as the kind's config dataclass (`registry.MODELS`), defaults filled in."""
        return MODELS[self.settings["kind"]][0](**{key: value for key, value in self.settings.items() if key != "kind"})

    def pipeline(self, data_dir: str | Path | DataDir) -> FeaturePipeline:
        """The features of a data directory as the model takes them."""
        return FeaturePipeline(data_dir, self.features, self.global_cmvn)

    def normalise(self, features_TD: np.ndarray, name: str = "features") -> Tensor:
        """Frames as the windows take them, float32 [T, D]; raises AsrtoolError when D is not the model's."""
        if features_TD.ndim != 2 or features_TD.shape[1] != self.feature_dim:
            raise AsrtoolError(
                f"{name}: features of shape {features_TD.shape}, the model takes {self.feature_dim} dimensions; "
                "make them with the settings of the model's training"
            )
        return (torch.tensor(features_TD, dtype=torch.float32) - self.feature_mean_D) * self.feature_scale_D


def save_model(path: str | Path, bundle: ModelBundle, weights: dict[str, Tensor] | None = None) -> None:
    """Writes a model file, whole or not at all; `weights` (parameter name -> tensor) replace the model's own."""
    state = bundle.model.state_dict() if weights is None else {**bundle.model.state_dict(), **weights}
    content = {
        "format": FORMAT,
        "model": dict(bundle.settings),
        "num_pdfs": bundle.model.num_pdfs,
        "weights": {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()},
        "features": dataclasses.asdict(bundle.features),
        "input": dataclasses.asdict(bundle.input),
        "feature_mean": bundle.feature_mean_D,
        "feature_scale": bundle.feature_scale_D,
        "log_prior": torch.from_numpy(bundle.log_prior_P),
        "global_cmvn": None if bundle.global_cmvn is None else torch.from_numpy(bundle.global_cmvn),
        "info": bundle.info,
    }
    # to an open file: given a path, torch writes the temporary name into the archive, and hides why a disk refuses it
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)


def load_model(path: str | Path) -> ModelBundle:
    """Reads a model file onto the CPU, ready for evaluation.

    Raises:
        AsrtoolError: no such file, not a model file, or a truncated one.
    """
    if not Path(path).is_file():
        raise AsrtoolError(f"{path}: no such model file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise AsrtoolError(f"{path}: not a model file, or a truncated one ({str(error).splitlines()[0][:80]})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise AsrtoolError(f"{path}: not a model file of this version (expected '{FORMAT}')")
    features = from_dict(FeatureOptions, content["features"], f"{path}: features")
    window = from_dict(InputOptions, content["input"], f"{path}: input")
    model = make_model(content["model"], window.width * len(content["feature_mean"]), content["num_pdfs"])
    try:
        model.load_state_dict(content["weights"])
    except RuntimeError as error:
        raise AsrtoolError(f"{path}: weights do not fit the model's settings: {' '.join(str(error).split())[:120]}") from None
    return ModelBundle(
        model=model.eval(),
        settings=content["model"],
        features=features,
        input=window,
        feature_mean_D=content["feature_mean"],
        feature_scale_D=content["feature_scale"],
        log_prior_P=content["log_prior"].numpy(),
        global_cmvn=None if content["global_cmvn"] is None else content["global_cmvn"].numpy(),
        info=content["info"],
    )
