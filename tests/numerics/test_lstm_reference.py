"""The LSTM layer against a cell written out in float64, and against nn.LSTM."""

import pytest
import torch

from asrtool.nnet.lstm import Lstm, LstmConfig
from asrtool.nnet.lstm_layer import _cudnn_chunk, lstm_chunk


def written_out(x_TBF, w_x, w_h, bias, h, c, cell_clip=0.0):
    """Hochreiter and Schmidhuber's cell with forget gates, one stream and one frame at a time."""
    outputs = torch.empty(*x_TBF.shape[:2], w_h.shape[0], dtype=x_TBF.dtype)
    h, c = h.clone(), c.clone()
    for t in range(len(x_TBF)):
        for b in range(x_TBF.shape[1]):
            i, f, o, g = (x_TBF[t, b] @ w_x + h[b] @ w_h + bias).chunk(4)
            new_c = torch.sigmoid(f) * c[b] + torch.sigmoid(i) * torch.tanh(g)
            if cell_clip:
                new_c = new_c.clamp(-cell_clip, cell_clip)
            c = torch.cat((c[:b], new_c[None], c[b + 1 :]))
            h = torch.cat((h[:b], (torch.sigmoid(o) * torch.tanh(new_c))[None], h[b + 1 :]))
        outputs[t] = h
    return outputs, h, c


@pytest.fixture
def case():
    torch.manual_seed(1)
    frames, streams, dim, cells = 5, 2, 3, 4
    shapes = [(frames, streams, dim), (dim, 4 * cells), (cells, 4 * cells), (4 * cells,), (streams, cells), (streams, cells)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("cell_clip", [0.0, 0.4, 50.0])
def test_forward_equals_the_written_out_cell(case, cell_clip):
    for ours, expected in zip(lstm_chunk(*case, cell_clip), written_out(*case, cell_clip)):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_gradients_equal_those_of_autograd_through_the_written_out_cell(case):
    def gradients(run):
        outputs = run()
        loss = sum(
            (output * torch.linspace(-1, 2, output.numel(), dtype=torch.float64).view_as(output)).sum() for output in outputs
        )
        return torch.autograd.grad(loss, case)

    ours, expected = gradients(lambda: lstm_chunk(*case, 0.0)), gradients(lambda: written_out(*case))
    for one, other in zip(ours, expected):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_the_gpu_path_is_the_same_layer(case):
    for ours, expected in zip(_cudnn_chunk(*case), lstm_chunk(*case, 0.0)):  # torch.lstm computes on the CPU as well
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_the_model_equals_nn_lstm_with_the_same_weights():
    torch.manual_seed(2)
    model = Lstm(LstmConfig(num_layers=2, num_cells=4, fc_dim=3, fc_activation="linear", cell_clip=0.0), 5, 6).double()
    reference = torch.nn.LSTM(5, 4, 2, batch_first=True).double()
    with torch.no_grad():
        for index, layer in enumerate(model.layers):
            for name, tensor in (("weight_ih", layer.w_x.t()), ("weight_hh", layer.w_h.t()), ("bias_ih", layer.bias)):
                i, f, o, g = tensor.chunk(4)
                getattr(reference, f"{name}_l{index}").copy_(torch.cat((i, f, g, o)))
            getattr(reference, f"bias_hh_l{index}").zero_()
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    logits, _ = model(x, model.initial_state(3))
    expected = model.output(model.fc(reference(x)[0]))
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)
