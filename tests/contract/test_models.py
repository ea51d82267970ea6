"""What every registered acoustic model must do, and the example of docs/models.md with them."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.errors import AsrtoolError
from asrtool.loader.batch import IGNORED
from asrtool.nnet.model import reset_state
from asrtool.nnet.registry import MODELS, is_recurrent, make_model

SIZES = {
    "dnn": {"num_layers": 2, "hidden_dim": 7, "activation": "tanh"},
    "lstm": {"num_layers": 2, "num_cells": 5, "fc_dim": 4, "fc_activation": "tanh"},
    "lstmp": {"num_layers": 2, "num_cells": 5, "projection_dim": 3, "peepholes": True},
    "cldnn": {"window_frames": 3, "delta_order": 1, "num_maps": 4, "filter1": [2, 2], "filter2": [2, 2], "pool": 2}
    | {"reduction_dim": 6, "num_cells": 8, "projection_dim": 6, "num_fc_layers": 2, "fc_dim": 6, "fc_activation": "tanh"},
    "tdnn": {"offsets": [[-1, 0, 1], [-2, 1], [0]], "hidden_dim": 7},
}
EXAMPLE = "rnn"  # of docs/models.md
EXAMPLE_SIZES = {EXAMPLE: {"hidden_dim": 6}}
INPUT_DIM, NUM_PDFS = 24, 9


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The classes of the worked example, which its page says to register with one line."""
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("example") / "example_model.py"
    path.write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their annotations up there
    spec.loader.exec_module(module)
    line = re.search(r'^ +"(\w+)": \((\w+), (\w+)\),$', page, re.MULTILINE)
    assert line.group(1) == EXAMPLE
    yield tuple(getattr(module, name) for name in line.groups()[1:])
    del sys.modules[path.stem]


@pytest.fixture(params=[*sorted(MODELS), EXAMPLE])
def model(request, monkeypatch):
    if request.param == EXAMPLE:
        monkeypatch.setitem(MODELS, EXAMPLE, request.getfixturevalue("example"))
    torch.manual_seed(3)
    return make_model({"kind": request.param, **(SIZES | EXAMPLE_SIZES)[request.param]}, INPUT_DIM, NUM_PDFS).double()


@pytest.fixture
def x_BTF():
    return torch.randn(3, 11, INPUT_DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def test_logits_have_a_row_for_each_frame_and_a_column_for_each_pdf(model, x_BTF):
    logits, _ = model(x_BTF, model.initial_state(3))
    assert logits.shape == (3, 11, NUM_PDFS)
    assert model.input_dim == INPUT_DIM and model.num_pdfs == NUM_PDFS
    assert model.num_parameters() == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("cuts", [(4, 8), (1, 2, 3), (10,)])
def test_chunks_with_carried_state_equal_the_whole_utterance(model, x_BTF, cuts):
    whole, last_state = model(x_BTF, model.initial_state(3))
    state, pieces = model.initial_state(3), []
    for chunk in torch.tensor_split(x_BTF, cuts, dim=1):
        piece, state = model(chunk, state)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-12, atol=1e-12)
    assert len(state) == len(last_state) == len(model.initial_state(3))
    for one, other in zip(state, last_state):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_outputs_do_not_look_ahead_or_at_other_streams(model, x_BTF):
    logits, _ = model(x_BTF, model.initial_state(3))
    changed = x_BTF.clone()
    changed[0, 6:] += 1.0
    other, _ = model(changed, model.initial_state(3))
    torch.testing.assert_close(other[0, :6], logits[0, :6], rtol=0, atol=0)
    torch.testing.assert_close(other[1:], logits[1:], rtol=1e-14, atol=1e-14)
    assert not torch.equal(other[0, 6], logits[0, 6])


def test_gradients_by_finite_differences(model):
    x = torch.randn(2, 4, INPUT_DIM, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn_like(tensor).requires_grad_() for tensor in model.initial_state(2))
    names = [name for name, _ in model.named_parameters()]

    def run(x, *tensors):
        weights, state = tensors[: len(names)], tensors[len(names) :]
        logits, after = torch.func.functional_call(model, dict(zip(names, weights)), (x, state))
        return (logits, *after)

    weights = tuple(parameter.detach().clone().requires_grad_() for parameter in model.parameters())
    assert torch.autograd.gradcheck(run, (x, *weights, *state), fast_mode=True)


@pytest.mark.parametrize("seed", range(2))
def test_padding_and_stream_position_never_change_a_loss_or_a_gradient(model, seed):
    """Each utterance in each stream, in a batch with longer ones, after another utterance in the same stream."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 12, (4,), generator=generator).tolist()
    utterances = [torch.randn(length, INPUT_DIM, dtype=torch.float64, generator=generator) for length in lengths]
    targets = [torch.randint(NUM_PDFS, (length,), generator=generator) for length in lengths]
    alone = [summed(model, x.unsqueeze(0), target.unsqueeze(0)) for x, target in zip(utterances, targets)]
    before = torch.randn(4, 5, INPUT_DIM, dtype=torch.float64, generator=generator)
    _, state = model(before, model.initial_state(4))
    for turn in range(4):
        order = [(position + turn) % 4 for position in range(4)]
        x_BTF = torch.randn(4, max(lengths) + 2, INPUT_DIM, dtype=torch.float64, generator=generator)
        target_BT = torch.full(x_BTF.shape[:2], IGNORED)
        for position, index in enumerate(order):
            x_BTF[position, : lengths[index]], target_BT[position, : lengths[index]] = utterances[index], targets[index]
        fresh = reset_state(model, tuple(tensor.detach() for tensor in state), torch.ones(4, dtype=torch.bool))
        for position, index in enumerate(order):
            only = torch.full_like(target_BT, IGNORED)
            only[position] = target_BT[position]
            loss, gradients = summed(model, x_BTF, only, fresh)
            torch.testing.assert_close(loss, alone[index][0], rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(gradients, alone[index][1], rtol=1e-9, atol=1e-11)
        together, gradients = summed(model, x_BTF, target_BT, fresh)
        torch.testing.assert_close(together, sum(loss for loss, _ in alone), rtol=1e-12, atol=1e-12)
        for gradient, *parts in zip(gradients, *(gradients for _, gradients in alone)):
            torch.testing.assert_close(gradient, sum(parts), rtol=1e-9, atol=1e-11)


def summed(model, x_BTF, target_BT, state=None):
    """The summed loss and the gradients of all parameters."""
    loss, _ = cross_entropy(model(x_BTF, model.initial_state(len(x_BTF)) if state is None else state)[0], target_BT)
    return loss.detach(), torch.autograd.grad(loss, list(model.parameters()))


def test_reset_streams_behave_as_new_ones(model, x_BTF):
    _, state = model(x_BTF, model.initial_state(3))
    state = reset_state(model, state, torch.tensor([False, True]))  # the third stream has ended
    logits, _ = model(x_BTF[:2], state)
    fresh, _ = model(x_BTF[:2], model.initial_state(2))
    torch.testing.assert_close(logits[1], fresh[1], rtol=1e-12, atol=1e-12)
    carried, _ = model(torch.cat((x_BTF, x_BTF), 1), model.initial_state(3))
    torch.testing.assert_close(logits[0], carried[0, 11:], rtol=1e-12, atol=1e-12)
    assert is_recurrent({"kind": model_kind(model)}) == bool(state) == model.recurrent
    for tensor in state:
        assert len(tensor) == 2 and torch.equal(tensor[1], torch.zeros_like(tensor[1])) and tensor[0].any()


def test_a_state_with_nan_is_gone_after_a_reset(model):
    state = tuple(torch.full_like(tensor, float("nan")) for tensor in model.initial_state(2))
    for tensor in reset_state(model, state, torch.tensor([True, True])):
        assert torch.equal(tensor, torch.zeros_like(tensor))
    assert reset_state(model, (), torch.tensor([True]))[:0] == ()


def test_a_toy_task_is_learnt(model):
    """Three classes of noisy inputs; models that lag give their answers `right_context` windows late."""
    model.float()
    generator = torch.Generator().manual_seed(5)
    lag, centres = getattr(model, "right_context", 0), torch.randn(3, INPUT_DIM, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    losses = []
    for _ in range(80):
        classes = torch.randint(3, (16, 8), generator=generator)
        x_BTF = centres[classes] + 0.5 * torch.randn(16, 8, INPUT_DIM, generator=generator)
        target_BT = torch.full((16, 8), IGNORED)
        target_BT[:, lag:] = classes[:, : 8 - lag]
        loss, _ = cross_entropy(model(x_BTF, model.initial_state(16))[0], target_BT)
        losses.append(loss.item() / (16 * (8 - lag)))
        optimizer.zero_grad()
        (loss / 128).backward()
        optimizer.step()
    assert losses[0] > 1.5  # 9 pdfs: about log 9 = 2.2
    assert sum(losses[-5:]) / 5 < 0.7  # knowing only that 3 of them occur: log 3 = 1.1


def test_bfloat16_products_give_nearly_the_same_and_leave_the_state_in_float32(model, x_BTF):
    model.float()
    logits, _ = model(x_BTF.float(), model.initial_state(3))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, state = model(x_BTF.float(), model.initial_state(3))
    assert 1e-6 < (rounded - logits).abs().max() < 0.1
    gradients = torch.autograd.grad(rounded.square().sum(), list(model.parameters()))
    assert all(gradient.isfinite().all() and gradient.dtype == torch.float32 for gradient in gradients)
    assert all(tensor.dtype == torch.float32 for tensor in state)


def model_kind(model) -> str:
    return next(kind for kind, (_, cls) in MODELS.items() if type(model) is cls)


def test_every_model_is_tested_with_small_sizes():
    assert set(SIZES) == set(MODELS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "gru"}, "kind: expected one of dnn, lstm, lstmp, cldnn, tdnn, found 'gru'"),
        ({}, "kind: expected one of"),
        ({"kind": "dnn", "num_cells": 3}, "unknown key 'num_cells'"),
        ({"kind": "lstm", "num_cells": 0}, "num_cells and fc_dim >= 1"),
        ({"kind": "dnn", "num_layers": "eight"}, "num_layers: expected int, found 'eight'"),
        ({"kind": "cldnn", "window_frames": 5}, "a multiple of 5 numbers, and windows have 24"),
        ({"kind": "cldnn", "window_frames": 3, "delta_order": 1}, "exceed its windows of 3 frames x 4 mel bins"),
        ({"kind": "cldnn", "filter1": [9]}, r"filter1 and filter2 of a CLDNN: expected \[mel bins, frames\]"),
        ({"kind": "cldnn", "num_maps": 0}, "sizes >= 1"),
        ({"kind": "cldnn", "projection_dim": -1}, "projection_dim >= 0"),
        ({"kind": "tdnn", "offsets": [[0], [3, -3]]}, r"TDNN layer 2: \[3, -3\]: expected ascending"),
        ({"kind": "tdnn", "offsets": [[1, 2]]}, "around 0"),
        ({"kind": "tdnn", "offsets": []}, "at least one layer"),
    ],
)
def test_bad_settings_name_the_key(settings, message):
    with pytest.raises(AsrtoolError, match=message):
        make_model(settings, 24, 4)
