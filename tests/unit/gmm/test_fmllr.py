"""fMLLR: statistics against sums in float64, the estimate against a general optimiser and against the derivative's zero."""

import numpy as np
import pytest
from scipy.optimize import minimize

from asrtool.errors import AsrtoolError
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.features import apply_transform
from asrtool.gmm.fmllr import FmllrOptions, FmllrStatistics, compose, estimate, identity, objective
from asrtool.gmm.fmllr_statistics import FramePdfs, collect_fmllr

DIM = 5


def make_model(seed: int = 0, dim: int = DIM) -> AmDiagGmm:
    random = np.random.default_rng(seed)
    pdf_begin = np.array([0, 1, 4, 6, 9])
    number = int(pdf_begin[-1])
    weights = random.uniform(0.2, 1, number)
    weights /= np.repeat(np.add.reduceat(weights, pdf_begin[:-1]), np.diff(pdf_begin))
    means, variances = random.normal(scale=3, size=(number, dim)), random.uniform(0.3, 2, (number, dim))
    return AmDiagGmm.from_moments(pdf_begin, weights, means, variances)


def sample(model: AmDiagGmm, num_frames: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(features float32 [T, D], the pdf of each frame int32 [T])."""
    random = np.random.default_rng(seed)
    pdf = random.integers(0, model.num_pdfs, num_frames).astype(np.int32)
    gaussian = np.array([random.choice(np.arange(*model.pdf_begin[one : one + 2])) for one in pdf])
    features = model.means[gaussian] + random.normal(size=(num_frames, model.dim)) * np.sqrt(model.variances[gaussian])
    return features.astype(np.float32), pdf


def random_pairs(num_frames: int, num_pdfs: int, seed: int = 2) -> FramePdfs:
    """None to three pdfs a frame."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 4, num_frames)
    pdfs = [np.sort(random.choice(num_pdfs, count, replace=False)) for count in counts]
    begin = np.concatenate([[0], np.cumsum(counts)])
    return FramePdfs(begin, np.concatenate(pdfs).astype(np.int32), random.uniform(0.1, 1, begin[-1]).astype(np.float32))


def plain_statistics(features: np.ndarray, pairs: FramePdfs, posterior_model: AmDiagGmm, model: AmDiagGmm) -> FmllrStatistics:
    """The sums one by one in float64."""
    dim = features.shape[1]
    k, g, beta, loglike = np.zeros((dim, dim + 1)), np.zeros((dim, dim + 1, dim + 1)), 0.0, 0.0
    means, variances = posterior_model.means, posterior_model.variances
    for t, x in enumerate(features.astype(np.float64)):
        plus = np.append(x, 1.0)
        for pair in range(pairs.frame_begin[t], pairs.frame_begin[t + 1]):
            gaussians = np.arange(*model.pdf_begin[pairs.pdf[pair] : pairs.pdf[pair] + 2])
            deviations = (x - means[gaussians]) ** 2 / variances[gaussians] + np.log(2 * np.pi * variances[gaussians])
            each = posterior_model.weights[gaussians] * np.exp(-0.5 * deviations.sum(axis=1))
            loglike += pairs.weight[pair] * np.log(each.sum())
            for gaussian, posterior in zip(gaussians, each / each.sum()):
                beta += pairs.weight[pair] * posterior
                k += pairs.weight[pair] * posterior * np.outer(model.means[gaussian] / model.variances[gaussian], plus)
                for d in range(dim):
                    g[d] += pairs.weight[pair] * posterior / model.variances[gaussian, d] * np.outer(plus, plus)
    rows, columns = np.triu_indices(dim + 1)
    return FmllrStatistics(k, g[:, rows, columns], beta, loglike)


def plain_objective(flat: np.ndarray, statistics: FmllrStatistics) -> tuple[float, np.ndarray]:
    """Minus the objective, and its derivative: beta A^-T + K - (rows of W G)."""
    transform = flat.reshape(statistics.k.shape)
    log_det = np.linalg.slogdet(transform[:, :-1])[1]
    g = statistics.full_g
    value = statistics.beta * log_det + (transform * statistics.k).sum()
    value -= 0.5 * sum(row @ g[d] @ row for d, row in enumerate(transform))
    gradient = statistics.k - np.stack([g[d] @ row for d, row in enumerate(transform)])
    gradient[:, :-1] += statistics.beta * np.linalg.inv(transform[:, :-1]).T
    return -value, -gradient.reshape(-1)


def aligned_statistics(model: AmDiagGmm, features: np.ndarray, pdf: np.ndarray) -> FmllrStatistics:
    return collect_fmllr(features, FramePdfs.aligned(pdf), model)


@pytest.fixture(scope="module")
def speaker():
    """A model, and frames of it as a speaker with an affine transform of his own would give them."""
    model = make_model()
    clean, pdf = sample(model, 3000)
    random = np.random.default_rng(3)
    channel = np.concatenate([np.eye(DIM) + 0.2 * random.normal(size=(DIM, DIM)), random.normal(size=(DIM, 1))], axis=1)
    return model, clean, pdf, channel, apply_transform(clean, channel.astype(np.float32))


def test_statistics_are_the_sums():
    model, other = make_model(0), make_model(5)
    features, _ = sample(model, 300)
    pairs = random_pairs(len(features), model.num_pdfs)
    for target in (None, other):  # posteriors of one model, means and variances of another
        found = collect_fmllr(features, pairs, model, target)
        expected = plain_statistics(features, pairs, model, target or model)
        assert found.beta == pytest.approx(expected.beta, rel=1e-6)
        assert found.beta == pytest.approx(pairs.weight.sum(), rel=1e-6)
        assert found.loglike == pytest.approx(expected.loglike, rel=1e-5)
        np.testing.assert_allclose(found.k, expected.k, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(found.g, expected.g, rtol=1e-4, atol=1e-3)


def test_statistics_of_parts_add_up():
    model = make_model()
    features, pdf = sample(model, 500)
    whole = aligned_statistics(model, features, pdf)
    parts = FmllrStatistics.zeros(DIM)
    for part in (slice(0, 130), slice(130, 131), slice(131, 500)):
        parts.add(aligned_statistics(model, features[part], pdf[part]))
    assert parts.beta == whole.beta == 500
    np.testing.assert_allclose(parts.k, whole.k, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(parts.g, whole.g, rtol=1e-5, atol=1e-3)


def test_objective_is_the_expected_loglikelihood():
    """With one Gaussian a pdf the objective differs from the likelihood of the transformed features by a constant."""
    random = np.random.default_rng(4)
    model = AmDiagGmm.from_moments(
        np.arange(4), np.ones(3), random.normal(size=(3, DIM)), random.uniform(0.5, 2, (3, DIM))
    )  # fmt: skip
    features, pdf = sample(model, 400)
    statistics = aligned_statistics(model, features, pdf)

    def loglike(transform: np.ndarray) -> float:
        moved = features.astype(np.float64) @ transform[:, :-1].T + transform[:, -1]
        deviations = (moved - model.means[pdf]) ** 2 / model.variances[pdf] + np.log(2 * np.pi * model.variances[pdf])
        return -0.5 * deviations.sum() + len(features) * np.log(abs(np.linalg.det(transform[:, :-1])))

    one, two = (np.eye(DIM, DIM + 1) + 0.1 * random.normal(size=(DIM, DIM + 1)) for _ in range(2))
    difference = loglike(one) - loglike(two)
    assert objective(one, statistics) - objective(two, statistics) == pytest.approx(difference, rel=1e-4)
    assert statistics.loglike == pytest.approx(loglike(np.eye(DIM, DIM + 1)), rel=1e-5)


def test_full_estimate_is_the_optimum(speaker):
    model, _, pdf, _, features = speaker
    statistics = aligned_statistics(model, features, pdf)
    (found,) = estimate([statistics], FmllrOptions(num_iters=200))
    start = -plain_objective(np.eye(DIM, DIM + 1).reshape(-1), statistics)[0]
    value, gradient = plain_objective(found.transform.astype(np.float64).reshape(-1), statistics)
    # float32 rounds the transform by 1e-7, the second derivative is about the sum of squares
    assert np.abs(gradient).max() < 1e-6 * np.abs(statistics.g).max()
    best = minimize(
        plain_objective, np.eye(DIM, DIM + 1).reshape(-1), args=(statistics,), jac=True, method="BFGS", options={"gtol": 1e-3}
    )  # fmt: skip
    assert -value == pytest.approx(-best.fun, rel=1e-9)
    np.testing.assert_allclose(found.transform, best.x.reshape(DIM, DIM + 1), atol=2e-5)
    assert found.gain == pytest.approx(-value - start, rel=1e-4)
    assert found.log_det == pytest.approx(np.log(abs(np.linalg.det(found.transform[:, :-1]))), abs=1e-5)
    assert found.count == len(pdf) and not found.reason


def test_full_estimate_undoes_the_speaker(speaker):
    """Posteriors of the clean frames: the channel's inverse is found, up to what 3,000 frames tell."""
    model, clean, pdf, channel, features = speaker
    statistics = aligned_statistics(model, features, pdf)
    for _ in range(5):  # from distorted posteriors to right ones
        (found,) = estimate([statistics])
        total = found.transform
        moved = apply_transform(features, total)
        statistics = rebased(features, moved, pdf, model)
    inverse = compose(total, channel.astype(np.float32))
    np.testing.assert_allclose(inverse, identity(DIM), atol=0.12)
    assert np.abs(moved - clean).mean() < 0.1 < np.abs(features - clean).mean()


def rebased(features: np.ndarray, moved: np.ndarray, pdf: np.ndarray, model: AmDiagGmm) -> FmllrStatistics:
    """Statistics of the raw features with the Gaussians' posteriors of the moved ones, by one pdf for each Gaussian."""
    dim = model.dim
    singles = AmDiagGmm(np.arange(model.num_gaussians + 1), np.ones(model.num_gaussians), model.means_invvars, model.inv_vars)
    extended = np.concatenate([np.ones((len(moved), 1)), moved, moved**2], axis=1)
    scores = extended @ model.parameters.T.astype(np.float64)
    assert scores.shape[1] == model.num_gaussians and dim == features.shape[1]
    scores[model.pdf_of_gaussian[None] != pdf[:, None]] = -np.inf
    posterior = np.exp(scores - scores.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    frame, gaussian = np.nonzero(posterior > 1e-6)
    begin = np.searchsorted(frame, np.arange(len(features) + 1))
    pairs = FramePdfs(begin, gaussian.astype(np.int32), posterior[frame, gaussian].astype(np.float32))
    return collect_fmllr(features, pairs, singles)


@pytest.mark.parametrize("update_type", ["diag", "offset"])
def test_restricted_estimates_are_the_optima(speaker, update_type):
    model, _, pdf, _, features = speaker
    statistics = aligned_statistics(model, features, pdf)
    (found,) = estimate([statistics], FmllrOptions(update_type))
    free = np.zeros((DIM, DIM + 1), bool)
    free[:, -1] = True
    if update_type == "diag":
        free[np.arange(DIM), np.arange(DIM)] = True
    assert (found.transform[~free] == identity(DIM)[~free]).all()

    def restricted(values: np.ndarray) -> tuple[float, np.ndarray]:
        transform = np.eye(DIM, DIM + 1)
        transform[free] = values
        value, gradient = plain_objective(transform.reshape(-1), statistics)
        return value, gradient.reshape(DIM, DIM + 1)[free]

    start = np.eye(DIM, DIM + 1)[free]
    bounds = [(0.01, None) if value else (None, None) for value in start]  # a mirror image would be another local optimum
    options = {"gtol": 1e-3, "ftol": 1e-15}
    best = minimize(restricted, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    np.testing.assert_allclose(found.transform[free], best.x, atol=2e-5)
    assert 0 < found.gain < estimate([statistics])[0].gain


def test_speakers_do_not_depend_on_each_other(speaker):
    model, clean, pdf, _, features = speaker
    several = [aligned_statistics(model, rows, pdf[: len(rows)]) for rows in (features, clean, features[:700], features[:400])]
    together = estimate(several)
    for one, found in zip(several, together, strict=True):
        alone = estimate([one])[0]
        np.testing.assert_allclose(alone.transform, found.transform, atol=1e-6)
    assert together[-1].reason.startswith("400 frames are too few")
    assert (together[-1].transform == identity(DIM)).all() and together[-1].gain == 0
    assert not estimate(several, FmllrOptions(min_count=399))[-1].reason


def test_singular_statistics_leave_the_speaker_alone():
    model = make_model()
    features, pdf = sample(model, 800)
    flat = features.copy()
    flat[:, 2] = 0.0  # no matrix can be estimated from a feature that is always 0
    good, bad = (aligned_statistics(model, rows, pdf) for rows in (features, flat))
    for update_type in ("full", "diag"):
        first, second = estimate([good, bad], FmllrOptions(update_type))
        assert not first.reason and second.reason == "the statistics are singular"
        assert (second.transform == identity(DIM)).all()


def test_bad_input():
    with pytest.raises(AsrtoolError, match="--fmllr-update-type 'half'"):
        FmllrOptions("half")
    with pytest.raises(AsrtoolError, match="--fmllr-min-count"):
        FmllrOptions(min_count=-1)
    model = make_model()
    features, pdf = sample(model, 600)
    statistics = aligned_statistics(model, features, pdf)
    statistics.k[0, 0] = np.nan
    with pytest.raises(AsrtoolError, match="not finite"):
        estimate([statistics])
    with pytest.raises(AsrtoolError, match="dimension"):
        collect_fmllr(features[:, :3], FramePdfs.aligned(pdf), model)
    with pytest.raises(AsrtoolError, match="599 frames"):
        collect_fmllr(features, FramePdfs.aligned(pdf[:-1]), model)
    with pytest.raises(AsrtoolError, match="Gaussian for Gaussian"):
        collect_fmllr(
            features, FramePdfs.aligned(pdf), model, AmDiagGmm.from_moments([0, 1], [1.0], [[0.0] * DIM], [[1.0] * DIM])
        )


def test_composition_is_one_after_the_other():
    random = np.random.default_rng(6)
    one, two = (random.normal(size=(DIM, DIM + 1)).astype(np.float32) for _ in range(2))
    features = random.normal(size=(7, DIM)).astype(np.float32)
    expected = apply_transform(apply_transform(features, one), two)
    np.testing.assert_allclose(apply_transform(features, compose(two, one)), expected, atol=1e-5)
    # by hand: x -> 2x + 1, then x -> 3x - 1, is 6x + 2
    assert compose(np.array([[3.0, -1.0]]), np.array([[2.0, 1.0]])).tolist() == [[6.0, 2.0]]
