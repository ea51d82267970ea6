"""What our models do to frames before the network (normalisation, windows), as nnet1's components and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.nnet.model_file import ModelBundle
from asrtool.nnet.nnet1 import Component, component


@dataclass
class InputTransform:
    """Windows of `left` + 1 + `right` frames, each (frame + shift) * scale.

    shift_D, scale_D: float32 [D].
    window_shift, window_scale: float64 [width * D], where frames of a window are treated differently: the window is
        (window + shift) * scale, after the former. None where they are not.
    """

    shift_D: np.ndarray
    scale_D: np.ndarray
    left: int = 0
    right: int = 0
    window_shift: np.ndarray | None = None
    window_scale: np.ndarray | None = None


def input_transform(components: Sequence[Component]) -> tuple[InputTransform, list[Component]]:
    """The transform that the leading <AddShift>, <Rescale> and <Splice> make, and the components after them.

    Raises:
        AsrtoolError: splicing of frames that do not follow one another, or twice.
    """
    number = next((n for n, one in enumerate(components) if one.kind not in ("AddShift", "Rescale", "Splice")), len(components))
    leading, rest = components[:number], list(components[number:])
    splices = [n for n, one in enumerate(leading) if one.kind == "Splice"]
    if len(splices) > 1:
        raise AsrtoolError("nnet1: two <Splice> in the feature transform; one can be imported")
    cut = splices[0] if splices else len(leading)
    shift, scale = _affine(leading[:cut], components[0].input_dim)
    if not splices:
        return InputTransform(shift, scale), rest
    offsets = leading[cut].arrays["offsets"].tolist()
    left, right = -offsets[0], offsets[-1]
    if min(left, right) < 0 or len(offsets) != left + right + 1 or offsets != list(range(-left, right + 1)):
        raise AsrtoolError(f"nnet1: <Splice> of the frames {offsets}; only a run of frames with 0 in it can be imported")
    result = InputTransform(shift, scale, left, right)
    after_shift, after_scale = _affine(leading[cut + 1 :], leading[cut].output_dim)
    frames = [array.reshape(len(offsets), -1) for array in (after_shift, after_scale)]
    before_is_nothing = not shift.any() and (scale == 1).all()
    if all((rows == rows[0]).all() for rows in frames) and before_is_nothing:
        result.shift_D, result.scale_D = (rows[0].copy() for rows in frames)
    elif after_shift.any() or (after_scale != 1).any():
        result.window_shift, result.window_scale = after_shift.astype(np.float64), after_scale.astype(np.float64)
    return result, rest


def _affine(components: Sequence[Component], dim: int) -> tuple[np.ndarray, np.ndarray]:
    """(shift, scale) float32 [dim] of (x + shift) * scale; exact for one <AddShift> and then one <Rescale>."""
    shift, scale = np.zeros(dim), np.ones(dim)
    for one in components:
        if one.kind == "AddShift":
            if (scale == 0).any():
                raise AsrtoolError("nnet1: <AddShift> after a <Rescale> by zero; drop those dimensions from the features")
            shift = shift + one.arrays["shift"] / scale
        else:
            scale = scale * one.arrays["scale"]
    return shift.astype(np.float32), scale.astype(np.float32)


def transform_components(bundle: ModelBundle) -> list[Component]:
    """The normalisation and the windows of a model as a feature transform (nnet1's final.feature_transform)."""
    dim, window = bundle.feature_dim, bundle.input
    offsets = np.arange(-window.left, window.right + 1, dtype=np.int32)
    return [
        component("AddShift", dim, dim, shift=-bundle.feature_mean_D.numpy()),
        component("Rescale", dim, dim, scale=bundle.feature_scale_D.numpy()),
        component("Splice", dim * window.width, dim, offsets=offsets),
    ]
