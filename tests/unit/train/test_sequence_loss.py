"""The loss of sequence training against autograd, in both layouts of the logits, alone and mixed with cross-entropy."""

import pytest
import torch

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.criterion.sequence import SequenceOptions
from asrtool.loader.batch import IGNORED, Batch, OuterRows
from asrtool.train.sequence_loss import SequenceLoss, frame_errors, loss_per_frame

B, T, P = 3, 5, 7


def outer_gradient(generator):
    """[B, T, P], some of it 0, each row summing to 0."""
    dense = torch.randn(B, T, P, generator=generator) * (torch.rand(B, T, P, generator=generator) < 0.4)
    dense[..., 0] -= dense.sum(-1)
    dense[1, 2] = 0  # a rejected frame
    return dense


def batch_of(dense, targets, loss):
    stream, time, pdf = dense.nonzero(as_tuple=True)
    outer = OuterRows(time * B + stream, pdf, dense[stream, time, pdf], loss)
    return Batch(torch.zeros(B, T, 1), targets, torch.ones(B, dtype=torch.bool), 15, 15, ["a", "b", "c"], outer=outer)


@pytest.mark.parametrize("time_major", [True, False])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_gradient_is_that_of_the_outer_gradient_through_log_softmax(time_major, weight):
    generator = torch.Generator().manual_seed(3)
    dense, targets = outer_gradient(generator), torch.randint(0, P, (B, T), generator=generator)
    targets[0, 0] = IGNORED
    values = torch.randn(T, B, P, generator=generator).transpose(0, 1)
    if not time_major:
        values = values.contiguous()
    given = values.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    assert (given.stride(0) < given.stride(1)) == time_major
    loss, errors = SequenceLoss(weight)(given, batch_of(dense, targets, 4.5))
    (3.0 * loss).backward()

    expected = values.double().requires_grad_()
    posteriors = torch.log_softmax(expected, -1)
    frames = torch.nn.functional.nll_loss(posteriors.reshape(-1, P), targets.reshape(-1), ignore_index=IGNORED, reduction="sum")
    (3.0 * (weight * frames - (1 - weight) * (posteriors * dense).sum())).backward()
    assert torch.allclose(given.grad.double(), expected.grad, atol=2e-6) and given.grad.abs().max() > 0.1
    assert loss.item() == pytest.approx(4.5, abs=1e-5)  # what the speech module found, whatever the weight
    assert int(errors) == int(cross_entropy(values, targets)[1]) == int(frame_errors(values, targets))


def test_a_bad_value_or_bad_logits_show_in_the_loss():
    generator = torch.Generator().manual_seed(3)
    dense, targets = outer_gradient(generator), torch.zeros(B, T, dtype=torch.int64)
    logits = torch.randn(B, T, P, generator=generator).requires_grad_()
    assert SequenceLoss(0.0)(logits, batch_of(dense, targets, float("nan")))[0].isnan()
    with torch.no_grad():
        logits[0, 0, 0] = float("nan")
    assert SequenceLoss(0.5)(logits, batch_of(dense, targets, 1.0))[0].isnan()


@pytest.mark.parametrize(("criterion", "expected"), [("mmi", 0.75), ("smbr", 1.75), ("mpfe", 1.75), ("lfmmi", 0.75)])
def test_the_value_is_minus_the_objective_or_the_expected_error_a_frame(criterion, expected):
    assert loss_per_frame(SequenceOptions(criterion=criterion), -3.0, 4) == expected
