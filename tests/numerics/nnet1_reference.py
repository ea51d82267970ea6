"""Kaldi's nnet1 components evaluated in float64, frame by frame, as their source describes them; the slow twin of our models."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_projected(one, x):
    weights = {name: array.astype(np.float64) for name, array in one.arrays.items()}
    cells, clip = one.scalars["CellDim"], one.scalars["CellClip"]
    r, c, out = np.zeros(one.output_dim), np.zeros(cells), []
    for frame in x:
        g, i, f, o = np.split(weights["w_gifo_x"] @ frame + weights["w_gifo_r"] @ r + weights["bias"], 4)
        i, f = sigmoid(i + weights["peephole_i"] * c), sigmoid(f + weights["peephole_f"] * c)
        c = i * np.tanh(g) + f * c
        c = np.clip(c, -clip, clip) if clip > 0 else c
        r = weights["w_r_m"] @ (sigmoid(o + weights["peephole_o"] * c) * np.tanh(c))
        out.append(r)
    return np.array(out)


def splice(one, x):
    return np.array([np.concatenate([x[min(max(t + k, 0), len(x) - 1)] for k in one.arrays["offsets"]]) for t in range(len(x))])


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


EVALUATE = {
    "AffineTransform": lambda one, x: x @ one.arrays["weight"].astype(np.float64).T + one.arrays["bias"],
    "LinearTransform": lambda one, x: x @ one.arrays["weight"].astype(np.float64).T,
    "Sigmoid": lambda one, x: sigmoid(x),
    "Tanh": lambda one, x: np.tanh(x),
    "Softmax": lambda one, x: softmax(x),
    "ParametricRelu": lambda one, x: x * np.where(x > 0, one.arrays["alpha"], one.arrays["beta"]),
    "LstmProjected": lstm_projected,
    "Splice": splice,
    "Copy": lambda one, x: x[:, one.arrays["indices"] - 1],
    "AddShift": lambda one, x: x + one.arrays["shift"],
    "Rescale": lambda one, x: x * one.arrays["scale"],
}


def evaluate(components, x_TD):
    """The components one after the other on [T, D]; float64."""
    x = np.asarray(x_TD, np.float64)
    for one in components:
        x = EVALUATE[one.kind](one, x)
        assert x.shape[1] == one.output_dim
    return x
