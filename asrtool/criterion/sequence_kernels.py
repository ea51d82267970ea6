"""Forward-backward with the expectation semiring over a flat batch of lattices: log sums and mean accuracies in a pass each way.

The lattices of a batch lie side by side as one graph: states and arcs are numbered through, and each lattice's first state is
its start. A row is a frame of the batch. The backward pass finds for every arc its share in the paths from its start state, which
takes one exp an arc; given those the forward pass takes none.
"""

import numpy as np
from numba import njit

FINE, BAD_ORDER, BAD_FRAMES, BAD_TRANSITION_ID, BAD_COST = range(5)
RIGHT_NONE, RIGHT_PDF, RIGHT_PHONE = range(3)
BLOCK = 64  # pdfs whose sums are looked through together
LEAST = 1e-30  # weights that are not larger are left out: nothing is left of them in float32


@njit(nogil=True, cache=True)
def score_arcs(lattice, loglikes, numerator, tables, scales, right, silence_accuracy, offsets, arcs, final_score):
    """Scores a lattice's arcs and finds its best path with the numerator's pdfs.

    Args:
        lattice: (state_frame [S], arc_start [A], arc_end [A], arc_transition_id [A]) int32, (arc_graph_cost [A], final_cost [S])
            float32, of asrtool.lattice.lattice.Lattice.
        loglikes: float32 [T, P].
        numerator: int32 [T], transition-ids of the model.
        tables: (tid_to_pdf, tid_to_phone) int32, tid_is_silence bool, all [N + 1]; pdfs below P.
        scales: float64 (acoustic_scale, lm_scale, boost).
        right: RIGHT_PDF, RIGHT_PHONE: what makes an arc's accuracy 1; RIGHT_NONE: accuracies are left alone.
        silence_accuracy: float64, that of an arc of silence which is right; all silence is, on the numerator's silence.
        offsets: int64 (state, row) that the lattice's first state and frame have in the batch.
        arcs: (start, end, pdf) int32 [A], silence bool [A], score float64 [A], accuracy float64 [A] or [0]; written. pdf is -1
            for an arc without transition-id; score is the log weight.
        final_score: float64 [S], written; -inf where not final.

    Returns:
        (FINE or what is wrong, -lm_scale x graph cost of the best path with the numerator's pdfs, -inf where there is none).
    """
    state_frame, arc_start, arc_end, arc_tid, arc_graph, final_cost = lattice
    tid_pdf, tid_phone, tid_silence = tables
    acoustic_scale, lm_scale, boost = scales
    out_start, out_end, out_pdf, out_silence, out_score, out_accuracy = arcs
    num_states, num_frames = len(state_frame), len(loglikes)
    best = np.full(num_states, -np.inf)
    best[0] = 0.0
    previous = 0
    for arc in range(len(arc_start)):
        start, end, tid = arc_start[arc], arc_end[arc], arc_tid[arc]
        if start < previous or end <= start or end >= num_states:
            return BAD_ORDER, -np.inf
        previous = start
        if tid < 0 or tid >= len(tid_pdf):
            return BAD_TRANSITION_ID, -np.inf
        frame = state_frame[start]
        if frame < 0 or frame + (tid != 0) != state_frame[end] or state_frame[end] > num_frames:
            return BAD_FRAMES, -np.inf
        if not arc_graph[arc] > -np.inf:
            return BAD_COST, -np.inf
        out_start[arc], out_end[arc] = start + offsets[0], end + offsets[0]
        graph = -lm_scale * arc_graph[arc] if arc_graph[arc] < np.inf else -np.inf
        passed, accuracy = best[start] + graph, 0.0
        out_pdf[arc], out_silence[arc], out_score[arc] = -1, False, graph
        if tid != 0:
            wanted = numerator[frame]
            pdf, silence = tid_pdf[tid], tid_silence[tid]
            same_phone, same_pdf = tid_phone[tid] == tid_phone[wanted], pdf == tid_pdf[wanted]
            out_pdf[arc], out_silence[arc] = pdf, silence
            out_score[arc] += acoustic_scale * loglikes[frame, pdf]
            if boost != 0.0 and not same_phone and not silence:
                out_score[arc] += boost
            same = same_pdf if right == RIGHT_PDF else same_phone
            if same or (silence and tid_silence[wanted]):
                accuracy = silence_accuracy if silence else 1.0
            if not same_pdf:
                passed = -np.inf
        if right != RIGHT_NONE:
            out_accuracy[arc] = accuracy
        if passed > best[end]:
            best[end] = passed
    return _score_finals(state_frame, final_cost, num_frames, lm_scale, best, final_score)


@njit(nogil=True, cache=True)
def _score_finals(state_frame, final_cost, num_frames, lm_scale, best, final_score):
    """The end of score_arcs: final scores, and the best path's score."""
    best_total = -np.inf
    for state in range(len(state_frame)):
        cost = final_cost[state]
        if not cost > -np.inf:
            return BAD_COST, -np.inf
        final_score[state] = -lm_scale * cost if cost < np.inf else -np.inf
        if cost < np.inf and state_frame[state] != num_frames:
            return BAD_FRAMES, -np.inf
        if state > 0 and state_frame[state] < state_frame[state - 1]:
            return BAD_ORDER, -np.inf
        if best[state] + final_score[state] > best_total:
            best_total = best[state] + final_score[state]
    return FINE, best_total


@njit(nogil=True, cache=True)
def sum_backward(arc_start, arc_end, arc_score, arc_accuracy, final_score):
    """Sums over the paths from every state to the end.

    Args:
        arc_start, arc_end: int32 [A], sorted by arc_start, each arc leading to a later state.
        arc_score: float64 [A], log weights below +inf; -inf for an arc that no path may take.
        arc_accuracy: float64 [A], finite; or [0], and there are no accuracies.
        final_score: float64 [S], -inf where not final.

    Returns:
        (beta [S], accuracy [S] or [0], share [A]), float64: the log of the sum of the weights of the paths from a state to the
        end, -inf without any; the mean of their summed accuracies, 0 without any; the share of an arc in those of its start
        state.
    """
    num_states = len(final_score)
    beta, mean = np.empty(num_states), np.zeros(num_states if len(arc_accuracy) else 0)
    share = np.empty(len(arc_start))
    above = len(arc_start)  # one past the state's last arc
    for state in range(num_states - 1, -1, -1):
        arc, largest = above - 1, final_score[state]
        while arc >= 0 and arc_start[arc] == state:
            term = arc_score[arc] + beta[arc_end[arc]]
            share[arc] = term
            largest = max(largest, term)
            arc -= 1
        first, beta[state] = arc + 1, largest
        if largest == -np.inf:
            for arc in range(first, above):
                share[arc] = 0.0
        elif above - first == 1 and final_score[state] == -np.inf:
            share[first] = 1.0
            if len(mean):
                mean[state] = arc_accuracy[first] + mean[arc_end[first]]
        elif above > first:
            total = np.exp(final_score[state] - largest) if final_score[state] > -np.inf else 0.0
            for arc in range(first, above):
                share[arc] = np.exp(share[arc] - largest)
                total += share[arc]
            beta[state] += np.log(total)
            for arc in range(first, above):
                share[arc] /= total
                if len(mean):
                    mean[state] += share[arc] * (arc_accuracy[arc] + mean[arc_end[arc]])
        above = first
    return beta, mean, share


@njit(nogil=True, cache=True)
def sum_forward(graph, shares, starts, row_numerator, scales, num_pdfs):
    """Posteriors of the arcs and from them the gradient of every row.

    Args:
        graph: (state_row [S], arc_start [A], arc_end [A], arc_pdf [A]) int32, arc_silence bool [A], arc_accuracy float64 [A] or
            [0]: the row of the arcs that leave a state, ascending; sorted by arc_start; pdf -1: none.
        shares: (beta [S], mean accuracy [S] or [0], share [A]) of sum_backward.
        starts: int64 [L], the start states of the lattices.
        row_numerator: int32 [F], the numerator's pdf.
        scales: float64 (factor of the gradients, that is the acoustic scale; threshold: without accuracies, rows whose posterior
            of the numerator's pdf is below it are rejected).
        num_pdfs: above all pdfs.

    Returns:
        (pair_begin int64 [F + 1], label int32 [N], weight float64 [N], rejected int64 [L], silence float64 [L]): row r has the
        pairs pair_begin[r]:pair_begin[r + 1], pdfs ascending. With accuracies the weight is factor x sum over the pdf's arcs of
        posterior x (mean accuracy of the paths through the arc - that of all); without, factor x (1 for the numerator's pdf -
        sum of posteriors). rejected counts rows, silence sums posteriors.
    """
    state_row, arc_start, arc_end, arc_pdf, arc_silence, arc_accuracy = graph
    _, after, share = shares
    with_accuracy, num_rows = len(arc_accuracy) > 0, len(row_numerator)
    label, weight = np.empty(len(arc_start) + num_rows, np.int32), np.empty(len(arc_start) + num_rows)
    pair_begin, rejected, silence = np.zeros(num_rows + 1, np.int64), np.zeros(len(starts), np.int64), np.zeros(len(starts))
    occupancy, before = np.zeros(len(state_row)), np.zeros(len(after))
    row_weight, touched = np.zeros(num_pdfs), np.zeros(num_pdfs // BLOCK + 1, np.bool_)
    pairs = (label, weight, pair_begin, rejected)
    count, which, row, row_of, arc, mean, expected = 0, -1, -1, 0, 0, 0.0, 0.0
    for state in range(len(state_row)):
        if which + 1 < len(starts) and state == starts[which + 1]:
            which += 1
            occupancy[state] = 1.0  # shares are 0 where there is no path
            expected = after[state] if with_accuracy else 0.0
        if with_accuracy and occupancy[state] > 0.0:
            mean = before[state] / occupancy[state]  # accuracy of the paths from the start, given that they come here
        while arc < len(arc_start) and arc_start[arc] == state:
            end, pdf = arc_end[arc], arc_pdf[arc]
            posterior = occupancy[state] * share[arc]
            occupancy[end] += posterior
            gain = posterior
            if with_accuracy:
                so_far = mean + arc_accuracy[arc]
                before[end] += posterior * so_far
                gain *= so_far + after[end] - expected
            if pdf >= 0:
                if state_row[state] != row:
                    if row >= 0:
                        count = _end_row(row, row_of, row_weight, touched, row_numerator, with_accuracy, scales, pairs, count)
                    row, row_of = state_row[state], which
                row_weight[pdf] += gain
                touched[pdf // BLOCK] = True
                if arc_silence[arc]:
                    silence[which] += posterior
            arc += 1
    if row >= 0:
        count = _end_row(row, row_of, row_weight, touched, row_numerator, with_accuracy, scales, pairs, count)
    for row in range(num_rows):  # rows without arcs
        pair_begin[row + 1] = max(pair_begin[row + 1], pair_begin[row])
    return pair_begin, label[:count], weight[:count], rejected, silence


@njit(nogil=True, cache=True)
def _end_row(row, which, row_weight, touched, row_numerator, with_accuracy, scales, pairs, count):
    """Turns the sums of a row by pdf into pairs from `count` on, and clears them; the new count."""
    label, weight, pair_begin, rejected = pairs
    factor, threshold = scales
    keep = True
    if not with_accuracy:
        wanted = row_numerator[row]
        keep = row_weight[wanted] >= threshold
        rejected[which] += not keep
        row_weight[wanted] -= 1.0
        touched[wanted // BLOCK] = True
        factor = -factor
    for block in range(len(touched)):
        if touched[block]:
            touched[block] = False
            for pdf in range(block * BLOCK, min(block * BLOCK + BLOCK, len(row_weight))):
                if keep and abs(row_weight[pdf]) > LEAST:
                    label[count], weight[count] = pdf, factor * row_weight[pdf]
                    count += 1
                row_weight[pdf] = 0.0
    pair_begin[row + 1] = count
    return count
