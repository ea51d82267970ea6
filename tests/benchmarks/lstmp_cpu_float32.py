"""Training steps of Sak's LSTMP (2 x 800 cells, 512 projected, 40 inputs, 1,480 outputs, 20-frame chunks) on one core in float32
against nn.LSTM(proj_size=512) with nn.Linear.

Prints frames per CPU second at 4 and at 32 streams: forward, cross-entropy (the same function), backward, SGD update. Both run
in turns and the median of the rounds counts, because other programs disturb both. The losses must be equal, or the benchmark
fails.
"""

import time
import warnings
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.nnet.lstmp import Lstmp, LstmpConfig

INPUT_DIM, CELLS, PROJECTION, NUM_PDFS, FRAMES = 40, 800, 512, 1480, 20
ROUNDS = 7
LEARNING_RATE = 1e-5


class Reference(nn.Module):
    """nn.LSTM with projection and an output layer, weights those of `model`."""

    def __init__(self, model: Lstmp) -> None:
        super().__init__()
        self.lstm = nn.LSTM(INPUT_DIM, CELLS, len(model.layers), proj_size=PROJECTION)
        self.output = nn.Linear(PROJECTION, NUM_PDFS)
        self.output.load_state_dict(model.output.state_dict())
        for index, layer in enumerate(model.layers):
            named = {"weight_ih": layer.w_x.t(), "weight_hh": layer.w_h.t(), "bias_ih": layer.bias}
            for name, tensor in named.items():
                i, f, o, g = tensor.chunk(4)
                getattr(self.lstm, f"{name}_l{index}").data.copy_(torch.cat((i, f, g, o)))  # nn.LSTM's order
            getattr(self.lstm, f"weight_hr_l{index}").data.copy_(layer.w_r.t())
            getattr(self.lstm, f"bias_hh_l{index}").data.zero_()
            getattr(self.lstm, f"bias_hh_l{index}").requires_grad_(False)  # a second bias, which ours does not have

    def forward(self, x_BTF: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        y_TBR, state = self.lstm(x_BTF.transpose(0, 1), state or None)
        return self.output(y_TBR).transpose(0, 1), state


def training_steps(model: nn.Module, state: tuple[Tensor, ...], chunks: list[tuple[Tensor, Tensor]], bf16: bool) -> list[float]:
    """Runs over the chunks (x_BTF, target_BT) as the trainer does; returns each chunk's loss a frame."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    losses = []
    for x_BTF, target_BT in chunks:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits, state = model(x_BTF, state)
        loss, _ = cross_entropy(logits, target_BT)
        loss.backward()
        with torch.no_grad():
            torch._foreach_add_(
                parameters, [parameter.grad for parameter in parameters], alpha=-LEARNING_RATE / target_BT.numel()
            )
        for parameter in parameters:
            parameter.grad = None
        state = tuple(tensor.detach() for tensor in state)
        losses.append(loss.item() / target_BT.numel())
    return losses


def interleaved_medians(kinds: dict[str, Callable], rounds: int) -> dict[str, float]:
    """CPU seconds of each callable: all in turns, the median of the rounds."""
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, call in kinds.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: median(values) for name, values in times.items()}


def measure(num_streams: int, bf16: bool, tolerance: float, num_chunks: int) -> tuple[float, float]:
    """Frames per CPU second of ours and of the reference."""
    torch.manual_seed(1)
    model = Lstmp(LstmpConfig(num_cells=CELLS, projection_dim=PROJECTION, num_layers=2), INPUT_DIM, NUM_PDFS)
    reference = Reference(model)
    chunks = [
        (torch.randn(num_streams, FRAMES, INPUT_DIM), torch.randint(NUM_PDFS, (num_streams, FRAMES))) for _ in range(num_chunks)
    ]
    chunks = [(x.transpose(0, 1).contiguous().transpose(0, 1), target) for x, target in chunks]  # as the loader gives them
    warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
    kinds = {
        "ours": lambda: training_steps(model, model.initial_state(num_streams), chunks, bf16),
        "reference": lambda: training_steps(reference, (), chunks, False),
    }
    ours, theirs = (torch.tensor(call()) for call in kinds.values())  # also compiles kernels
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    times = interleaved_medians(kinds, ROUNDS)
    return tuple(num_streams * FRAMES * num_chunks / times[name] for name in kinds)


def main() -> None:
    torch.set_num_threads(1)
    for num_streams, num_chunks in ((4, 8), (32, 2)):
        ours, theirs = measure(num_streams, bf16=False, tolerance=1e-4, num_chunks=num_chunks)
        name = f"lstmp_cpu_float32_{num_streams}_streams"
        print(f"{name} ours={ours:.0f} reference={theirs:.0f} ratio={ours / theirs:.2f} unit=frames/CPU-s", flush=True)


if __name__ == "__main__":
    main()
