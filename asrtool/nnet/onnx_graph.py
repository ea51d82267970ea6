"""A thin layer over onnx.helper: operators by name, constants by value, and the layers that our models are made of."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from asrtool import __version__
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path
from asrtool.nnet.lstm_layer import LstmLayer

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    raise AsrtoolError("the package onnx is not installed; install the extra `export`: pip install 'asrtool[export]'") from None

OPSET, IR_VERSION = 18, 10  # old enough for runtimes of 2024
LARGEST_INT64 = np.iinfo(np.int64).max
ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}


class OnnxGraph:
    """Collects nodes and constants; values are names of strings.

    Args:
        outer: the graph around this one, for the body of a loop: constants go there, where the body sees them.
    """

    def __init__(self, outer: "OnnxGraph | None" = None) -> None:
        self.outer = outer
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._count = 0

    def new_name(self, stem: str) -> str:
        if self.outer is not None:
            return self.outer.new_name(stem)
        self._count += 1
        return f"{stem}_{self._count}"

    def input(self, name: str, shape: list[int | str] | None) -> str:
        """An input, float32; `shape` with names for what is free."""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, value: str, name: str, shape: list[int | str] | None) -> None:
        """Makes a value an output under `name`."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, value: Any, stem: str = "constant") -> str:
        """A constant: a tensor or array becomes float32, Python integers int64."""
        if self.outer is not None:
            return self.outer.constant(value, stem)
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = self.new_name(stem)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """An operator with one output."""
        return self.nodes_of(operator, 1, *inputs, **attributes)[0]

    def nodes_of(self, operator: str, number: int, *inputs: str, **attributes: Any) -> list[str]:
        """An operator with several outputs."""
        outputs = [self.new_name(operator.lower()) for _ in range(number)]
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, **attributes))
        return outputs

    def linear(self, x: str, layer: nn.Linear) -> str:
        """[..., F] -> [..., P]."""
        product = self.node("MatMul", x, self.constant(layer.weight.t(), "weight"))
        return product if layer.bias is None else self.node("Add", product, self.constant(layer.bias, "bias"))

    def activation(self, name: str, x: str) -> str:
        return x if name == "linear" else self.node(ACTIVATIONS[name], x)

    def slice(self, x: str, axis: int, begin: int, end: int | None) -> str:
        """x[begin:end] of one axis, as Python counts."""
        bounds = [self.constant([value]) for value in (begin, LARGEST_INT64 if end is None else end, axis)]
        return self.node("Slice", x, *bounds)

    def swap_batch_and_time(self, x: str) -> str:
        return self.node("Transpose", x, perm=[1, 0, 2])

    def lstm_layers(self, layers: nn.ModuleList, x_TBF: str, state: list[str]) -> tuple[str, list[str]]:
        """`lstm_layer.run_layers`."""
        after: list[str] = []
        for layer, r, c in zip(layers, state[::2], state[1::2], strict=True):
            r, c, x_TBF = self._lstm_layer(layer, x_TBF, r, c)
            after += [r, c]
        return x_TBF, after

    def _lstm_layer(self, layer: LstmLayer, x_TBF: str, r: str, c: str) -> list[str]:
        """`LstmLayer` as a Scan over time: ONNX's LSTM has neither projection nor cell clipping. Returns (r, c, out_TBR)."""
        gates = self.node("MatMul", x_TBF, self.constant(layer.w_x, "w_x"))
        gates = self.node("Add", gates, self.constant(layer.bias, "lstm_bias"))
        body = OnnxGraph(self)
        names = [body.new_name(stem) for stem in ("r_before", "c_before", "gates", "r_after", "c_after", "out")]
        r_before, c_before, gates_t = (body.input(name, None) for name in names[:3])
        r_after, c_after = _lstm_step(body, layer, r_before, c_before, gates_t)
        for value, name in zip((r_after, c_after, r_after), names[3:], strict=True):
            body.output(value, name, None)
        return self.nodes_of("Scan", 3, r, c, gates, body=body.proto("lstm_step"), num_scan_inputs=1)

    def proto(self, name: str) -> "onnx.GraphProto":
        return helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)


def write_onnx(path: str | Path, graph: "onnx.GraphProto", metadata: dict[str, str]) -> None:
    """Checks a graph and writes it with its metadata, whole or not at all."""
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="asrtool")
    model.producer_version = __version__
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)


def _lstm_step(body: OnnxGraph, layer: LstmLayer, r: str, c: str, gates: str) -> tuple[str, str]:
    """One step of `LstmLayer`; `gates` is the input's share of them."""
    clip = layer.config.cell_clip
    total = body.node("Add", gates, body.node("MatMul", r, body.constant(layer.w_h, "w_h")))
    i, f, o, g = body.nodes_of("Split", 4, total, axis=-1, num_outputs=4)

    def peep(gate: str, cells: str, weight: Tensor | None) -> str:
        if weight is None:
            return gate
        return body.node("Add", gate, body.node("Mul", cells, body.constant(weight, "peephole")))

    i, f = (body.node("Sigmoid", peep(gate, c, weight)) for gate, weight in ((i, layer.p_i), (f, layer.p_f)))
    c = body.node("Add", body.node("Mul", f, c), body.node("Mul", i, body.node("Tanh", g)))
    if clip > 0:
        c = body.node("Clip", c, body.constant(-float(clip), "clip"), body.constant(float(clip), "clip"))
    o = body.node("Sigmoid", peep(o, c, layer.p_o))
    m = body.node("Mul", o, body.node("Tanh", c))
    return m if layer.w_r is None else body.node("MatMul", m, body.constant(layer.w_r, "w_r")), c
