"""Training steps of Sak's 13 M parameter LSTMP on a GPU in bfloat16: frames per second at 512 and 1024 streams.

Not part of run.sh's checks of ratios: it has no reference, prints its own floor, and says so where there is no GPU. Data are on
the GPU already. The ways: step by step with cells clipped (autograd.Function), the same as a CUDA graph, cuDNN without clipping.

What a chunk of B streams x 20 frames costs, 2 x 800 cells, 512 projected, 40 inputs, 14,247 outputs (13.2 M parameters):
- Products: 6 x 13.2 M = 79 MFLOP a frame, forward and backward; 1.6 TFLOP a chunk at B = 1024. At an H200's 989 TFLOP/s (bf16,
  dense) 1.6 ms, so 12.5 M frames/s. The recurrent products [B, 512] x [512, 3200] are 3.4 GFLOP each at B = 1024, 4 to 7 us.
- Launches, step by step: 12 a frame and layer forward, 16 backward; x 20 x 2 = 1,120, and 40 more. Eager, at 6 us each on the
  host: 7 ms a chunk whatever B, so 1.5 M frames/s at B = 512 and 2.9 M at 1024. As a graph at 2 us each: 2.3 ms.
- Bytes: the layers' elementwise work reads and writes about 86 H float32 a frame and layer, 550 kB a frame for both; the logits
  in bf16 and float32 with log-softmax, its gradient and the cast back about 300 kB. At 4.8 TB/s 5.6 M frames/s (part of it
  stays in the 50 MB of L2). The update of 13.2 M parameters: 160 MB, 0.03 ms.
The floor by products and bytes together is thus about 3.9 M frames/s: 5 ms a chunk at B = 1024.
"""

import time

import torch

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.nnet.lstmp import Lstmp, LstmpConfig

NUM_PDFS, INPUT_DIM, FRAMES, STEPS = 14247, 40, 20, 50


def graphed(model: Lstmp, x_BTF: torch.Tensor, state: tuple[torch.Tensor, ...]):
    """The model's forward and backward passes as CUDA graphs, for inputs of these sizes."""

    class Flat(torch.nn.Module):  # graphs take tensors alone
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x_BTF, *state):
            with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
                logits, state = self.model(x_BTF, state)
            return logits, *state

    run = torch.cuda.make_graphed_callables(Flat(), (x_BTF, *state))

    def forward(x_BTF, state):
        logits, *after = run(x_BTF, *state)
        return logits, tuple(tensor.clone() for tensor in after)

    return forward


def frames_per_second(num_streams: int, way: str) -> float:
    torch.manual_seed(1)
    model = Lstmp(LstmpConfig(cell_clip=0.0 if way == "cudnn" else 50.0), INPUT_DIM, NUM_PDFS).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x_BTF = torch.randn(FRAMES, num_streams, INPUT_DIM, device="cuda").transpose(0, 1)
    target_BT = torch.randint(NUM_PDFS, (num_streams, FRAMES), device="cuda")
    state = model.initial_state(num_streams)
    run = graphed(model, x_BTF, state) if way == "graph" else model

    def step(state):
        with torch.autocast("cuda", torch.bfloat16):
            logits, state = run(x_BTF, state)
        loss, _ = cross_entropy(logits, target_BT)
        optimizer.zero_grad(set_to_none=way != "graph")
        (loss / target_BT.numel()).backward()
        optimizer.step()
        return tuple(tensor.detach() for tensor in state), loss

    for _ in range(5):
        state, loss = step(state)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(STEPS):
        state, loss = step(state)
    torch.cuda.synchronize()
    assert torch.isfinite(loss)
    return STEPS * num_streams * FRAMES / (time.perf_counter() - start)


def main() -> None:
    if not torch.cuda.is_available():
        print("lstmp_gpu: no GPU here")
        return
    for num_streams in (512, 1024):
        for way in ("steps", "graph", "cudnn"):
            try:
                rate = frames_per_second(num_streams, way)
            except RuntimeError as error:  # one way failing leaves the others to be measured
                print(f"lstmp_gpu_{way}_{num_streams}_streams failed: {str(error).splitlines()[0]}", flush=True)
                continue
            print(
                f"lstmp_gpu_{way}_{num_streams}_streams ours={rate:.0f} target=1000000 ratio={rate / 1e6:.2f} unit=frames/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
