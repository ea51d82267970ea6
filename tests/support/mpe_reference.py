"""Povey's approximate phone accuracy the slow and obvious way, path by path."""

import numpy as np
from random_lattices import all_paths


def phone_spans(tids, tables, reorder=True):
    """[(phone, first frame, end)] of an alignment; a phone that the end cuts is one as well."""
    spans, ended_in = [], None
    for frame, tid in enumerate(tids):
        phone, state = int(tables.tid_to_phone[tid]), int(tables.tid_to_hmm_state[tid])
        follows = reorder and tables.tid_is_self_loop[tid] and ended_in == (phone, state)
        if frame == 0 or (ended_in is not None and not follows):
            spans.append((phone, frame, frame + 1))
            ended_in = None
        else:
            spans[-1] = (*spans[-1][:2], frame + 1)
        if tables.tid_is_final[tid]:
            ended_in = phone, state
    return spans


def accuracy(spans, reference, silence, one_silence_class):
    """The sum over the phones of the largest of -1 + 2e (the same phone) and -1 + e (another)."""
    total = 0.0
    for phone, begin, end in spans:
        if phone in silence and not one_silence_class:
            continue
        counts = [-1.0]
        for other, other_begin, other_end in reference:
            if other in silence and not one_silence_class:
                continue
            share = max(0, min(end, other_end) - max(begin, other_begin)) / (other_end - other_begin)
            same = other == phone or (other in silence and phone in silence)
            counts.append(-1 + 2 * share if same else -1 + share)
        total += max(counts)
    return total


def by_enumeration(loglikes, numerator, lattice, options, tables, reorder=True):
    """(expected accuracy, its derivative by the log-likelihoods float64 [T, P]) over all paths."""
    silence = set(tables.silence_phones.tolist())
    reference = phone_spans(numerator, tables, reorder)
    paths, frames = all_paths(lattice), np.arange(len(loglikes))
    tids = np.array([path.transition_ids for path in paths])
    pdfs = tables.tid_to_pdf[tids]
    acoustic = loglikes.astype(np.float64)[frames, pdfs].sum(1)
    weights = options.acoustic_scale * acoustic - options.lm_scale * np.array([path.graph for path in paths])
    share = np.exp(weights - np.logaddexp.reduce(weights))
    spans = [phone_spans(path.transition_ids, tables, reorder) for path in paths]
    right = np.array([accuracy(some, reference, silence, options.one_silence_class) for some in spans])
    expected, gradient = float(share @ right), np.zeros(loglikes.shape)
    np.add.at(gradient, (frames, pdfs), options.acoustic_scale * (share * (right - expected))[:, None])
    return expected, gradient
