"""Changing the number of Gaussians: splitting and merging by occupancy (Kaldi's am-diag-gmm.cc, model-common.cc)."""

import heapq

import numpy as np

from asrtool.gmm.diag_gmm import AmDiagGmm


def split_targets(occupancies: np.ndarray, target: int, power: float, min_count: float) -> np.ndarray:
    """int64 [P]: Gaussians a pdf, in all `target` where the counts allow it (Kaldi's GetSplitTargets).

    One after the other goes to the pdf with the largest occupancy^power / Gaussians, as long as each of its Gaussians keeps
    more than `min_count` frames.

    Args:
        occupancies: [P], frames a pdf.
    """
    targets = np.ones(len(occupancies), dtype=np.int64)
    occupancies = np.asarray(occupancies, dtype=np.float64)
    scaled = np.where(occupancies > 0, np.maximum(occupancies, 1e-300) ** power, 0.0)
    queue = [(-value, pdf) for pdf, value in enumerate(scaled.tolist()) if value > 0]
    heapq.heapify(queue)
    missing = target - len(targets)
    counts = occupancies.tolist()
    while missing > 0 and queue:
        _, pdf = queue[0]
        components = int(targets[pdf]) + 1
        if components * min_count >= counts[pdf]:
            heapq.heappop(queue)
            continue
        targets[pdf] = components
        missing -= 1
        heapq.heapreplace(queue, (-scaled[pdf] / components, pdf))
    return targets


def split_by_count(
    model: AmDiagGmm,
    occupancies: np.ndarray,
    target: int,
    power: float = 0.2,
    min_count: float = 20.0,
    perturb_factor: float = 0.01,
    seed: int | list[int] = 0,
) -> AmDiagGmm:
    """Splits pdfs' heaviest Gaussians until the model has `target` (Kaldi's SplitByCount).

    The halves' means move apart by `perturb_factor` standard deviations times a normal random vector.
    """
    targets = split_targets(occupancies, target, power, min_count)
    random = np.random.default_rng(seed)
    weights, means_invvars, inv_vars = [], [], []
    sizes = np.diff(model.pdf_begin)
    unchanged = 0  # rows from here on, up to the pdf at hand, go into the result as they are
    for pdf in np.flatnonzero(targets > sizes):
        begin, end = model.pdf_begin[pdf], model.pdf_begin[pdf + 1]
        weights.append(model.weights[unchanged:end])
        inv_vars.append(model.inv_vars[unchanged:end])
        means_invvars.append(model.means_invvars[unchanged:end])
        unchanged = end
        weights[-1], means_invvars[-1] = weights[-1].copy(), means_invvars[-1].copy()
        more = _split(
            weights[-1][begin - end :],
            means_invvars[-1][begin - end :],
            inv_vars[-1][begin - end :],
            int(targets[pdf] - sizes[pdf]),
            perturb_factor,
            random,
        )
        weights.append(more[0])
        means_invvars.append(more[1])
        inv_vars.append(more[2])
    weights.append(model.weights[unchanged:])
    means_invvars.append(model.means_invvars[unchanged:])
    inv_vars.append(model.inv_vars[unchanged:])
    pdf_begin = np.concatenate([[0], np.cumsum(np.maximum(targets, sizes))])
    return AmDiagGmm(pdf_begin, np.concatenate(weights), np.concatenate(means_invvars), np.concatenate(inv_vars))


def _split(weights, means_invvars, inv_vars, number: int, perturb_factor: float, random: np.random.Generator):
    """`number` new Gaussians of one pdf; those given (weights [K], the others [K, D]) are changed in place."""
    size, dim = means_invvars.shape
    noise = random.standard_normal((number, dim)).astype(np.float32) * np.float32(perturb_factor)
    weight = np.concatenate([weights, np.zeros(number, dtype=np.float32)])
    mean = np.concatenate([means_invvars, np.zeros((number, dim), dtype=np.float32)])
    inverse = np.concatenate([inv_vars, np.zeros((number, dim), dtype=np.float32)])
    for new in range(number):
        heaviest = int(weight[: size + new].argmax())
        weight[heaviest] /= 2
        step = noise[new] * np.sqrt(inverse[heaviest])
        weight[size + new] = weight[heaviest]
        inverse[size + new] = inverse[heaviest]
        mean[size + new] = mean[heaviest] + step
        mean[heaviest] -= step
    weights[:], means_invvars[:] = weight[:size], mean[:size]
    return weight[size:], mean[size:], inverse[size:]


def merge_by_count(
    model: AmDiagGmm, occupancies: np.ndarray, target: int, power: float = 0.2, min_count: float = 20.0
) -> AmDiagGmm:
    """Merges Gaussians within pdfs until the model has `target` (Kaldi's MergeByCount, `gmm-est --mix-down`)."""
    targets = split_targets(occupancies, target, power, min_count)
    parts = []
    for pdf in range(model.num_pdfs):
        rows = slice(int(model.pdf_begin[pdf]), int(model.pdf_begin[pdf + 1]))
        inverse = model.inv_vars[rows].astype(np.float64)
        means = model.means_invvars[rows] / inverse
        parts.append(_merge(model.weights[rows].astype(np.float64), means, 1 / inverse + means**2, int(targets[pdf])))
    weights, means, squares = (np.concatenate(arrays) for arrays in zip(*parts))
    pdf_begin = np.concatenate([[0], np.cumsum([len(part[0]) for part in parts])])
    return AmDiagGmm.from_moments(pdf_begin, weights, means, squares - means**2)


def _merge(weights: np.ndarray, means: np.ndarray, squares: np.ndarray, target: int):
    """Merges, pair by pair, the two Gaussians whose merging costs the least likelihood; all float64, [K], [K, D], [K, D]."""
    while len(weights) > target:
        cost = weights * np.log(squares - means**2).sum(axis=1)
        share = weights[:, None] / (weights[:, None] + weights[None, :])
        mean = share[..., None] * means[:, None] + (1 - share[..., None]) * means[None]
        square = share[..., None] * squares[:, None] + (1 - share[..., None]) * squares[None]
        merged = (weights[:, None] + weights[None, :]) * np.log(square - mean**2).sum(axis=2)
        loss = merged - cost[:, None] - cost[None, :]
        loss[np.tril_indices(len(weights))] = np.inf
        one, two = np.unravel_index(int(loss.argmin()), loss.shape)
        weights, means, squares = weights.copy(), means.copy(), squares.copy()
        means[one], squares[one] = mean[one, two], square[one, two]
        weights[one] += weights[two]
        weights, means, squares = (np.delete(array, two, axis=0) for array in (weights, means, squares))
    return weights, means, squares
