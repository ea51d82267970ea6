"""Sums over denominator graphs: enumeration of all paths, dense matrices, kernels against torch, pieces, unequal lengths."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from small_denominator import dense_loglike, random_graph

from asrtool.criterion.lattice_free_denominator import Denominator
from asrtool.criterion.lattice_free_numerator import PathWeights
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.graph.denominator import DenominatorGraph

pytestmark = pytest.mark.usefixtures("one_thread")
DTYPES = {"torch": torch.float64, "kernels": torch.float32, "torch32": torch.float32}
TOLERANCE = {"torch": 1e-9, "kernels": 3e-5, "torch32": 3e-5}


def enumerated(graph, loglikes_TP: np.ndarray) -> tuple[float, np.ndarray]:
    """The log likelihood without leaps, and the posteriors [T, P], by going along every path."""
    num_frames, num_pdfs = loglikes_TP.shape
    arcs = [
        (int(graph.arc_state[arc]), int(graph.row_state[row]), int(graph.row_pdf[row]), float(graph.arc_prob[arc]))
        for row in range(len(graph.row_pdf))
        for arc in range(graph.row_begin[row], graph.row_begin[row + 1])
    ]
    total, share = 0.0, np.zeros((num_frames, num_pdfs))
    for path in itertools.product(arcs, repeat=num_frames):
        if any(before[1] != after[0] for before, after in itertools.pairwise(path)):
            continue
        weight = float(graph.initial[path[0][0]]) * float(graph.final[path[-1][1]])
        for frame, (_, _, pdf, prob) in enumerate(path):
            weight *= prob * np.exp(loglikes_TP[frame, pdf])
        total += weight
        for frame, (_, _, pdf, _) in enumerate(path):
            share[frame, pdf] += weight
    return float(np.log(total)), share / total


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", DTYPES)
def test_equals_the_sum_over_all_paths(kind, seed):
    graph, _ = random_graph(4, 3, seed)
    loglikes = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(seed), dtype=DTYPES[kind]) * 2
    result = Denominator(graph, 0.0, kernels=kind == "kernels")(loglikes, [4])
    loglike, posteriors = enumerated(graph, loglikes[0].double().numpy())
    assert result.loglike_B.item() == pytest.approx(loglike, abs=TOLERANCE[kind])
    np.testing.assert_allclose(result.posterior_BTP[0], posteriors, atol=TOLERANCE[kind])


@pytest.mark.parametrize("leak", [1e-5, 0.1])
@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("used_pdfs", [7, 5])
def test_leaky_hmm_equals_dense_matrices(kind, leak, used_pdfs):
    """Log likelihood and its derivative by autograd; utterances of different lengths, one empty, more than the lanes."""
    lengths = [9, 3, 0, 12, 1, 5, 12, 7, 2, 11]
    graph, _ = random_graph(13, 7, 3, used_pdfs)
    loglikes = torch.randn(10, 12, 7, generator=torch.Generator().manual_seed(1), dtype=DTYPES[kind]) * 3
    loglikes[1, 3:] = torch.nan  # what lies behind an utterance is not looked at
    result = Denominator(graph, leak, kernels=kind == "kernels")(loglikes, lengths)
    for b, length in enumerate(lengths):
        one = loglikes[b, :length].double().requires_grad_()
        loglike = dense_loglike(graph, leak, one) if length else one.sum()
        loglike.backward()
        assert result.loglike_B[b].item() == pytest.approx(loglike.item(), abs=TOLERANCE[kind])
        torch.testing.assert_close(result.posterior_BTP[b, :length].double(), one.grad, atol=TOLERANCE[kind], rtol=0)
        assert not result.posterior_BTP[b, length:].any()


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("frames", [1, 2, 5, 12])
def test_pieces_give_the_same(kind, frames):
    lengths = [12, 3, 10]
    graph, _ = random_graph(20, 9, 5)
    loglikes = torch.randn(3, 12, 9, generator=torch.Generator().manual_seed(2), dtype=DTYPES[kind])
    denominator = Denominator(graph, kernels=kind == "kernels")
    lanes = denominator.sums(loglikes.dtype).lanes or 3
    whole = denominator(loglikes, lengths)
    pieces = denominator(loglikes, lengths, budget_bytes=frames * len(graph.row_pdf) * lanes * loglikes.element_size())
    torch.testing.assert_close(pieces.loglike_B, whole.loglike_B, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pieces.posterior_BTP, whole.posterior_BTP, rtol=1e-6, atol=1e-7)
    forward_only = denominator(loglikes, lengths, posteriors=False)
    assert forward_only.posterior_BTP is None
    torch.testing.assert_close(forward_only.loglike_B, whole.loglike_B, rtol=1e-12, atol=1e-12)


def test_scores_of_any_size_in_float32():
    """Frames' highest scores are taken off first, and sums made 1 each frame: no overflow in 400 frames."""
    graph, _ = random_graph(30, 12, 6)
    loglikes = torch.randn(2, 400, 12, generator=torch.Generator().manual_seed(4)) * 20
    loglikes[1] += 1000 * torch.randn(400, 1, generator=torch.Generator().manual_seed(5))
    denominator = Denominator(graph)
    result, exact = denominator(loglikes, [400, 400]), denominator(loglikes.double(), [400, 400])
    torch.testing.assert_close(result.loglike_B, exact.loglike_B, rtol=1e-6, atol=1e-3)
    torch.testing.assert_close(result.posterior_BTP.double(), exact.posterior_BTP, rtol=0, atol=1e-4)
    torch.testing.assert_close(result.posterior_BTP.sum(2), torch.ones(2, 400), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", DTYPES)
def test_a_bad_utterance_leaves_the_others_alone(kind):
    graph, _ = random_graph(6, 4, 7)
    loglikes = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(3), dtype=DTYPES[kind])
    bad = loglikes.clone()
    bad[1, 2, 0] = torch.nan
    bad[2, 3] = -torch.inf
    denominator = Denominator(graph, kernels=kind == "kernels")
    good, result = denominator(loglikes, [6, 6, 6]), denominator(bad, [6, 6, 6])
    assert result.loglike_B[0] == good.loglike_B[0] and torch.equal(result.posterior_BTP[0], good.posterior_BTP[0])
    assert not result.loglike_B[1:].isfinite().any()


def test_path_weights_equal_dense_matrices():
    """A sequence's probability is the graph's likelihood when all other pdfs are impossible."""
    graph, _ = random_graph(11, 5, 9)
    rng = np.random.default_rng(0)
    for leak in (0.05, 1e-5):
        weights = PathWeights(graph, leak)
        for length in (1, 2, 3, 7, 30):
            pdfs = rng.choice(np.unique(graph.row_pdf), length)
            loglikes = torch.full((length, 5), -torch.inf, dtype=torch.float64)
            loglikes[np.arange(length), pdfs] = 0
            assert weights("utt", pdfs) == pytest.approx(dense_loglike(graph, leak, loglikes).item(), rel=1e-6)


def test_path_weights_with_and_without_leaps():
    """Two states in turn: pdf 0, then pdf 1. The same pdf twice takes a leap back to the first state."""
    fst = CsrGraph.from_arcs(0, [0, 1], [1, 2], [1, 2], [1, 0], [0.0, 0.0], [0.0, 0.0])
    graph = DenominatorGraph.from_graph(fst, np.zeros(3, np.int8))
    graph.initial[:] = [1, 0]
    strict, leaky = PathWeights(graph, 0.0), PathWeights(graph, 0.01)
    for _ in range(2):  # what a call leaves behind does not disturb the next
        assert strict("utt", np.array([0, 1, 0])) == 0
        assert strict("utt", np.array([0, 0])) == strict("utt", np.array([1])) == -np.inf
        assert leaky("utt", np.array([0, 0])) == pytest.approx(np.log(0.01) + 2 * np.log(1.01), rel=1e-6)
    for pdf in (2, 3, -1):
        with pytest.raises(AsrtoolError, match=f"utt-1: no arc of the denominator graph emits pdf {pdf} "):
            leaky("utt-1", np.array([0, pdf]))


def test_threads_do_not_share_their_sums():
    """Virtual workers are threads of one process."""
    graph, _ = random_graph(40, 20, 8)
    denominator, generator = Denominator(graph), torch.Generator().manual_seed(6)
    batches = [torch.randn(8, 60, 20, generator=generator) * 2 for _ in range(8)]
    expected = [denominator(batch, [60] * 8) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: denominator(batch, [60] * 8), batches * 4))
    for number, result in enumerate(found):
        assert torch.equal(result.posterior_BTP, expected[number % 8].posterior_BTP)
