"""Lattice-free MMI as a loss and as a sequence criterion: gradients, both against each other, and bad input."""

import numpy as np
import pytest
import torch
from small_denominator import dense_loglike, random_graph

from asrtool.criterion.lattice_free import LatticeFreeCriterion, LatticeFreeOptions
from asrtool.criterion.lattice_free_loss import LatticeFreeLoss
from asrtool.criterion.lattice_free_numerator import PathWeights
from asrtool.criterion.sequence import Outer, PhoneTables, SequenceOptions
from asrtool.errors import AsrtoolError
from asrtool.loader.batch import IGNORED, Batch

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_PDFS = 6
NAMES = ["long", "short", "nothing", "middle"]
LENGTHS = [7, 3, 0, 5]


def tables() -> PhoneTables:
    """Transition-ids 1 to 6 for pdfs 0 to 5; the phone of pdf 0 is silence."""
    tid_to_pdf = np.arange(-1, NUM_PDFS, dtype=np.int32)
    nothing = np.zeros(NUM_PDFS + 1, bool)
    return PhoneTables(
        tid_to_pdf,
        tid_to_pdf + 1,
        np.zeros_like(tid_to_pdf),
        nothing,
        nothing,
        tid_to_pdf == 0,
        np.array([1], np.int32),
        NUM_PDFS,
    )


def make_batch(delay: int | list[int] = 0, dtype=torch.float64, seed: int = 0) -> tuple[torch.Tensor, Batch]:
    """Outputs [4, T, P] and a batch whose targets begin `delay` positions late."""
    delays = [delay] * len(LENGTHS) if isinstance(delay, int) else delay
    generator = torch.Generator().manual_seed(seed)
    num_positions = max(map(sum, zip(delays, LENGTHS))) + 1
    logits = torch.randn(len(LENGTHS), num_positions, NUM_PDFS, generator=generator, dtype=dtype) * 2
    target = torch.full((len(LENGTHS), num_positions), IGNORED)
    for b, (begin, length) in enumerate(zip(delays, LENGTHS)):
        target[b, begin : begin + length] = torch.randint(NUM_PDFS, (length,), generator=generator)
    reset = torch.ones(len(LENGTHS), dtype=torch.bool)
    return logits, Batch(torch.zeros(0), target, reset, sum(LENGTHS), sum(LENGTHS), list(NAMES))


def reference(graph, logits, batch, options, log_prior=None, repeat: int = 1) -> torch.Tensor:
    """The loss by dense matrices, differentiable; without tolerance."""
    loss = torch.zeros((), dtype=torch.float64)
    weights = PathWeights(graph, options.leaky_hmm_coefficient)
    for b, targets in enumerate(batch.target_BT):
        valid = targets != IGNORED
        if not valid.any():
            continue
        scores = logits[b][valid] if log_prior is None else logits[b][valid] - log_prior
        scores = options.acoustic_scale * scores.repeat_interleave(repeat, 0)
        pdfs = targets[valid].repeat_interleave(repeat)
        numerator = scores[torch.arange(len(pdfs)), pdfs].sum() + weights("", pdfs.numpy())
        loss = loss + dense_loglike(graph, options.leaky_hmm_coefficient, scores) - numerator
        loss = loss + 0.5 * options.l2_regularize * logits[b][valid].square().sum()
    return loss


@pytest.mark.parametrize("delay", [0, 2, [0, 3, 1, 2]])
@pytest.mark.parametrize("repeat", [1, 3])
@pytest.mark.parametrize("options", [(1.0, 1e-5, 0.0), (0.3, 0.1, 0.01)])
def test_loss_and_gradient(delay, repeat, options):
    graph, _ = random_graph(9, NUM_PDFS, 2)
    options, log_prior = LatticeFreeOptions(*options), torch.randn(NUM_PDFS, generator=torch.Generator().manual_seed(9)).double()
    logits, batch = make_batch(delay)
    loss_of = LatticeFreeLoss(graph, options, stride=repeat, log_prior_P=log_prior)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss, errors = loss_of(ours, batch)
    expected = reference(graph, theirs, batch, options, log_prior, repeat)
    (2 * loss).backward()
    (2 * expected).backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-8)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-9)
    valid = batch.target_BT != IGNORED
    assert errors == (logits.argmax(2) != batch.target_BT)[valid].sum()
    if not options.l2_regularize:
        assert loss.item() > 0
        torch.testing.assert_close(ours.grad.sum(2), torch.zeros(ours.shape[:2]).double(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("tolerance", [0, 2])
def test_gradcheck(tolerance):
    graph, _ = random_graph(5, NUM_PDFS, 1)
    logits, batch = make_batch(1)
    loss_of = LatticeFreeLoss(graph, LatticeFreeOptions(0.7, 0.01, 0.1, tolerance), stride=2)
    assert torch.autograd.gradcheck(lambda x: loss_of(x, batch)[0], logits.requires_grad_(), fast_mode=True)


def test_float32_bfloat16_and_notes():
    graph, _ = random_graph(30, NUM_PDFS, 4)
    logits, batch = make_batch(1, torch.float32)
    loss_of = LatticeFreeLoss(graph)
    assert loss_of.notes() == {}
    results = []
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        one = logits.to(torch.bfloat16).to(dtype).requires_grad_()
        loss, _ = loss_of(one, batch)
        loss.backward()
        results.append((loss.double(), one.grad.double()))
        assert one.grad.dtype == dtype and loss.dtype == (dtype if dtype == torch.float64 else torch.float32)
        notes = loss_of.notes()
        assert notes["lattice_free_objective"] == pytest.approx(-loss.item() / sum(LENGTHS), rel=1e-4)
        assert notes["lattice_free_numerator"] - notes["lattice_free_denominator"] == pytest.approx(
            notes["lattice_free_objective"]
        )
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(results[2], results[1], rtol=1e-2, atol=1e-2)
    with torch.no_grad():
        assert loss_of(logits, batch)[0].item() == pytest.approx(loss_of(logits.clone().requires_grad_(), batch)[0].item())


@pytest.mark.parametrize("tolerance", [0, 1])
def test_criterion_equals_loss(tolerance):
    graph, _ = random_graph(30, NUM_PDFS, 4)
    logits, batch = make_batch(0, torch.float32)
    leaf, strict = (
        logits.clone().requires_grad_(),
        LatticeFreeLoss(graph, LatticeFreeOptions(acoustic_scale=0.4))(logits, batch)[0],
    )
    options = LatticeFreeOptions(acoustic_scale=0.4, tolerance=tolerance)
    loss, _ = LatticeFreeLoss(graph, options)(leaf, batch)
    assert loss < strict if tolerance else loss == strict
    loss.backward()
    rows = [b for b, length in enumerate(LENGTHS) if length]
    criterion = LatticeFreeCriterion(SequenceOptions("lfmmi", acoustic_scale=0.4), tables(), graph, lattice_free=options)
    loglikes = [logits[b, : LENGTHS[b]].numpy() for b in rows]
    numerators = [batch.target_BT[b, : LENGTHS[b]].numpy().astype(np.int32) + 1 for b in rows]
    outers = criterion(loglikes, numerators, [None] * len(rows), [NAMES[b] for b in rows])
    assert -sum(outer.objective for outer in outers) == pytest.approx(loss.item(), rel=1e-5)
    for b, outer in zip(rows, outers):
        dense = np.zeros((LENGTHS[b], NUM_PDFS), np.float32)
        dense[outer.gradient.frame, outer.gradient.label] = outer.gradient.weight
        np.testing.assert_allclose(dense, -leaf.grad[b, : LENGTHS[b]], atol=1e-5)
        np.testing.assert_allclose(dense.sum(1), 0, atol=1e-6)
        if not tolerance:
            posterior = (numerators[rows.index(b)] == 1) - dense[:, 0] / 0.4
            assert outer.silence_share * LENGTHS[b] == pytest.approx(posterior.sum(), abs=1e-4)
        assert outer.num_frames == LENGTHS[b] and outer.objective == outer.numerator_loglike - outer.denominator_loglike


def test_bad_utterances_are_named_and_the_others_go_on():
    graph, _ = random_graph(20, NUM_PDFS, 4, used_pdfs=5)
    criterion = LatticeFreeCriterion(SequenceOptions("lfmmi", acoustic_scale=1.0), tables(), graph)
    rng = np.random.default_rng(0)
    good, alignment = rng.normal(size=(4, NUM_PDFS)).astype(np.float32), np.array([1, 2, 3, 4], np.int32)
    nan, nothing, half = good.copy(), good[:0], good.copy()
    nan[2, 1], half[1] = np.nan, -np.inf
    unlikely = good.copy()
    unlikely[0, 0] = -np.inf  # its alignment's pdf alone
    cases = [
        (good, alignment, None),
        (nan, alignment, "u1: frame 2 has a log-likelihood of NaN"),
        (nothing, alignment[:0], "u2: log-likelihoods of shape"),
        (good, alignment[:3], "u3: the alignment has 3 frames"),
        (good, alignment + 10, "u4: transition-id 14"),
        (good, np.array([1, 6, 1, 1], np.int32), "u5: no arc of the denominator graph emits pdf 5"),
        (half, alignment, "u6: no path of the denominator graph has a likelihood"),
        (unlikely, alignment, "u7: a pdf of its alignment has the log-likelihood -inf"),
        (good[:, :4], alignment, "u8: log-likelihoods of 4 pdfs"),
        (good, alignment, None),
    ]
    names = [f"u{number}" for number in range(len(cases))]
    results = criterion([case[0] for case in cases], [case[1] for case in cases], [None] * len(cases), names)
    for (_, _, message), result in zip(cases, results):
        if message is None:
            assert isinstance(result, Outer) and np.isfinite(result.objective)
        else:
            assert isinstance(result, AsrtoolError) and str(result).startswith(message)
    assert results[0].objective == pytest.approx(results[-1].objective)
    assert criterion([], [], [], []) == []
    assert isinstance(criterion([nan], [alignment], [None], ["u1"])[0], AsrtoolError)


def test_bad_batches_and_options():
    graph, _ = random_graph(20, NUM_PDFS, 4, used_pdfs=5)
    graph.frame_subsampling_factor = 3
    for stride in (1, 4):
        with pytest.raises(AsrtoolError, match=f"a frame for each 3 frames of 10 ms, the network an output for each {stride}"):
            LatticeFreeLoss(graph, stride=stride)
    loss_of = LatticeFreeLoss(graph, stride=3)
    assert loss_of.repeat == 1 and LatticeFreeLoss(graph, stride=6).repeat == 2
    logits, batch = make_batch()
    batch.target_BT[0, 0] = 5
    with pytest.raises(AsrtoolError, match="long: no arc of the denominator graph emits pdf 5"):
        loss_of(logits, batch)
    batch.target_BT[batch.target_BT == 5] = 4
    assert loss_of(logits, batch)[0].isfinite()
    with pytest.raises(AsrtoolError, match="6 pdfs, the network 5 outputs"):
        loss_of(logits[..., :5], batch)
    with pytest.raises(AsrtoolError, match=r"outputs .* for targets"):
        loss_of(logits[:, 1:], batch)
    batch.target_BT[0, 3] = IGNORED
    with pytest.raises(AsrtoolError, match="long: frames without target amid its targets"):
        loss_of(logits, batch)
    batch.reset_B[1] = False
    with pytest.raises(AsrtoolError, match=r"takes whole utterances; set loader.batching=utterances"):
        loss_of(logits, batch)
    for values in ((0.0,), (1.0, 0.0), (1.0, 1.0), (1.0, 0.1, -1.0), (1.0, 0.1, 0.0, -1)):
        with pytest.raises(ValueError, match="must be"):
            LatticeFreeOptions(*values)


def test_a_batch_without_targets_and_one_with_nan():
    graph, _ = random_graph(20, NUM_PDFS, 4)
    logits, batch = make_batch()
    batch.target_BT[:] = IGNORED
    loss, errors = LatticeFreeLoss(graph)(logits.requires_grad_(), batch)
    loss.backward()
    assert loss == 0 and errors == 0 and not logits.grad.any()
    logits, batch = make_batch(dtype=torch.float32)
    logits[1, 1, 1] = torch.nan
    loss, _ = LatticeFreeLoss(graph)(logits, batch)
    assert loss.isnan()
