"""Sequence criteria over lattices on a GPU equal those of the kernels on the CPU."""

import numpy as np
import pytest
import torch
from phone_lattices import NUM_PDFS, phone_problem, phone_tables
from sequence_reference import dense

from asrtool.criterion.mpe import PhoneSpans
from asrtool.criterion.sequence import SequenceOptions, make_criterion
from asrtool.criterion.torch_lattice import LatticeObjective, TorchLatticeCriterion
from asrtool.criterion.torch_lattice_batch import prepare

OPTIONS = {
    "mmi": SequenceOptions("mmi", 0.3),
    "boosted_mmi": SequenceOptions("mmi", 0.3, boost=0.5),
    "smbr": SequenceOptions("smbr", 0.3),
    "mpfe": SequenceOptions("mpfe", 0.3, one_silence_class=False),
    "mpe": SequenceOptions("mpe", 0.3),
}
TABLES = phone_tables()


@pytest.fixture
def device():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return "cuda"


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 1e-5)])
def test_gpu_equals_cpu(device, name, dtype, tolerance):
    problems = [phone_problem(seed, num_frames=20 + seed) for seed in range(12)]
    loglikes, numerators, lattices = zip(*problems)
    names = [f"utterance{index}" for index in range(len(problems))]
    expected = make_criterion(OPTIONS[name], TABLES)(loglikes, numerators, lattices, names)
    on_device = [torch.tensor(scores, device=device) for scores in loglikes]
    criterion = TorchLatticeCriterion(OPTIONS[name], TABLES, device, dtype)
    for given in (on_device, loglikes):
        for outer, other in zip(criterion(given, numerators, lattices, names), expected):
            assert outer.objective == pytest.approx(other.objective, rel=1e-5, abs=1e-5)
            difference = dense(outer.gradient, NUM_PDFS) - dense(other.gradient, NUM_PDFS)
            np.testing.assert_allclose(difference, 0, atol=tolerance)
    assert criterion.sums(on_device, numerators, lattices, names)[0].gradient.device.type == "cuda"


def test_derivative_on_the_gpu(device):
    options = OPTIONS["mpe"]
    loglikes, numerators, lattices = zip(*(phone_problem(seed, num_frames=4) for seed in range(3)))
    batch, _ = prepare(options, TABLES, numerators, lattices, PhoneSpans(TABLES, True), device, torch.float64)
    scores = torch.tensor(np.concatenate(loglikes).astype(np.float64), device=device, requires_grad=True)
    assert torch.autograd.gradcheck(LatticeObjective.apply, (scores, batch), eps=1e-5, atol=1e-7, nondet_tol=1e-12)
