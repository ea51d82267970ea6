"""GMM arithmetic on a GPU equals that on the CPU: log-likelihoods, statistics, whole trainings."""

import numpy as np
import pytest
import torch
from gmm_backend_training import TRAININGS, compare, make_corpus
from gmm_backends import (
    exact_loglikes,
    exact_statistics,
    frames_of_model,
    relative_error,
    skewed_model,
    statistics_of,
)

from asrtool.gmm.backend import CPU, choose_backend
from asrtool.gmm.fmllr_statistics import FramePdfs, collect_fmllr
from asrtool.gmm.mllt import MlltStatistics
from asrtool.gmm.torch_backend import TorchBackend


@pytest.fixture(scope="module", autouse=True)
def _gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("gpu"))


def test_the_gpu_is_found():
    assert choose_backend("auto").name == choose_backend("yes").name == "torch cuda"


@pytest.mark.parametrize("block_elements", [1 << 24, 40_000])
def test_loglikes_and_statistics(block_elements):
    model, backend = skewed_model(), TorchBackend("cuda", block_elements)
    features, pdf = frames_of_model(model, 12_500)
    found = model.loglikes(features, backend=backend)
    assert np.abs(found - exact_loglikes(model, features)).max() < 2e-4
    assert np.array_equal(found, model.loglikes(features, backend=backend)), "twice the same"
    stats, loglike, kernels, _ = statistics_of(model, features, pdf, backend)
    exact, exact_loglike = exact_statistics(model, features, pdf)
    assert relative_error(stats, exact) < 1e-5
    assert relative_error(stats, kernels) < 1e-5
    assert np.isclose(loglike, exact_loglike, rtol=1e-6)
    assert np.array_equal(stats, statistics_of(model, features, pdf, backend)[0]), "twice the same"


def test_fmllr_and_mllt_statistics():
    model, backend = skewed_model(), TorchBackend("cuda")
    features, pdf = frames_of_model(model, 3000)
    found, expected = (collect_fmllr(features, FramePdfs.aligned(pdf), model, backend=one) for one in (backend, CPU))
    assert relative_error(found.k, expected.k) < 1e-5
    assert relative_error(found.g, expected.g) < 1e-5
    assert np.isclose(found.loglike, expected.loglike, rtol=1e-6)
    squares = []
    for one in (backend, CPU):
        statistics = MlltStatistics(model.dim)
        parts = ((number, features[pdf == number]) for number in range(model.num_pdfs))
        statistics.add(parts, model, 4.0, np.random.default_rng(5), one)
        squares.append(statistics.squares)
    assert relative_error(*squares) < 1e-5


@pytest.mark.parametrize("train", TRAININGS.values(), ids=TRAININGS)
def test_training_equals_the_cpu(corpus, tmp_path, train):
    compare(train, corpus, tmp_path, TorchBackend("cuda"))


def test_memory_is_bounded():
    """A million frames and ten thousand Gaussians."""
    random = np.random.default_rng(0)
    model = skewed_model(sizes=tuple(random.integers(1, 12, 1600)), seed=1)
    features = random.normal(size=(1_000_000, model.dim)).astype(np.float32)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    statistics_of(model, features, random.integers(0, 1600, len(features)), TorchBackend("cuda"))
    model.pdf_loglikes(features[:40_000], backend=TorchBackend("cuda"))
    assert torch.cuda.max_memory_allocated() < 1 << 30
