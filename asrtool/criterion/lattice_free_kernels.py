"""Sums over a denominator graph on the CPU, for eight utterances side by side; the equations: lattice_free_denominator.py.

Rows, states and arcs as in asrtool.graph.denominator; row_pdf counts the U pdfs that the graph knows. The last dimension of
arrays is the utterance: what is done for eight of them is one vector instruction.
"""

import numpy as np
from numba import njit

from asrtool.criterion import lattice_free_vectors
from asrtool.criterion.lattice_free_vectors import LANES, add_row, backward_row, forward_row, scale_row
from asrtool.io.kernel_cache import forget_older_than

forget_older_than(__file__, lattice_free_vectors)


@njit(nogil=True, cache=True, error_model="numpy")
def forward_frames(
    row_begin, row_state, row_pdf, arc_state, arc_prob, leak, final, x, alpha, z, keep, total, first_frame, length, end_total
):
    """Goes over n frames from `alpha`, which becomes that after them.

    leak, final float32 [S]; x float32 [n * U, 8] likelihoods; alpha float32 [S, 8], leaked; z float32 [n * R, 8], or [R, 8]
    where not `keep`: each row's sum; total float64 [n, 8]: what each frame was divided by; first_frame: of the n;
    length int64 [8]; end_total float64 [8]: written where an utterance ends.
    """
    num_states, num_rows, num_pdfs = alpha.shape[0], row_state.shape[0], x.shape[0] // total.shape[0]
    new = np.empty_like(alpha)
    sums, scale, nothing = np.zeros((1, LANES), np.float32), np.empty((1, LANES), np.float32), np.zeros((1, LANES), np.float32)
    for t in range(total.shape[0]):
        new[:] = 0
        sums[:] = 0
        z_first = t * num_rows if keep else 0
        for row in range(num_rows):
            forward_row(
                arc_prob, arc_state, row_begin[row], row_begin[row + 1], alpha,
                x, t * num_pdfs + row_pdf[row], z, z_first + row, new, row_state[row], sums,
            )  # fmt: skip
        for lane in range(LANES):
            total[t, lane] = sums[0, lane]
            scale[0, lane] = 1 / sums[0, lane]
        for state in range(num_states):
            scale_row(state, new, scale, leak[state], nothing, alpha)
        for lane in range(LANES):
            if first_frame + t + 1 == length[lane]:
                end_total[lane] = 0
                for state in range(num_states):
                    end_total[lane] += alpha[state, lane] * final[state]


@njit(nogil=True, cache=True, error_model="numpy")
def backward_frames(
    row_begin, row_state, row_pdf, arc_state, arc_prob, leak, final, x, z, total, beta, gamma, first_frame, length, end_total
):
    """Goes back over n frames from `beta` behind them, which becomes that before them.

    z float32 [n * R, 8] as forward_frames left it; beta float32 [S, 8], derivatives by the leaked sums; gamma float32
    [n * U, 8], zeros so far: posteriors of the pdfs. The rest as there.
    """
    num_states, num_rows, num_pdfs = beta.shape[0], row_state.shape[0], x.shape[0] // total.shape[0]
    new = np.empty_like(beta)
    leaked, scale = np.empty((1, LANES), np.float32), np.empty((1, LANES), np.float32)
    for t in range(total.shape[0] - 1, -1, -1):
        for lane in range(LANES):
            scale[0, lane] = 1 / total[t, lane]
            if first_frame + t + 1 == length[lane]:
                for state in range(num_states):
                    beta[state, lane] = final[state] / end_total[lane]
        leaked[:] = 0
        for state in range(num_states):
            add_row(state, beta, leak[state], leaked)
        for state in range(num_states):
            scale_row(state, beta, scale, np.float32(0), leaked, beta)
        new[:] = 0
        for row in range(num_rows):
            backward_row(
                arc_prob, arc_state, row_begin[row], row_begin[row + 1], beta, row_state[row],
                x, t * num_pdfs + row_pdf[row], z, t * num_rows + row, gamma, new,
            )  # fmt: skip
        beta[:] = new


@njit(nogil=True, cache=True)
def sequence_log_prob(
    pdf_begin, pdf_rows, row_begin, row_state, arc_state, arc_prob, from_start, from_leak, final, final_leak, pdfs, now, new
):
    """The log of the graph's probability of emitting one sequence of pdfs, int32 [T], -inf where it cannot.

    The rows of pdf n are pdf_rows[pdf_begin[n] : pdf_begin[n + 1]]. from_start, from_leak float32 [R]: the matrix times a'(0)
    and times the leak; final_leak: the leak times final. now, new: float64 [S], zeros.
    """
    entered = np.empty(row_state.shape[0], np.int32)  # states that are not 0, each at least once
    count = 0
    log_prob = 0.0
    for t in range(pdfs.shape[0]):
        total = 0.0
        num_new = pdf_begin[pdfs[t] + 1] - pdf_begin[pdfs[t]]
        for place in range(pdf_begin[pdfs[t]], pdf_begin[pdfs[t] + 1]):
            row = pdf_rows[place]
            if t == 0:
                value = float(from_start[row])
            else:
                value = float(from_leak[row])
                for arc in range(row_begin[row], row_begin[row + 1]):
                    value += arc_prob[arc] * now[arc_state[arc]]
            new[row_state[row]] += value
            total += value
        for i in range(count):
            now[entered[i]] = 0
        if total <= 0:
            for place in range(pdf_begin[pdfs[t]], pdf_begin[pdfs[t] + 1]):
                new[row_state[pdf_rows[place]]] = 0
            return -np.inf
        for i in range(num_new):
            state = row_state[pdf_rows[pdf_begin[pdfs[t]] + i]]
            entered[i] = state
            if new[state] != 0:
                now[state] = new[state] / total
                new[state] = 0
        count = num_new
        log_prob += np.log(total)
    end = final_leak
    for i in range(count):
        end += now[entered[i]] * final[entered[i]]
        now[entered[i]] = 0
    return log_prob + np.log(end)
