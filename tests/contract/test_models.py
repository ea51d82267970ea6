"""What every registered acoustic model must do."""

import pytest
import torch

from asrtool.errors import AsrtoolError
from asrtool.nnet.model import reset_state
from asrtool.nnet.registry import MODELS, is_recurrent, make_model

SIZES = {
    "dnn": {"num_layers": 2, "hidden_dim": 7, "activation": "tanh"},
    "lstm": {"num_layers": 2, "num_cells": 5, "fc_dim": 4, "fc_activation": "tanh"},
}
INPUT_DIM, NUM_PDFS = 6, 9


@pytest.fixture(params=sorted(MODELS))
def model(request):
    torch.manual_seed(3)
    return make_model({"kind": request.param, **SIZES[request.param]}, INPUT_DIM, NUM_PDFS).double()


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


def test_reset_streams_behave_as_new_ones(model, x_BTF):
    _, state = model(x_BTF, model.initial_state(3))
    state = reset_state(model, state, torch.tensor([False, True]))  # the third stream has ended
    logits, _ = model(x_BTF[:2], state)
    fresh, _ = model(x_BTF[:2], model.initial_state(2))
    torch.testing.assert_close(logits[1], fresh[1], rtol=1e-12, atol=1e-12)
    carried, _ = model(torch.cat((x_BTF, x_BTF), 1), model.initial_state(3))
    torch.testing.assert_close(logits[0], carried[0, 11:], rtol=1e-12, atol=1e-12)
    assert is_recurrent({"kind": model_kind(model)}) == bool(state) == model.recurrent


def test_a_state_with_nan_is_gone_after_a_reset(model):
    state = tuple(torch.full_like(tensor, float("nan")) for tensor in model.initial_state(2))
    for tensor in reset_state(model, state, torch.tensor([True, True])):
        assert torch.equal(tensor, torch.zeros_like(tensor))
    assert reset_state(model, (), torch.tensor([True]))[:0] == ()


def model_kind(model) -> str:
    return next(kind for kind, (_, cls) in MODELS.items() if type(model) is cls)


def test_every_model_is_tested_with_small_sizes():
    assert set(SIZES) == set(MODELS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "gru"}, "kind: expected one of dnn, lstm, found 'gru'"),
        ({}, "kind: expected one of"),
        ({"kind": "dnn", "num_cells": 3}, "unknown key 'num_cells'"),
        ({"kind": "lstm", "num_cells": 0}, "num_cells and fc_dim >= 1"),
        ({"kind": "dnn", "num_layers": "eight"}, "num_layers: expected int, found 'eight'"),
    ],
)
def test_bad_settings_name_the_key(settings, message):
    with pytest.raises(AsrtoolError, match=message):
        make_model(settings, 3, 4)
