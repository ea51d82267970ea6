"""GMM arithmetic in torch against the kernels in numba and against float64, on torch's CPU device."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gmm_backends import (
    DIM,
    SIZES,
    exact_loglikes,
    exact_statistics,
    frames_of_model,
    relative_error,
    skewed_model,
    statistics_of,
)

from asrtool.gmm.backend import CPU
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.fmllr_statistics import FramePdfs, collect_fmllr
from asrtool.gmm.mllt import MlltStatistics
from asrtool.gmm.torch_backend import TorchBackend

BLOCKS = {"whole": 1 << 24, "small": 40_000, "tiny": 3000}


@pytest.fixture(params=BLOCKS.values(), ids=BLOCKS)
def torch_backend(request):
    return TorchBackend("cpu", request.param)


def test_loglikes_of_all_pdfs(torch_backend):
    model = skewed_model()
    features, _ = frames_of_model(model, 700)
    found = model.loglikes(features, backend=torch_backend)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    exact = exact_loglikes(model, features)
    assert np.abs(found - exact).max() < 2e-4
    assert np.abs(found - model.loglikes(features)).max() < 2e-4


def test_loglikes_of_subsets_of_many_utterances(torch_backend):
    model, random = skewed_model(), np.random.default_rng(1)
    lengths = [0, 1, 5, 130, 131, 700, 3]
    frames = [frames_of_model(model, length, seed=length)[0] for length in lengths]
    pdf_ids = [np.sort(random.choice(len(SIZES), size, replace=False)).astype(np.int32) for size in (3, 1, 9, 2, 0, 5, 4)]
    pdf_ids[2] = pdf_ids[2][::-1].copy()
    found = dict(torch_backend.pdf_loglikes(frames, model.parameters, model.pdf_begin, pdf_ids))
    assert sorted(found) == list(range(len(frames)))
    for index, expected in CPU.pdf_loglikes(frames, model.parameters, model.pdf_begin, pdf_ids):
        assert found[index].shape == expected.shape == (len(pdf_ids[index]), lengths[index])
        assert found[index].dtype == np.float32 and found[index].flags.c_contiguous
        if expected.size:
            assert np.abs(found[index] - expected).max() < 2e-4
            assert np.abs(found[index].T - exact_loglikes(model, frames[index])[:, pdf_ids[index]]).max() < 2e-4


def test_boosted_silence_and_a_second_model():
    model, backend = skewed_model(), TorchBackend("cpu")
    features, _ = frames_of_model(model, 50)
    pdfs = np.arange(model.num_pdfs, dtype=np.int32)
    plain = model.pdf_loglikes(features, backend=backend)
    for boost in (1.25, 0.5, 2.0, 4.0, 3.0, 1.5):  # more than the device keeps
        parameters = model.boosted_parameters([2, 5], boost)
        ((_, found),) = backend.pdf_loglikes([features], parameters, model.pdf_begin, [pdfs])
        expected = plain + np.log(boost) * np.isin(pdfs, [2, 5])[:, None]
        assert np.abs(found - expected).max() < 1e-4
    assert np.array_equal(model.pdf_loglikes(features, backend=backend), plain)


def test_far_frames_and_weights_of_zero():
    model, backend = skewed_model(), TorchBackend("cpu")
    weights = model.weights.copy()
    weights[model.pdf_begin[3]] = 0  # a Gaussian that never counts
    model = AmDiagGmm(model.pdf_begin, weights, model.means_invvars, model.inv_vars)
    features, _ = frames_of_model(model, 40)
    features[::2] *= 1000
    found, kernels = model.loglikes(features, backend=backend), model.loglikes(features)
    exact = exact_loglikes(model, features)
    assert np.isfinite(found).all()
    assert np.allclose(found, exact, rtol=2e-6, atol=2e-4)
    assert np.allclose(found, kernels, rtol=2e-6, atol=2e-4)
    stats, loglike, expected, expected_loglike = statistics_of(model, features, np.arange(40) % model.num_pdfs, backend)
    assert np.isfinite(stats).all() and np.isfinite(loglike)
    assert np.isclose(loglike, expected_loglike, rtol=1e-6)
    assert np.allclose(stats[:, 0], expected[:, 0], atol=1e-3)


@pytest.mark.parametrize("num_frames", [0, 1, 17, 256, 12_500])
def test_statistics_equal_the_kernels_and_float64(torch_backend, num_frames):
    model = skewed_model()
    features, pdf = frames_of_model(model, num_frames)
    found, loglike, kernels, kernel_loglike = statistics_of(model, features, pdf, torch_backend)
    exact, exact_loglike = exact_statistics(model, features, pdf)
    assert relative_error(found, exact) < 1e-5
    assert relative_error(found, kernels) < 1e-5
    assert np.isclose(loglike, exact_loglike, rtol=1e-6)
    assert np.isclose(loglike, kernel_loglike, rtol=1e-6)
    assert np.isclose(found[:, 0].sum(), num_frames, rtol=1e-6)


def test_statistics_of_a_part_of_the_tasks():
    """Only the tasks asked for are written, and a second call adds to what is there."""
    model, backend = skewed_model(), TorchBackend("cpu", 3000)
    features, _ = frames_of_model(model, 300)
    order, tasks = np.arange(300), np.array([[0, 120], [120, 121], [121, 300]])
    rows = np.stack([model.pdf_begin[[0, 4, 8]], model.pdf_begin[[1, 5, 9]]], axis=1)
    results = []
    for one in (CPU, backend):
        stats, loglikes = np.zeros((model.num_gaussians, 1 + 2 * DIM)), np.full(3, -7.0)
        for _ in range(2):
            one.accumulate(features, order, tasks, rows, rows[:, 0].copy(), model.parameters, 1, 3, stats, loglikes)
        results.append((stats, loglikes))
    assert relative_error(results[1][0], results[0][0]) < 1e-5
    assert not results[1][0][: model.pdf_begin[1]].any()
    assert np.allclose(results[1][1], results[0][1], rtol=1e-6) and results[1][1][0] == -7


@pytest.mark.parametrize("kind", ["aligned", "lattice", "none"])
def test_fmllr_statistics(torch_backend, kind):
    model, target = skewed_model(), skewed_model(seed=9)
    features, pdf = frames_of_model(model, 600)
    random = np.random.default_rng(4)
    if kind == "lattice":
        counts = random.integers(0, 4, 600)
        pairs = FramePdfs(
            np.concatenate([[0], np.cumsum(counts)]),
            random.integers(0, model.num_pdfs, counts.sum()).astype(np.int32),
            random.uniform(0.01, 1, counts.sum()).astype(np.float32),
        )
    else:
        weights = random.choice([0, 0.01, 1], 600) if kind == "aligned" else np.zeros(600)
        pairs = FramePdfs.aligned(pdf, weights)
    expected, found = (collect_fmllr(features, pairs, model, target, backend) for backend in (CPU, torch_backend))
    assert relative_error(found.k, expected.k) < 1e-5
    assert relative_error(found.g, expected.g) < 1e-5
    assert np.isclose(found.beta, expected.beta, rtol=1e-9)
    assert np.isclose(found.loglike, expected.loglike, rtol=1e-6)


def test_fmllr_statistics_of_one_gaussian_in_float64():
    """With single Gaussians the posteriors are 1, and the sums can be written down."""
    model = skewed_model(sizes=(1, 1, 1))
    features, pdf = frames_of_model(model, 500)
    found = collect_fmllr(features, FramePdfs.aligned(pdf), model, backend=TorchBackend("cpu"))
    plus = np.concatenate([features, np.ones((500, 1))], axis=1).astype(np.float64)
    assert relative_error(found.k, model.means_invvars[pdf].astype(np.float64).T @ plus) < 1e-5
    full = np.einsum("td,ti,tj->dij", model.inv_vars[pdf].astype(np.float64), plus, plus)
    assert relative_error(found.full_g, full) < 1e-5


def test_mllt_statistics(torch_backend):
    model = skewed_model()
    features, pdf = frames_of_model(model, 3000)
    parts = [(one, features[pdf == one]) for one in range(model.num_pdfs)]
    results = []
    for backend in (CPU, torch_backend):
        statistics = MlltStatistics(DIM)
        statistics.add(parts, model, 4.0, np.random.default_rng(5), backend)
        results.append(statistics)
    assert results[0].count == results[1].count > 0
    assert relative_error(results[1].squares, results[0].squares) < 1e-5


def test_threads_share_a_backend():
    """Many threads at once get what one gets alone, to the last bit."""
    model, backend = skewed_model(), TorchBackend("cpu", 20_000)
    frames = [frames_of_model(model, 50 + number, seed=number)[0] for number in range(24)]
    alone = [model.loglikes(one, backend=backend) for one in frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: model.loglikes(one, backend=backend), frames))
    assert all(np.array_equal(one, two) for one, two in zip(alone, together, strict=True))
