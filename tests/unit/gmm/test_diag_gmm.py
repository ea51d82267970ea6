"""GMM likelihoods against brute force in float64; the model file, both ways; bad files."""

import numpy as np
import pytest
from scipy.special import logsumexp

from asrtool.errors import AsrtoolError
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter

HEAD = "<DIMENSION> 1 <NUMPDFS> 1 <DiagGMM> <WEIGHTS> [ 1 ]"


def random_model(sizes=(1, 3, 2, 5), dim=7, seed=0) -> AmDiagGmm:
    random = np.random.default_rng(seed)
    weights = np.concatenate([random.dirichlet(np.ones(size)) for size in sizes])
    means, variances = random.normal(size=(sum(sizes), dim)), random.uniform(0.2, 3, size=(sum(sizes), dim))
    return AmDiagGmm.from_moments(np.cumsum([0, *sizes]), weights, means, variances)


def brute_force(model: AmDiagGmm, features: np.ndarray) -> np.ndarray:
    """Component log-likelihoods float64 [T, G], from means and variances one by one."""
    out = np.empty((len(features), model.num_gaussians))
    for g in range(model.num_gaussians):
        deviation = features.astype(np.float64) - model.means[g]
        density = -0.5 * (deviation**2 / model.variances[g] + np.log(2 * np.pi * model.variances[g]))
        out[:, g] = np.log(float(model.weights[g])) + density.sum(axis=1)
    return out


@pytest.mark.parametrize("num_frames", [1, 5, 256, 700])
def test_loglikes_equal_brute_force(num_frames):
    model = random_model()
    features = np.random.default_rng(1).normal(scale=3, size=(num_frames, 7)).astype(np.float32)
    parts = np.split(brute_force(model, features), model.pdf_begin[1:-1], axis=1)
    expected = np.stack([logsumexp(part, axis=1) for part in parts], axis=1)
    assert np.allclose(model.loglikes(features), expected, atol=2e-3, rtol=1e-5)
    assert np.allclose(model.loglikes(features, np.array([2, 0])), model.loglikes(features)[:, [2, 0]], atol=1e-4)


def test_loglikes_take_more_gaussians_than_a_block():
    model = random_model(sizes=(1500, 2, 900, 300), dim=2)
    features = np.random.default_rng(2).normal(size=(300, 2)).astype(np.float32)
    parts = np.split(brute_force(model, features), model.pdf_begin[1:-1], axis=1)
    expected = np.stack([logsumexp(part, axis=1) for part in parts], axis=1)
    assert np.allclose(model.loglikes(features), expected, atol=1e-4)


def test_far_components_and_zero_weights_do_not_disturb():
    means = np.array([[0.0], [1e3]])
    model = AmDiagGmm.from_moments(np.array([0, 2]), np.array([1.0, 0.0]), means, np.ones((2, 1)))
    assert np.allclose(model.loglikes(np.zeros((3, 1), dtype=np.float32)), -0.5 * np.log(2 * np.pi))


def test_boosting_adds_to_the_log_likelihood():
    model = random_model()
    boosted = model.boosted_parameters([1], 1.25)
    change = boosted[:, 0] - model.parameters[:, 0]
    assert np.allclose(change, np.where(model.pdf_of_gaussian == 1, np.log(1.25), 0), atol=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_written_and_read_again(tmp_path, binary):
    model = random_model()
    with KaldiWriter.open(tmp_path / "am", binary=binary) as writer:
        model.write(writer)
    with KaldiReader.open(tmp_path / "am") as reader:
        again = AmDiagGmm.read(reader)
    tolerance = {} if binary else {"rtol": 1e-5}
    for name in ("pdf_begin", "weights", "means_invvars", "inv_vars", "gconsts"):
        assert np.allclose(getattr(again, name), getattr(model, name), **tolerance)
    if binary:
        assert again.gconsts.tobytes() == model.gconsts.tobytes()


def test_wrong_feature_dimension_is_one_line():
    with pytest.raises(AsrtoolError, match="dimension 7, found 5"):
        random_model().loglikes(np.zeros((3, 5), dtype=np.float32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<DIMENSION> 0 <NUMPDFS> 1", "dimension 0"),
        ("<NUMPDFS> 1", "expected <DIMENSION>"),
        (HEAD + " <MEANS_INVVARS> [ 0 0 ] <INV_VARS> [ 1 ] </DiagGMM>", "differ in size"),
        (HEAD + " <MEANS_INVVARS> [ 0 ] <INV_VARS> [ 0 ] </DiagGMM>", "not positive"),
        (HEAD.replace("PDFS> 1", "PDFS> 2") + " <MEANS_INVVARS> [ 0 ] <INV_VARS> [ 1 ] </DiagGMM>", "expected a token"),
    ],
)
def test_damaged_models_are_errors(tmp_path, text, message):
    (tmp_path / "am").write_text(text)
    with pytest.raises(AsrtoolError, match=message), KaldiReader.open(tmp_path / "am") as reader:
        AmDiagGmm.read(reader)
