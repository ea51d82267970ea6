"""Sequence criteria over lattices as one would write them down in Python, arc by arc: what the kernels are measured against."""

from collections import defaultdict
from itertools import pairwise
from math import exp, inf, log1p


def log_add(one, other):
    if one < other:
        one, other = other, one
    return one if other == -inf else one + log1p(exp(other - one))


def plain_criterion(options, tables, loglikes, numerator, lattice):
    """(objective, {(frame, pdf): gradient}) of an utterance by a lattice criterion; arguments as of a SequenceCriterion."""
    arcs, final, numerator_graph = scored_arcs(options, tables, loglikes, numerator, lattice)
    if options.criterion == "mpe":
        arcs, final = with_phones(options, tables, numerator, lattice, arcs, final)
    posteriors, total, accuracy = forward_backward(arcs, final)
    gradient = defaultdict(float)
    wanted = tables.tid_to_pdf[numerator].tolist()
    for (_, _, frame, pdf, _, _), (posterior, gain) in zip(arcs, posteriors):
        if pdf >= 0:
            gradient[frame, pdf] += options.acoustic_scale * (-posterior if options.criterion == "mmi" else posterior * gain)
    if options.criterion != "mmi":
        return accuracy, gradient
    acoustic = options.acoustic_scale * sum(float(loglikes[frame, pdf]) for frame, pdf in enumerate(wanted))
    for frame, pdf in enumerate(wanted):
        if options.frame_rejection and -gradient[frame, pdf] < options.acoustic_scale * options.rejection_threshold:
            for key in [key for key in gradient if key[0] == frame]:
                del gradient[key]
        else:
            gradient[frame, pdf] += options.acoustic_scale
    return acoustic + (numerator_graph if numerator_graph > -inf else 0.0) - total, gradient


def scored_arcs(options, tables, loglikes, numerator, lattice):
    """Tuples (start, end, frame, pdf, log weight, accuracy), final log weights, the best with the numerator's pdfs."""
    tid_to_pdf, tid_to_phone, is_silence = (
        table.tolist() for table in (tables.tid_to_pdf, tables.tid_to_phone, tables.tid_is_silence)
    )
    state_frame, scores, wanted = lattice.state_frame.tolist(), loglikes.tolist(), numerator.tolist()
    columns = lattice.arc_start, lattice.arc_end, lattice.arc_transition_id, lattice.arc_graph_cost
    final = [-options.lm_scale * cost for cost in lattice.final_cost.tolist()]
    arcs, best = [], [-inf] * len(final)
    best[0] = 0.0
    for start, end, tid, graph_cost in zip(*(column.tolist() for column in columns)):
        frame, pdf, weight, accuracy = state_frame[start], -1, -options.lm_scale * graph_cost, 0.0
        passed = best[start] + weight
        if tid:
            right = wanted[frame]
            pdf = tid_to_pdf[tid]
            weight += options.acoustic_scale * scores[frame][pdf]
            if tid_to_phone[tid] != tid_to_phone[right] and not is_silence[tid]:
                weight += options.boost
            same = pdf == tid_to_pdf[right] if options.criterion == "smbr" else tid_to_phone[tid] == tid_to_phone[right]
            if options.one_silence_class:
                same = same or (is_silence[tid] and is_silence[right])
            elif is_silence[tid]:
                same = False
            accuracy = float(same)
            if pdf != tid_to_pdf[right]:
                passed = -inf
        best[end] = max(best[end], passed)
        arcs.append((start, end, frame, pdf, weight, accuracy))
    return arcs, final, max(map(float.__add__, best, final))


def forward_backward(arcs, final):
    """[(posterior, gain of accuracy)] of the arcs, the log of the sum over all paths, and their mean accuracy."""
    alpha, beta = [-inf] * len(final), list(final)
    before, after = [0.0] * len(final), [0.0] * len(final)
    alpha[0] = 0.0
    for start, end, _, _, weight, accuracy in arcs:
        if alpha[start] > -inf:
            reached = alpha[start] + weight
            total = log_add(alpha[end], reached)
            share = exp(reached - total)
            before[end] = (1 - share) * before[end] + share * (before[start] + accuracy)
            alpha[end] = total
    for start, end, _, _, weight, accuracy in reversed(arcs):
        if beta[end] > -inf:
            reached = beta[end] + weight
            total = log_add(beta[start], reached)
            share = exp(reached - total)
            after[start] = (1 - share) * after[start] + share * (after[end] + accuracy)
            beta[start] = total
    posteriors = []
    for start, end, _, _, weight, accuracy in arcs:
        posterior = exp(alpha[start] + weight + beta[end] - beta[0]) if alpha[start] > -inf and beta[end] > -inf else 0.0
        posteriors.append((posterior, before[start] + accuracy + after[end] - after[0]))
    return posteriors, beta[0], after[0]


def with_phones(options, tables, numerator, lattice, arcs, final):
    """The arcs and final weights of a lattice with a copy of each state for every (phone, its first frame) with which paths come.

    An arc has the accuracy of the phone that ends before it (Povey's approximate accuracy); one more state ends the last phones.
    """
    loops, ends = tables.tid_is_self_loop.tolist(), tables.tid_is_final.tolist()
    phone_of, place_of = tables.tid_to_phone.tolist(), tables.tid_to_hmm_state.tolist()
    tids, state_frame = lattice.arc_transition_id.tolist(), lattice.state_frame.tolist()
    silence = set(tables.silence_phones.tolist())

    def after(copy, tid, frame):
        """(phone, first frame, HMM state that ended it or -1) after a transition-id; self-loops may follow the last one."""
        phone, first, ended = copy
        if not tid:
            return copy
        if first < 0 or (ended >= 0 and not (loops[tid] and phone_of[tid] == phone and place_of[tid] == ended)):
            phone, first, ended = phone_of[tid], frame, -1
        return phone, first, place_of[tid] if ends[tid] else ended

    copy, segments = (0, -1, -1), []
    for frame, tid in enumerate(numerator.tolist()):
        copy = after(copy, tid, frame)
        if copy[1] == frame:
            segments.append((frame, copy[0]))
    bounds = pairwise([first for first, _ in segments] + [len(numerator)])
    reference = [(first, end, phone) for (first, end), (_, phone) in zip(bounds, segments)]

    def accuracy(copy, end):
        return phone_accuracy(*copy[:2], end, reference, silence, options.one_silence_class)

    numbers, copies, by_state = {(0, (0, -1, -1)): 0}, [(0, (0, -1, -1))], defaultdict(list)
    by_state[0].append(0)
    found = []
    for (start, end, frame, pdf, weight, _), tid in zip(arcs, tids):
        for source in by_state[start]:
            before = copies[source][1]
            target = end, after(before, tid, frame)
            if target not in numbers:
                numbers[target] = len(copies)
                copies.append(target)
                by_state[end].append(numbers[target])
            is_new = tid and target[1][1] == frame
            found.append((source, numbers[target], frame, pdf, weight, accuracy(before, frame) if is_new else 0.0))
    last = len(copies)
    for number, (state, copy) in enumerate(copies):
        if final[state] > -inf:
            found.append((number, last, state_frame[state], -1, final[state], accuracy(copy, state_frame[state])))
    order = sorted(range(last), key=lambda number: copies[number][0])
    place = {number: rank for rank, number in enumerate(order)} | {last: last}
    found = sorted((place[start], place[end], *rest) for start, end, *rest in found)
    return found, [-inf] * last + [0.0]


def phone_accuracy(phone, first, end, reference, silence, one_silence_class):
    """Povey's, of a phone that takes the frames first .. end - 1; reference holds (first, end, phone). 0 for none (first -1)."""

    def name(phone):
        return min(silence) if phone in silence and one_silence_class else phone

    if first < 0 or (phone in silence and not one_silence_class):
        return 0.0
    best = -1.0
    for ref_first, ref_end, ref_phone in reference:
        overlap = min(end, ref_end) - max(first, ref_first)
        if overlap > 0 and (one_silence_class or ref_phone not in silence):
            share = overlap / (ref_end - ref_first)
            best = max(best, 2 * share - 1 if name(phone) == name(ref_phone) else share - 1)
    return best
