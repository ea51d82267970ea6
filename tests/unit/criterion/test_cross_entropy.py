import torch
from torch.nn import functional

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.loader.batch import IGNORED


def make_case():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 5, 7, dtype=torch.float64, generator=generator, requires_grad=True)
    target = torch.randint(0, 7, (3, 5), generator=generator)
    target[0, 3:] = IGNORED
    target[2, 0] = IGNORED
    return logits, target


def test_loss_errors_and_gradient_equal_torchs():
    logits, target = make_case()
    loss, errors = cross_entropy(logits, target)
    expected = functional.cross_entropy(logits.view(-1, 7), target.view(-1), ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert errors == ((logits.argmax(-1) != target) & (target != IGNORED)).sum()
    (ours,) = torch.autograd.grad(0.5 * loss, logits)
    (reference,) = torch.autograd.grad(0.5 * expected, logits)
    torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-14)
    assert not ours[target == IGNORED].any()


def test_time_major_logits_give_the_same():
    logits, target = make_case()
    time_major = logits.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    assert time_major.stride(0) < time_major.stride(1)
    loss, errors = cross_entropy(time_major, target)
    loss.backward()
    expected_loss, expected_errors = cross_entropy(logits, target)
    expected_loss.backward()
    torch.testing.assert_close(loss, expected_loss)
    assert errors == expected_errors
    torch.testing.assert_close(time_major.grad, logits.grad)


def test_large_logits_stay_finite():
    logits = torch.tensor([[[1e4, -1e4]]], requires_grad=True)
    loss, errors = cross_entropy(logits, torch.tensor([[1]]))
    loss.backward()
    assert loss.item() == 2e4 and errors == 1 and torch.equal(logits.grad, torch.tensor([[[1.0, -1.0]]]))


def test_padding_never_changes_a_loss():
    logits, target = make_case()
    padded = torch.cat((logits, torch.full((3, 2, 7), 50.0, dtype=torch.float64)), 1)
    padded_target = torch.cat((target, torch.full((3, 2), IGNORED)), 1)
    torch.testing.assert_close(cross_entropy(padded, padded_target)[0], cross_entropy(logits, target)[0], rtol=1e-14, atol=0)
