"""Lattice-free MMI on a GPU against the CPU's kernels and float64."""

import pytest
import torch
from small_denominator import random_graph

from asrtool.criterion.lattice_free_denominator import Denominator
from asrtool.criterion.lattice_free_loss import LatticeFreeLoss
from asrtool.loader.batch import IGNORED, Batch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("budget_bytes", [None, 1 << 16])
def test_sums_equal_those_of_the_cpu(budget_bytes):
    graph, _ = random_graph(200, 40, 2, used_pdfs=37)
    lengths = [50, 7, 0, 33, 50, 1, 20, 44, 12]
    loglikes = torch.randn(len(lengths), 50, 40, generator=torch.Generator().manual_seed(0)) * 3
    on_cpu, exact = Denominator(graph)(loglikes, lengths), Denominator(graph)(loglikes.double(), lengths)
    on_gpu = Denominator(graph, device="cuda")(loglikes.cuda(), lengths, budget_bytes=budget_bytes)
    torch.testing.assert_close(on_gpu.loglike_B.cpu(), exact.loglike_B, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(on_gpu.posterior_BTP.cpu(), on_cpu.posterior_BTP, rtol=0, atol=1e-4)


@pytest.mark.parametrize("begins", [[1, 1, 1], [0, 2, 1]])
def test_loss_and_gradient_equal_those_of_the_cpu(begins):
    graph, _ = random_graph(60, 20, 4)
    generator = torch.Generator().manual_seed(1)
    logits, target = torch.randn(3, 16, 20, generator=generator), torch.full((3, 16), IGNORED)
    for b, (begin, length) in enumerate(zip(begins, (14, 3, 9))):
        target[b, begin : begin + length] = torch.randint(20, (length,), generator=generator)
    batch = Batch(torch.zeros(0), target, torch.ones(3, dtype=torch.bool), 26, 26, ["a", "b", "c"])
    results = []
    for device in ("cpu", "cuda"):
        leaf = logits.to(device).requires_grad_()
        loss_of = LatticeFreeLoss(graph, device=device, stride=2)
        loss, errors = loss_of(leaf, batch)
        loss.backward()
        results.append(
            (loss.detach().cpu(), errors.cpu(), leaf.grad.cpu(), torch.tensor(loss_of.notes()["lattice_free_objective"]))
        )
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)
