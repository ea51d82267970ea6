"""Every acoustic model by name: a new one is one file and one line here, and the contract tests take it up."""

from typing import Any

from asrtool.errors import AsrtoolError
from asrtool.io.config import from_dict
from asrtool.nnet.cldnn import Cldnn, CldnnConfig
from asrtool.nnet.dnn import Dnn, DnnConfig
from asrtool.nnet.lstm import Lstm, LstmConfig
from asrtool.nnet.lstmp import Lstmp, LstmpConfig
from asrtool.nnet.model import AcousticModel
from asrtool.nnet.tdnn import Tdnn, TdnnConfig

MODELS: dict[str, tuple[type, type]] = {
    "dnn": (DnnConfig, Dnn),
    "lstm": (LstmConfig, Lstm),
    "lstmp": (LstmpConfig, Lstmp),
    "cldnn": (CldnnConfig, Cldnn),
    "tdnn": (TdnnConfig, Tdnn),
}


def check_settings(settings: dict[str, Any], where: str = "model") -> None:
    """Raises AsrtoolError unless `settings` is {"kind": a name in MODELS, ...that model's sizes}."""
    kind = settings.get("kind")
    if kind not in MODELS:
        raise AsrtoolError(f"{where}: kind: expected one of {', '.join(MODELS)}, found {kind!r}")
    from_dict(MODELS[kind][0], _sizes(settings), where)


def make_model(settings: dict[str, Any], input_dim: int, num_pdfs: int) -> AcousticModel:
    """Builds the model that `settings` ({"kind": "lstm", "num_cells": 256, ...}) describes, with random weights.

    Raises:
        AsrtoolError: an unknown kind, key or value.
    """
    check_settings(settings)
    config_class, model_class = MODELS[settings["kind"]]
    return model_class(from_dict(config_class, _sizes(settings), "model"), input_dim, num_pdfs)


def is_recurrent(settings: dict[str, Any]) -> bool:
    """Whether the kind of model carries a state (and so trains on streams)."""
    check_settings(settings)
    return MODELS[settings["kind"]][1].recurrent


def _sizes(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "kind"}
