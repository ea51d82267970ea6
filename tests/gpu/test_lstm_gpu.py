"""The recurrent layers on a GPU equal those on the CPU, through cuDNN and step by step."""

import pytest
import torch

from asrtool.nnet.lstmp import Lstmp, LstmpConfig

KINDS = {
    "cuDNN": {"cell_clip": 0.0},
    "cell clip": {"cell_clip": 0.3},
    "everything": {"peepholes": True, "cell_clip": 0.5, "diff_clip": 0.05, "cell_diff_clip": 0.3},
}


@pytest.fixture
def device():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return "cuda"


def run(model: Lstmp, x_BTF: torch.Tensor, device: str, bf16: bool = False) -> list[torch.Tensor]:
    """Logits, state after, and the parameters' gradients, on the CPU in float32; two chunks with carried state."""
    model.to(device).zero_grad()
    state, pieces = model.initial_state(len(x_BTF)), []
    with torch.autocast(device, torch.bfloat16, enabled=bf16):
        for chunk in x_BTF.to(device).split(12, 1):
            logits, state = model(chunk, state)
            pieces.append(logits.float())
    logits = torch.cat(pieces, 1)
    (logits * torch.linspace(-1, 1, logits.numel(), device=device).view_as(logits)).sum().backward()
    return [tensor.detach().float().cpu() for tensor in (logits, *state, *(p.grad for p in model.parameters()))]


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_gpu_equals_cpu(device, settings):
    torch.manual_seed(1)
    model = Lstmp(LstmpConfig(num_cells=48, projection_dim=32, **settings), 20, 25)
    x = torch.randn(5, 24, 20)
    expected = run(model, x, "cpu")
    for ours, other in zip(run(model, x, device), expected, strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-4 * other.abs().max().item())


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_bf16_is_near_float32(device, settings):
    torch.manual_seed(1)
    model = Lstmp(LstmpConfig(num_cells=48, projection_dim=32, **settings), 20, 25)
    x = torch.randn(5, 24, 20)
    expected = run(model, x, device)
    for ours, other in zip(run(model, x, device, bf16=True), expected, strict=True):
        assert 0 < (ours - other).norm() / other.norm() < 0.05
