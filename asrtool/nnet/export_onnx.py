"""Networks as ONNX files: one graph from input windows and state to log-likelihoods and state.

Inputs: `x` float32 [batch, windows, width * feature_dim], windows of frames as the feature pipeline makes them (the
normalisation by the training data's mean and scale is in the graph), and `state_0`, `state_1`, ..., zeros at the start of
an utterance. Outputs: `loglikes` (or `log_posteriors`, `logits`) [batch, windows, num_pdfs] and `next_state_0`, ..., which
go into the next chunk. The file's metadata say the rest, each value as JSON: see `metadata`.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from asrtool.errors import AsrtoolError
from asrtool.nnet.cldnn import Cldnn, CldnnConfig
from asrtool.nnet.dnn import Dnn, DnnConfig
from asrtool.nnet.lstm import Lstm, LstmConfig
from asrtool.nnet.lstmp import Lstmp, LstmpConfig
from asrtool.nnet.model_file import ModelBundle
from asrtool.nnet.onnx_graph import OnnxGraph, write_onnx
from asrtool.nnet.tdnn import SMALLEST_MEAN_SQUARE, Tdnn, TdnnConfig

OUTPUTS = ("loglikes", "log_posteriors", "logits")
BATCH, WINDOWS = "batch", "windows"


def export_onnx(bundle: ModelBundle, path: str | Path, chunk_windows: int | None = None, output: str = "loglikes") -> None:
    """Writes an ONNX file, whole or not at all.

    Args:
        chunk_windows: the number of windows in `x`; None: any.
        output: one of OUTPUTS; "loglikes" are log posteriors minus log priors.

    Raises:
        AsrtoolError: a kind of model that has no builder here.
    """
    kind = bundle.settings["kind"]
    if kind not in BUILDERS:
        raise AsrtoolError(f"models of kind {kind} have no ONNX export; {', '.join(BUILDERS)} have")
    graph, windows = OnnxGraph(), chunk_windows or WINDOWS
    x = graph.input("x", [BATCH, windows, bundle.model.input_dim])
    for name, vector, operator in (("mean", bundle.feature_mean_D, "Sub"), ("scale", bundle.feature_scale_D, "Mul")):
        x = graph.node(operator, x, graph.constant(vector.repeat(bundle.input.width), f"feature_{name}"))
    shapes = [list(tensor.shape[1:]) for tensor in bundle.model.initial_state(1)]
    state = [graph.input(f"state_{number}", [BATCH, *shape]) for number, shape in enumerate(shapes)]
    y, after = BUILDERS[kind](graph, bundle.model, bundle.config, x, state)
    if output != "logits":
        y = graph.node("LogSoftmax", y, axis=-1)
    if output == "loglikes":
        y = graph.node("Sub", y, graph.constant(bundle.log_prior_P, "log_prior"))
    graph.output(y, output, [BATCH, windows, bundle.model.num_pdfs])
    for number, (value, shape) in enumerate(zip(after, shapes, strict=True)):
        graph.output(value, f"next_state_{number}", [BATCH, *shape])
    write_onnx(path, graph.proto(kind), {key: json.dumps(value) for key, value in metadata(bundle, output).items()})


def metadata(bundle: ModelBundle, output: str) -> dict:
    """What stands in the file besides the graph.

    features: CMVN and differences; input: left, right, stride, label_delay (the first label_delay outputs of an utterance are
    dropped, and its end is repeated for as many windows); log_prior: of each pdf; info: where the model comes from.
    """
    return {
        "kind": bundle.settings["kind"],
        "model": dict(bundle.settings),
        "features": dataclasses.asdict(bundle.features),
        "input": dataclasses.asdict(bundle.input),
        "feature_dim": bundle.feature_dim,
        "num_pdfs": bundle.model.num_pdfs,
        "output": output,
        "log_prior": bundle.log_prior_P.tolist(),
        "global_cmvn": None if bundle.global_cmvn is None else bundle.global_cmvn.tolist(),
        "info": {key: value for key, value in bundle.info.items() if isinstance(value, str | int | float | bool)},
    }


def check_onnx(bundle: ModelBundle, path: str | Path, num_windows: int = 50, output: str = "loglikes") -> float:
    """The largest difference between onnxruntime on a written file and the model here, over two streams of noise.

    Raises:
        AsrtoolError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise AsrtoolError("the package onnxruntime is not installed; the file is written but not checked") from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    spread = 1 / bundle.feature_scale_D.clamp_min(1e-6).repeat(bundle.input.width)
    mean = bundle.feature_mean_D.repeat(bundle.input.width)
    x = torch.randn(2, num_windows, len(mean), generator=torch.Generator().manual_seed(0)) * spread + mean
    state = bundle.model.initial_state(2)
    feeds = {f"state_{number}": tensor.numpy() for number, tensor in enumerate(state)}
    found = session.run([output], {"x": x.numpy(), **feeds})[0]
    with torch.inference_mode():
        logits, _ = bundle.model((x - mean) / spread, state)
    expected = {"logits": logits, "log_posteriors": logits.log_softmax(-1)}
    expected["loglikes"] = expected["log_posteriors"] - torch.from_numpy(bundle.log_prior_P)
    scale = np.maximum(1, np.abs(expected[output].numpy()))
    return float((np.abs(found - expected[output].numpy()) / scale).max())


def _dnn(graph: OnnxGraph, model: Dnn, config: DnnConfig, x: str, state: list[str]) -> tuple[str, list[str]]:
    for layer in model.hidden:
        x = graph.activation(config.activation, graph.linear(x, layer))
    return graph.linear(x, model.output), state


def _lstm(graph: OnnxGraph, model: Lstm, config: LstmConfig, x: str, state: list[str]) -> tuple[str, list[str]]:
    y_TBH, after = graph.lstm_layers(model.layers, graph.swap_batch_and_time(x), state)
    y = graph.activation(config.fc_activation, graph.linear(graph.swap_batch_and_time(y_TBH), model.fc))
    return graph.linear(y, model.output), after


def _lstmp(graph: OnnxGraph, model: Lstmp, config: LstmpConfig, x: str, state: list[str]) -> tuple[str, list[str]]:
    y_TBR, after = graph.lstm_layers(model.layers, graph.swap_batch_and_time(x), state)
    return graph.linear(graph.swap_batch_and_time(y_TBR), model.output), after


def _cldnn(graph: OnnxGraph, model: Cldnn, config: CldnnConfig, x: str, state: list[str]) -> tuple[str, list[str]]:
    x_TBF = graph.swap_batch_and_time(x)
    frames, channels = config.window_frames, config.delta_order + 1
    y = graph.node("Reshape", x_TBF, graph.constant([-1, frames, channels, model.input_dim // frames // channels]))
    y = graph.node("Transpose", y, perm=[0, 2, 1, 3])  # [N, channels, frames, mel bins]
    for layer, pool in ((model.convolution1, config.pool), (model.convolution2, 1)):
        y = graph.node("Conv", y, graph.constant(layer.weight, "filter"), graph.constant(layer.bias, "bias"))
        if pool > 1:
            y = graph.node("MaxPool", y, kernel_shape=[1, pool], strides=[1, pool], ceil_mode=1)
        y = graph.node("Relu", y)
    y = graph.node("Transpose", y, perm=[0, 2, 3, 1])
    y = graph.linear(graph.node("Reshape", y, graph.constant([-1, model.reduction.in_features])), model.reduction)
    time_and_batch = graph.slice(graph.node("Shape", x_TBF), 0, 0, 2)
    shape = graph.node("Concat", time_and_batch, graph.constant([config.reduction_dim]), axis=0)
    y, after = graph.lstm_layers(model.layers, graph.node("Reshape", y, shape), state)
    y = graph.swap_batch_and_time(y)
    for layer in model.fc:
        y = graph.activation(config.fc_activation, graph.linear(y, layer))
    return graph.linear(y, model.output), after


def _tdnn(graph: OnnxGraph, model: Tdnn, config: TdnnConfig, x: str, state: list[str]) -> tuple[str, list[str]]:
    past, after = iter(state), []
    for layer, offsets in zip(model.hidden, model.offsets, strict=True):
        oldest = offsets[0]  # the last offset is 0
        if oldest < 0:
            x = graph.node("Concat", next(past), x, axis=1)
            after.append(graph.slice(x, 1, oldest, None))
        spliced = [graph.slice(x, 1, offset - oldest, offset or None) for offset in offsets] if oldest < 0 else [x]
        y = graph.node("Concat", *spliced, axis=-1) if len(spliced) > 1 else spliced[0]
        y = graph.node("Relu", graph.linear(y, layer))
        mean_square = graph.node("ReduceMean", graph.node("Mul", y, y), graph.constant([-1]), keepdims=1)
        floored = graph.node("Max", mean_square, graph.constant(SMALLEST_MEAN_SQUARE))
        x = graph.node("Div", y, graph.node("Sqrt", floored))
    return graph.linear(x, model.output), after


BUILDERS: dict[str, Callable] = {"dnn": _dnn, "lstm": _lstm, "lstmp": _lstmp, "cldnn": _cldnn, "tdnn": _tdnn}
