"""Log-likelihoods and sufficient statistics of diagonal-covariance GMMs, over blocks of frames.

A frame x [D] is extended to (1, x, x^2) [E = 1 + 2D] and a Gaussian is a row (gconst, mean / var, -0.5 / var), so that a
block of frames is one matrix product; exponentials and logarithms are polynomials over whole rows, which the compiler turns
into vector instructions (relative error below 3e-7).

The products are scipy's BLAS: run with one BLAS thread (OMP_NUM_THREADS=1), the callers' threads do the rest.
"""

import numpy as np
from numba import njit

BLOCK_FRAMES = 256
BLOCK_GAUSSIANS = 1024  # with BLOCK_FRAMES, 1 MiB of component log-likelihoods: stays in the second-level cache

_LOG2E = np.float32(1.44269504088896341)
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it leaves the rounded integer in the low bits
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_LOWEST = np.float32(-80.0)
_NEGLIGIBLE_BITS = np.int32(0x2A000000)  # 1.1e-13: what is less becomes zero, or products would be denormal, which is slow
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
# Minimax polynomials of the Cephes library (expf.c, logf.c)
_E0, _E1, _E2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_E3, _E4, _E5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_L0, _L1, _L2 = np.float32(7.0376836292e-2), np.float32(-1.1514610310e-1), np.float32(1.1676998740e-1)
_L3, _L4, _L5 = np.float32(-1.2420140846e-1), np.float32(1.4249322787e-1), np.float32(-1.6668057665e-1)
_L6, _L7, _L8 = np.float32(2.0000714765e-1), np.float32(-2.4999993993e-1), np.float32(3.3333331174e-1)
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_ONE_BITS = np.int32(0x3F800000)
_MANTISSA = np.int32(0x7FFFFF)


@njit(nogil=True, cache=True, error_model="numpy")
def _exp_minus(row, offset, rounded, rounded_bits, row_bits):
    """row[j] = exp(row[j] - offset[j]), the difference being at most 0; arrays float32 [n], *_bits their int32 views."""
    for j in range(row.shape[0]):
        x = row[j] - offset[j]
        x = x if x > _LOWEST else _LOWEST
        z = x * _LOG2E + _ROUND
        rounded[j] = z
        k = z - _ROUND
        x = x - k * _LN2_HIGH
        x = x - k * _LN2_LOW
        p = ((((_E0 * x + _E1) * x + _E2) * x + _E3) * x + _E4) * x + _E5
        row[j] = p * x * x + x + _ONE
    for j in range(row.shape[0]):
        bits = np.int32(row_bits[j] + np.int32(rounded_bits[j] << np.int32(23)))
        row_bits[j] = bits if bits > _NEGLIGIBLE_BITS else np.int32(0)


@njit(nogil=True, cache=True, error_model="numpy")
def _add_log(total, total_bits, offset, out):
    """out[j] = offset[j] + log(total[j]); float32 [n], total > 0; overwrites total, total_bits being its int32 view."""
    for j in range(total.shape[0]):
        i = np.int32(total_bits[j] + (_ONE_BITS - _SQRT_HALF_BITS))
        out[j] = np.float32(np.int32(i >> np.int32(23)) - np.int32(127))
        total_bits[j] = np.int32((i & _MANTISSA) + _SQRT_HALF_BITS)
    for j in range(total.shape[0]):
        f = total[j] - _ONE
        e = out[j]
        z = f * f
        p = (((((((_L0 * f + _L1) * f + _L2) * f + _L3) * f + _L4) * f + _L5) * f + _L6) * f + _L7) * f + _L8
        y = f * z * p + e * _LN2_LOW - _HALF * z
        out[j] = offset[j] + (f + y + e * _LN2_HIGH)


@njit(nogil=True, cache=True, error_model="numpy")
def _soft_max_rows(components, first, end, highest, total, scratch, out):
    """Turns the rows first..end of `components` into exponentials relative to `highest`, and sums them into `total`.

    components float32 [G, n]; highest, total, scratch, out float32 [n]. out = log of the sum of the exponentials.
    """
    n = components.shape[1]
    for j in range(n):
        highest[j] = components[first, j]
        total[j] = np.float32(0)
    for g in range(first + 1, end):
        row = components[g]
        for j in range(n):
            highest[j] = row[j] if row[j] > highest[j] else highest[j]
    scratch_bits = scratch.view(np.int32)
    for g in range(first, end):
        row = components[g]
        _exp_minus(row, highest, scratch, scratch_bits, row.view(np.int32))
        for j in range(n):
            total[j] += row[j]
    for j in range(n):
        scratch[j] = total[j]
    _add_log(scratch, scratch_bits, highest, out)


@njit(nogil=True, cache=True, error_model="numpy")
def pdf_loglikes(features, parameters, pdf_begin, pdf_ids, out):
    """out[p, t] = log p(frame t | pdf pdf_ids[p]).

    features float32 [T, D]; parameters float32 [G, 1 + 2D] of all Gaussians; pdf_begin int64 [P + 1]: the Gaussians of a pdf;
    pdf_ids int32 [K]; out float32 [K, T]. All C-contiguous.
    """
    num_frames, dim = features.shape
    width = 1 + 2 * dim
    most = 0
    for p in pdf_ids:
        most = max(most, pdf_begin[p + 1] - pdf_begin[p])
    capacity = max(most, BLOCK_GAUSSIANS)
    rows = np.empty((capacity, width), dtype=np.float32)
    extended_pool = np.empty(width * BLOCK_FRAMES, dtype=np.float32)
    component_pool = np.empty(capacity * BLOCK_FRAMES, dtype=np.float32)
    scratch_pool = np.empty((3, BLOCK_FRAMES), dtype=np.float32)
    first = 0
    while first < pdf_ids.shape[0]:
        num_rows = 0
        last = first
        while last < pdf_ids.shape[0]:
            begin, end = pdf_begin[pdf_ids[last]], pdf_begin[pdf_ids[last] + 1]
            if num_rows + end - begin > capacity:
                break
            rows[num_rows : num_rows + end - begin] = parameters[begin:end]
            num_rows += end - begin
            last += 1
        for start in range(0, num_frames, BLOCK_FRAMES):
            n = min(BLOCK_FRAMES, num_frames - start)
            extended = extended_pool[: width * n].reshape((width, n))
            for j in range(n):
                extended[0, j] = np.float32(1)
                for d in range(dim):
                    x = features[start + j, d]
                    extended[1 + d, j] = x
                    extended[1 + dim + d, j] = x * x
            components = component_pool[: num_rows * n].reshape((num_rows, n))
            np.dot(rows[:num_rows], extended, components)
            row = 0
            for p in range(first, last):
                end = row + pdf_begin[pdf_ids[p] + 1] - pdf_begin[pdf_ids[p]]
                _soft_max_rows(
                    components, row, end, scratch_pool[0, :n], scratch_pool[1, :n], scratch_pool[2, :n], out[p, start : start + n]
                )
                row = end
        first = last


@njit(nogil=True, cache=True, error_model="numpy")
def accumulate(features, frame_order, task_frames, task_gaussians, task_out, parameters, first_task, end_task, stats, loglikes):
    """Statistics of the tasks first_task..end_task; a task is a run of frames that belong to one pdf.

    features float32 [N, D]; frame_order int64 [M]: frames grouped by pdf; task_frames int64 [K, 2]: a range of frame_order;
    task_gaussians int64 [K, 2]: rows of `parameters` float32 [G, 1 + 2D]; task_out int64 [K]: first row in `stats` float64
    [R, 1 + 2D], where the sums of posterior, posterior * x and posterior * x^2 are added; loglikes float64 [K]: sum over frames.
    """
    dim = features.shape[1]
    width = 1 + 2 * dim
    most = 1
    for task in range(first_task, end_task):
        most = max(most, task_gaussians[task, 1] - task_gaussians[task, 0])
    extended_pool = np.empty(width * BLOCK_FRAMES, dtype=np.float32)
    component_pool = np.empty(most * BLOCK_FRAMES, dtype=np.float32)
    scratch_pool = np.empty((4, BLOCK_FRAMES), dtype=np.float32)
    sums = np.empty((most, width), dtype=np.float32)
    for task in range(first_task, end_task):
        first, end = task_gaussians[task, 0], task_gaussians[task, 1]
        size = end - first
        loglike = 0.0
        for start in range(task_frames[task, 0], task_frames[task, 1], BLOCK_FRAMES):
            n = min(BLOCK_FRAMES, task_frames[task, 1] - start)
            extended = extended_pool[: width * n].reshape((width, n))
            for j in range(n):
                frame = frame_order[start + j]
                extended[0, j] = np.float32(1)
                for d in range(dim):
                    x = features[frame, d]
                    extended[1 + d, j] = x
                    extended[1 + dim + d, j] = x * x
            components = component_pool[: size * n].reshape((size, n))
            np.dot(parameters[first:end], extended, components)
            total, out = scratch_pool[1, :n], scratch_pool[3, :n]
            _soft_max_rows(components, 0, size, scratch_pool[0, :n], total, scratch_pool[2, :n], out)
            for j in range(n):
                loglike += out[j]
                total[j] = _ONE / total[j]
            for g in range(size):
                row = components[g]
                for j in range(n):
                    row[j] *= total[j]
            np.dot(components, extended.T, sums[:size])
            base = task_out[task]
            for g in range(size):
                for e in range(width):
                    stats[base + g, e] += sums[g, e]
        loglikes[task] = loglike
