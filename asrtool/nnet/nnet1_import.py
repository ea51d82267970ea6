"""Model files from Kaldi's nnet1 networks: DNN, and LSTMP or LSTM (an LSTMP whose projection is the identity)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.nnet.input import InputOptions
from asrtool.nnet.model_file import ModelBundle
from asrtool.nnet.nnet1 import Component
from asrtool.nnet.nnet1_transform import InputTransform, input_transform
from asrtool.nnet.registry import make_model

ACTIVATIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "ParametricRelu": "relu"}
LSTM_WEIGHTS = {"p_i": "peephole_i", "p_f": "peephole_f", "p_o": "peephole_o"}


def import_nnet1(
    components: Sequence[Component],
    features: FeatureOptions,
    log_prior_P: np.ndarray | None = None,
    stride: int = 1,
    label_delay: int = 0,
) -> ModelBundle:
    """A model file's content from the components of a feature transform (if any) and a network, one after the other.

    Args:
        features: what the components see (CMVN, differences).
        log_prior_P: see `log_prior`; None for the same prior everywhere.
        stride: the network sees one window in this many (nnet1 has no skipping: `subsample-feats` before it).
        label_delay: nnet1's --targets-delay.

    Raises:
        AsrtoolError: components that none of our models has.
    """
    transform, rest = input_transform(components)
    body = list(rest[:-1] if rest and rest[-1].kind == "Softmax" else rest)
    if not body:
        raise AsrtoolError("nnet1: a feature transform without a network after it; give the network, final.nnet")
    _fold(transform, body)
    settings, weights = _lstm(body) if body[0].kind == "LstmProjected" else _dnn(body)
    num_pdfs = body[-1].output_dim
    model = make_model(settings, body[0].input_dim, num_pdfs)
    model.load_state_dict({name: torch.from_numpy(np.array(array, np.float32)) for name, array in weights.items()})
    if log_prior_P is None:
        log_prior_P = np.full(num_pdfs, -np.log(num_pdfs), np.float32)
    return ModelBundle(
        model=model.eval(),
        settings=settings,
        features=features,
        input=InputOptions(transform.left, transform.right, stride, label_delay),
        feature_mean_D=torch.from_numpy(-transform.shift_D),
        feature_scale_D=torch.from_numpy(transform.scale_D),
        log_prior_P=log_prior_P,
        info={"source": "Kaldi nnet1"},
    )


def _fold(transform: InputTransform, body: list[Component]) -> None:
    """Moves a shift and scale that differ between the frames of a window into the first layer's weights."""
    if transform.window_shift is None:
        return
    first = body[0]
    name = "w_gifo_x" if first.kind == "LstmProjected" else "weight"
    if name not in first.arrays or "bias" not in first.arrays:
        raise AsrtoolError(f"nnet1: <{first.kind}> as the first layer of a network is not supported")
    weight = first.arrays[name].astype(np.float64) * transform.window_scale
    bias = first.arrays["bias"] + weight @ transform.window_shift
    arrays = first.arrays | {name: weight.astype(np.float32), "bias": bias.astype(np.float32)}
    body[0] = Component(first.kind, first.output_dim, first.input_dim, arrays, first.scalars)


def _dnn(body: list[Component]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    affine, activations = body[::2], body[1::2]
    if len(body) % 2 == 0 or len(body) < 3 or any(one.kind != "AffineTransform" for one in affine):
        raise AsrtoolError(f"nnet1: {_names(body)}: expected affine transforms with an activation between each two")
    names = {_activation(one) for one in activations}
    hidden = {one.input_dim for one in activations}
    if len(names) > 1 or len(hidden) > 1:
        raise AsrtoolError(f"nnet1: hidden layers of {sorted(hidden)} units and {sorted(names)}; our DNN has all layers alike")
    weights = {}
    for number, layer in enumerate(affine):
        name = f"hidden.{number}" if number < len(activations) else "output"
        weights |= _linear(name, layer)
    settings = {"kind": "dnn", "num_layers": len(activations), "hidden_dim": hidden.pop(), "activation": names.pop()}
    return settings, weights


def _lstm(body: list[Component]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    layers = [one for one in body if one.kind == "LstmProjected"]
    rest = body[len(layers) :]
    kinds = [one.kind for one in rest]
    if body[: len(layers)] != layers or kinds.count("AffineTransform") not in (1, 2) or kinds[-1] != "AffineTransform":
        raise AsrtoolError(f"nnet1: {_names(body)}: expected LSTM layers, perhaps one hidden layer, and the output layer")
    settings, weights = _lstm_layers(layers)
    if len(rest) == 1:
        return {"kind": "lstmp", **settings}, weights | _linear("output", rest[0])
    if kinds[0] != "AffineTransform" or len(rest) > 3:
        raise AsrtoolError(f"nnet1: {_names(body)}: expected LSTM layers, perhaps one hidden layer, and the output layer")
    activation = _activation(rest[1]) if len(rest) == 3 else "linear"
    if all(_is_identity(layer.arrays["w_r_m"]) for layer in layers):
        settings["projection_dim"] = 0
        weights = {name: array for name, array in weights.items() if not name.endswith(".w_r")}
    settings = {"kind": "lstm", **settings, "fc_dim": rest[0].output_dim, "fc_activation": activation}
    return settings, weights | _linear("fc", rest[0]) | _linear("output", rest[-1])


def _lstm_layers(layers: list[Component]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    sizes = {(one.scalars["CellDim"], one.output_dim) for one in layers}
    clips = {tuple(_shortest(one.scalars.get(name, 0)) for name in ("CellClip", "DiffClip", "CellDiffClip")) for one in layers}
    if len(sizes) > 1 or len(clips) > 1:
        raise AsrtoolError("nnet1: LSTM layers of different sizes or clipping; our LSTM has all layers alike")
    (cells, projected), (cell_clip, diff_clip, cell_diff_clip) = sizes.pop(), clips.pop()
    peepholes = any(one.arrays[name].any() for one in layers for name in LSTM_WEIGHTS.values())
    weights: dict[str, np.ndarray] = {}
    for number, layer in enumerate(layers):
        arrays = layer.arrays
        gates = {"w_x": arrays["w_gifo_x"].T, "w_h": arrays["w_gifo_r"].T, "bias": arrays["bias"]}
        ours = {name: np.roll(array, -cells, axis=-1) for name, array in gates.items()}  # g i f o -> i f o g
        ours["w_r"] = arrays["w_r_m"].T
        if peepholes:
            ours |= {name: arrays[theirs] for name, theirs in LSTM_WEIGHTS.items()}
        weights |= {f"layers.{number}.{name}": array for name, array in ours.items()}
    clipping = {"cell_clip": cell_clip, "diff_clip": diff_clip, "cell_diff_clip": cell_diff_clip}
    settings = {"num_layers": len(layers), "num_cells": cells, "projection_dim": projected, "peepholes": peepholes}
    return settings | clipping, weights


def _linear(name: str, one: Component) -> dict[str, np.ndarray]:
    return {f"{name}.weight": one.arrays["weight"], f"{name}.bias": one.arrays["bias"]}


def _activation(one: Component) -> str:
    if one.kind not in ACTIVATIONS:
        raise AsrtoolError(f"nnet1: <{one.kind}> between two layers; our models have {', '.join(ACTIVATIONS)}")
    if one.kind == "ParametricRelu" and ((one.arrays["alpha"] != 1).any() or one.arrays["beta"].any()):
        raise AsrtoolError("nnet1: <ParametricRelu> with slopes other than 1 and 0; our models have the plain ReLU")
    return ACTIVATIONS[one.kind]


def _shortest(value: float) -> float:
    """0.3 for the float32 next to it."""
    return float(str(np.float32(value)))


def _is_identity(matrix: np.ndarray) -> bool:
    return matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))


def _names(components: list[Component]) -> str:
    return " ".join(f"<{one.kind}>" for one in components)
