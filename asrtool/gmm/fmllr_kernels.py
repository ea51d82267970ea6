"""Statistics for fMLLR: what the frames of a speaker say of an affine transform of theirs."""

import numpy as np
from numba import njit

BLOCK_FRAMES = 128  # of products: with 40 dimensions 440 KB, which stays in the second-level cache


@njit(nogil=True, cache=True, error_model="numpy")
def accumulate_fmllr(features, frame_begin, pdf, weight, pdf_begin, parameters, targets, k, g):
    """Adds the frames' statistics to k and g; gives (sum of the weights, weighted sum of the log-likelihoods).

    features float32 [T, D]; frame_begin int64 [T + 1]: frame t has the pairs (pdf int32, weight float32) from frame_begin[t] on;
    pdf_begin int64 [P + 1]: the Gaussians of a pdf, rows (gconst, mean / var, -0.5 / var) float32 [G, 1 + 2D] of `parameters`,
    which give the Gaussians' posteriors, and of `targets`, whose means and variances are taken. All C-contiguous.

    With x+ = (x, 1) and sums over the frames and their Gaussians' posteriors p: k float64 [D, D + 1] = sum p mean_d / var_d x+;
    g float64 [D, (D + 1)(D + 2) / 2] = sum p / var_d x+ x+^T, each element of the upper triangle once, by rows.
    """
    num_frames, dim = features.shape
    most = 1
    for pair in range(pdf.shape[0]):
        most = max(most, pdf_begin[pdf[pair] + 1] - pdf_begin[pdf[pair]])
    extended = np.ones(1 + 2 * dim, dtype=np.float32)
    component_pool = np.empty(most, dtype=np.float32)
    linear = np.zeros((BLOCK_FRAMES, dim), dtype=np.float32)
    inverse = np.zeros((BLOCK_FRAMES, dim), dtype=np.float32)
    plus = np.ones((BLOCK_FRAMES, dim + 1), dtype=np.float32)
    products = np.empty((BLOCK_FRAMES, g.shape[1]), dtype=np.float32)
    block_k = np.empty((dim, dim + 1), dtype=np.float32)
    block_g = np.empty((dim, g.shape[1]), dtype=np.float32)
    total = 0.0
    loglike = 0.0
    n = 0
    for t in range(num_frames):
        if frame_begin[t] < frame_begin[t + 1]:
            for d in range(dim):
                x = features[t, d]
                plus[n, d] = x
                extended[1 + d] = x
                extended[1 + dim + d] = x * x
                linear[n, d] = 0
                inverse[n, d] = 0
            for pair in range(frame_begin[t], frame_begin[t + 1]):
                first, end = pdf_begin[pdf[pair]], pdf_begin[pdf[pair] + 1]
                components = component_pool[: end - first]
                np.dot(parameters[first:end], extended, components)
                highest = components.max()
                share = 0.0
                for c in range(end - first):
                    components[c] = np.exp(components[c] - highest)
                    share += components[c]
                total += weight[pair]
                loglike += weight[pair] * (highest + np.log(share))
                for c in range(end - first):
                    posterior = np.float32(weight[pair] * components[c] / share)
                    row = targets[first + c]
                    for d in range(dim):
                        linear[n, d] += posterior * row[1 + d]
                        inverse[n, d] += np.float32(-2) * posterior * row[1 + dim + d]
            n += 1
        if n == BLOCK_FRAMES or (t == num_frames - 1 and n > 0):
            for j in range(n):
                at = 0
                for d in range(dim + 1):
                    x = plus[j, d]
                    for e in range(d, dim + 1):
                        products[j, at + e - d] = x * plus[j, e]
                    at += dim + 1 - d
            np.dot(linear[:n].T, plus[:n], block_k)
            np.dot(inverse[:n].T, products[:n], block_g)
            for d in range(dim):
                for e in range(dim + 1):
                    k[d, e] += block_k[d, e]
                for e in range(g.shape[1]):
                    g[d, e] += block_g[d, e]
            n = 0
    return total, loglike
