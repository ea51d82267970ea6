"""Kernels of the shard reader: Kaldi's compressed matrices, and CMVN with differences.

The arithmetic is in float32 and in the order of asrtool.io.kaldi_matrix and asrtool.feat, so that the numbers are the same.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def decode_speech_feature(codes_DT, percentiles_D4, output_TD):
    """The values of a CM matrix, as asrtool.io.kaldi_matrix.decompress.

    Args:
        codes_DT: uint8, read-only: a byte an element, column by column.
        percentiles_D4: float32, the 0th, 25th, 75th and 100th percentile of each column.
        output_TD: float32, filled.
    """
    dim, num_frames = codes_DT.shape
    table = np.empty(256, np.float32)
    for d in range(dim):
        p0, p25, p75, p100 = percentiles_D4[d, 0], percentiles_D4[d, 1], percentiles_D4[d, 2], percentiles_D4[d, 3]
        for byte in range(65):
            table[byte] = p0 + (p25 - p0) * np.float32(byte) * np.float32(1 / 64)
        for byte in range(65, 193):
            table[byte] = p25 + (p75 - p25) * np.float32(byte - 64) * np.float32(1 / 128)
        for byte in range(193, 256):
            table[byte] = p75 + (p100 - p75) * np.float32(byte - 192) * np.float32(1 / 63)
        for t in range(num_frames):
            output_TD[t, d] = table[codes_DT[d, t]]


@njit(nogil=True, cache=True)
def normalise_with_differences(raw_TD, scale_D, offset_D, filters_KJ, mean_F, inverse_F, output_TF):
    """CMVN, differences (asrtool.feat.deltas.add_deltas), then (value - mean) * inverse, in one pass over an utterance.

    Args:
        raw_TD: float32; becomes scale_D * raw_TD + offset_D.
        filters_KJ: float32 [1 + order, 2 * margin + 1], the filter of each difference, centred, zeros around it.
        mean_F, inverse_F: float32 [(1 + order) * D].
        output_TF: float32, filled.
    Returns:
        Whether all of `raw_TD` was finite.
    """
    num_frames, dim = raw_TD.shape
    width = filters_KJ.shape[1]
    margin = width // 2
    finite = True
    for t in range(num_frames):
        total = np.float32(0)
        for d in range(dim):
            total += raw_TD[t, d]
            raw_TD[t, d] = raw_TD[t, d] * scale_D[d] + offset_D[d]
        finite = finite and np.isfinite(total)
    for t in range(num_frames):
        for d in range(dim):
            output_TF[t, d] = raw_TD[t, d]
        for k in range(1, filters_KJ.shape[0]):
            row = output_TF[t, k * dim : (k + 1) * dim]
            row[:] = 0
            for j in range(width):
                coefficient = filters_KJ[k, j]
                if coefficient != 0:
                    source = raw_TD[min(max(t + j - margin, 0), num_frames - 1)]
                    for d in range(dim):
                        row[d] += coefficient * source[d]
        for f in range(output_TF.shape[1]):
            output_TF[t, f] = (output_TF[t, f] - mean_F[f]) * inverse_F[f]
    return finite
