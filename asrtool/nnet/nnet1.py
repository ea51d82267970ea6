"""Network files of Kaldi's nnet1 (kaldi/src/nnet): final.nnet and final.feature_transform, text or binary.

A file is a list of components. Each has a marker, its output and input dimensions, some named numbers, some arrays. What is
read is kept as it is, so that a file that Kaldi wrote is written again byte for byte.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter

END = "<!EndOfComponent>"


@dataclass(frozen=True)
class Layout:
    """How a kind of component is written.

    scalars: named numbers with Kaldi's defaults, in Kaldi's order; an int default means an integer.
    arrays: (name, "matrix" | "vector" | "integers").
    new_line: whether, in text, the arrays begin on a new line.
    """

    scalars: tuple[tuple[str, float | int], ...] = ()
    arrays: tuple[tuple[str, str], ...] = ()
    new_line: bool = False


_LEARN_RATES = (("LearnRateCoef", 1.0), ("BiasLearnRateCoef", 1.0))
_LSTM_ARRAYS = ("w_gifo_x", "matrix"), ("w_gifo_r", "matrix"), ("bias", "vector")
_PEEPHOLES = ("peephole_i", "vector"), ("peephole_f", "vector"), ("peephole_o", "vector")
LAYOUTS = {
    "AffineTransform": Layout((*_LEARN_RATES, ("MaxNorm", 0.0)), (("weight", "matrix"), ("bias", "vector")), True),
    "LinearTransform": Layout(_LEARN_RATES[:1], (("weight", "matrix"),), True),
    "Sigmoid": Layout(),
    "Tanh": Layout(),
    "Softmax": Layout(),
    "ParametricRelu": Layout(
        (("BiasLearnRateCoef", 1.0), ("LearnRateCoef", 1.0), ("ClipGradient", 0.0)),
        (("alpha", "vector"), ("beta", "vector")),
        True,
    ),
    "LstmProjected": Layout(
        (("CellDim", 0), *_LEARN_RATES, ("CellClip", 50.0), ("DiffClip", 1.0), ("CellDiffClip", 0.0), ("GradClip", 250.0)),
        (*_LSTM_ARRAYS, *_PEEPHOLES, ("w_r_m", "matrix")),
        True,
    ),
    "Splice": Layout(arrays=(("offsets", "integers"),)),
    "Copy": Layout(arrays=(("indices", "integers"),)),  # from 1
    "AddShift": Layout((("LearnRateCoef", 0.0),), (("shift", "vector"),)),
    "Rescale": Layout((("LearnRateCoef", 0.0),), (("scale", "vector"),)),
}
_SAME_DIMS = ("Sigmoid", "Tanh", "Softmax", "ParametricRelu", "AddShift", "Rescale")
_OLD_NAMES = {"LstmProjectedStreams": "LstmProjected"}
_OLD_SCALARS = {"LstmProjected": {"ClipGradient": 0.0}}


@dataclass
class Component:
    """One component.

    Attributes:
        kind: a name in LAYOUTS, the marker without its angle brackets.
        output_dim, input_dim: numbers a frame.
        arrays: by the names in LAYOUTS; float32, or int32.
        scalars: as in the file, in its order.
    """

    kind: str
    output_dim: int
    input_dim: int
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    scalars: dict[str, float | int] = field(default_factory=dict)


def component(kind: str, output_dim: int, input_dim: int, scalars: dict | None = None, **arrays: np.ndarray) -> Component:
    """A new component with Kaldi's defaults for the numbers that are not given."""
    defaults = dict(LAYOUTS[kind].scalars)
    return Component(kind, output_dim, input_dim, arrays, defaults | (scalars or {}))


def read_nnet(path: str | Path) -> list[Component]:
    """Reads a network or a feature transform.

    Raises:
        AsrtoolError: no such file, damaged, a component that is not known here, or dimensions that do not fit.
    """
    components: list[Component] = []
    with KaldiReader.open(path) as reader:
        reader.expect_token("<Nnet>")
        while reader.peek_token() != "</Nnet>":
            reader.context = f"component {len(components) + 1}"
            components.append(_read_component(reader))
            if len(components) > 1 and components[-2].output_dim != components[-1].input_dim:
                raise reader.error(
                    f"takes {components[-1].input_dim} numbers, the one before it gives {components[-2].output_dim}"
                )
    if not components:
        raise AsrtoolError(f"{path}: a network without components")
    return components


def _read_component(reader: KaldiReader) -> Component:
    marker = reader.read_token()
    kind = marker.strip("<>")
    kind = _OLD_NAMES.get(kind, kind)
    if kind not in LAYOUTS:
        raise reader.error(f"{marker[:40]}: components of this kind cannot be used here; known are {', '.join(LAYOUTS)}")
    result = Component(kind, reader.read_int(), reader.read_int())
    if min(result.output_dim, result.input_dim) < 1 or (kind in _SAME_DIMS and result.output_dim != result.input_dim):
        raise reader.error(f"{marker} of {result.output_dim} numbers from {result.input_dim}; the file is damaged")
    names = dict(LAYOUTS[kind].scalars) | _OLD_SCALARS.get(kind, {})
    while names and reader.peek_token().strip("<>") in names:
        name = reader.read_token().strip("<>")
        result.scalars[name] = reader.read_int() if isinstance(names[name], int) else reader.read_float()
    read = {"matrix": reader.read_matrix, "vector": reader.read_float_vector, "integers": reader.read_int_vector}
    for name, shape in LAYOUTS[kind].arrays:
        result.arrays[name] = read[shape]()
        if result.arrays[name].shape != _shape(result, name):
            raise reader.error(f"{name} of shape {result.arrays[name].shape}, {_shape(result, name)} is due")
    if reader.peek_token() == END:  # absent in old files
        reader.read_token()
    return result


def _shape(one: Component, name: str) -> tuple[int, ...]:
    """The shape that an array must have."""
    if one.kind == "Splice":
        return (one.output_dim // one.input_dim,)
    if one.kind == "LstmProjected":
        cells, projected = one.scalars.get("CellDim", 0), one.output_dim
        shapes = {"w_gifo_x": (4 * cells, one.input_dim), "w_gifo_r": (4 * cells, projected), "bias": (4 * cells,)}
        return shapes.get(name, (projected, cells) if name == "w_r_m" else (cells,))
    return (one.output_dim, one.input_dim) if name == "weight" else (one.output_dim,)


def write_nnet(path: str | Path, components: list[Component], binary: bool = True) -> None:
    """Writes a network or a feature transform as Kaldi does, whole or not at all."""
    with KaldiWriter.open(path, binary) as writer:
        writer.write_token("<Nnet>")
        writer.newline()
        for one in components:
            _write_component(writer, one)
        writer.write_token("</Nnet>")
        writer.newline()


def _write_component(writer: KaldiWriter, one: Component) -> None:
    layout = LAYOUTS[one.kind]
    writer.write_token(f"<{one.kind}>")
    writer.write_int(one.output_dim)
    writer.write_int(one.input_dim)
    writer.newline()
    for name, value in one.scalars.items():
        writer.write_token(f"<{name}>")
        if isinstance(value, int):
            writer.write_int(value)
        else:
            writer.write_float(value)
    if layout.new_line:
        writer.newline()
    write = {"matrix": writer.write_matrix, "vector": writer.write_float_vector, "integers": writer.write_int_vector}
    for name, shape in layout.arrays:
        write[shape](one.arrays[name])
    writer.write_token(END)
    writer.newline()
