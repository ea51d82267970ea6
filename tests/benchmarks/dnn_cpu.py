"""Training of the 8 x 2048 DNN on one core, against its bare matrix products.

usage: dnn_cpu.py [ROUNDS]     prints NAME ours=... reference=... ratio=... unit=...

Ours: forward, cross-entropy, backward and momentum SGD on minibatches of spliced frames (11 x 84 numbers, 1,480 pdfs). The
reference: the matrix products of these steps and nothing else, that is for every layer the product of inputs and weights,
that of output gradients and weights (but for the first layer), and that of output gradients and inputs, into buffers made
beforehand. Both in frames a second of CPU time, in turns; the medians are compared.
"""

import statistics
import sys
import time
from itertools import pairwise

import torch

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.nnet.registry import make_model
from asrtool.optim.optimizer import OptimizerConfig, make_optimizer

INPUT_DIM, HIDDEN_DIM, NUM_LAYERS, NUM_PDFS = 11 * 84, 2048, 8, 1480


def trainer(activation: str, batch: int):
    """A function that takes one step of training."""
    settings = {"kind": "dnn", "num_layers": NUM_LAYERS, "hidden_dim": HIDDEN_DIM, "activation": activation}
    torch.manual_seed(1)
    model = make_model(settings, INPUT_DIM, NUM_PDFS)
    optimizer = make_optimizer(OptimizerConfig(), model, 1e-3)
    x_BTF, target_BT = torch.randn(batch, 1, INPUT_DIM), torch.randint(NUM_PDFS, (batch, 1))

    def step() -> None:
        optimizer.zero_grad()
        loss, _ = cross_entropy(model(x_BTF, ())[0], target_BT)
        (loss / batch).backward()
        optimizer.step()

    return step


def bare_products(batch: int):
    """A function that makes the matrix products of one step."""
    dims = [INPUT_DIM] + [HIDDEN_DIM] * NUM_LAYERS + [NUM_PDFS]
    weights = [torch.randn(dim_out, dim_in) for dim_in, dim_out in pairwise(dims)]
    gradients = [torch.empty_like(weight) for weight in weights]
    y = [torch.randn(batch, dim) for dim in dims]
    d_y = [torch.randn(batch, dim) for dim in dims]
    out = [torch.empty(batch, dim) for dim in dims]

    def step() -> None:
        for layer, weight in enumerate(weights):
            torch.mm(y[layer], weight.t(), out=out[layer + 1])
        for layer in range(len(weights) - 1, -1, -1):
            torch.mm(d_y[layer + 1].t(), y[layer], out=gradients[layer])
            if layer > 0:
                torch.mm(d_y[layer + 1], weights[layer], out=out[layer])

    return step


def cpu_seconds(step) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(1)
    for batch in (1024, 512):
        steps = {name: trainer(name, batch) for name in ("relu", "sigmoid")} | {"bare": bare_products(batch)}
        for step in steps.values():
            step()  # allocates, and lets the optimiser make its buffers
        times = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                times[name].append(cpu_seconds(step))
        rate = {name: batch / statistics.median(seconds) for name, seconds in times.items()}
        for name in ("relu", "sigmoid"):
            ours, reference = rate[name], rate["bare"]
            print(
                f"dnn_cpu_{name}_{batch} ours={ours:.1f} reference={reference:.1f} ratio={ours / reference:.2f} unit=frames/cpu-s"
            )


if __name__ == "__main__":
    main()
