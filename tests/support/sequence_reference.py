"""Sequence criteria by listing all paths of a small lattice, in float64 and with torch's gradients."""

import numpy as np
import torch
from random_lattices import all_paths, random_lattice

from asrtool.criterion.sequence import PhoneTables

PDFS = 5


def small_tables():
    """Eight transition-ids of phones 1 to 5, of which 1 and 2 are silence; phones 3 and 4 share pdf 2, 1 and 2 have their own."""
    tid_to_pdf = np.array([-1, 0, 1, 2, 2, 3, 4, 3, 2], np.int32)
    tid_to_phone = np.array([-1, 1, 2, 3, 4, 3, 5, 4, 4], np.int32)
    is_self_loop = np.arange(9) % 2 == 0
    is_self_loop[0] = False
    return PhoneTables(
        tid_to_pdf=tid_to_pdf,
        tid_to_phone=tid_to_phone,
        tid_to_hmm_state=np.where(tid_to_pdf < 0, -1, 0).astype(np.int32),
        tid_is_self_loop=is_self_loop,
        tid_is_final=~is_self_loop & (np.arange(9) > 0),
        tid_is_silence=np.isin(tid_to_phone, [1, 2]),
        silence_phones=np.array([1, 2], np.int32),
        num_pdfs=PDFS,
    )


def small_problem(seed, num_frames=4, states_a_frame=3):
    """(log-likelihoods, numerator, lattice with at least one path); the numerator is a path's in about two of three cases."""
    random = np.random.default_rng(seed)
    lattice_seed = seed
    while True:
        lattice = random_lattice(lattice_seed, num_frames=num_frames, states_a_frame=states_a_frame, num_tids=8)
        if paths := all_paths(lattice):
            break
        lattice_seed += 1000
    loglikes = random.normal(0, 3, (num_frames, PDFS)).astype(np.float32)
    numerator = np.array(paths[random.integers(len(paths))].transition_ids, np.int32)
    if seed % 3 == 0:
        numerator = random.integers(1, 9, num_frames).astype(np.int32)
    return loglikes, numerator, lattice


def right_frames(tids, wanted, tables, criterion, one_silence_class):
    """Kaldi's LatticeForwardBackwardMpeVariants: whether frames (transition-ids of any shape) are right."""
    silence = tables.tid_is_silence[tids]
    table = tables.tid_to_pdf if criterion == "smbr" else tables.tid_to_phone
    same = table[tids] == table[wanted]
    return same | (silence & tables.tid_is_silence[wanted]) if one_silence_class else same & ~silence


def by_enumeration(loglikes, numerator, lattice, options, tables):
    """Everything that Outer holds, with dense float64 `gradient` [T, P] and `posterior` [T, P]; None without a path."""
    paths = all_paths(lattice)
    if not paths:
        return None
    scores_TP = torch.tensor(loglikes.astype(np.float64), requires_grad=True)
    frames, wanted = np.arange(len(loglikes)), tables.tid_to_pdf[numerator]
    tids = np.array([path.transition_ids for path in paths])
    pdfs = tables.tid_to_pdf[tids]
    graph = -options.lm_scale * np.array([path.graph for path in paths])
    errors = (tables.tid_to_phone[tids] != tables.tid_to_phone[numerator]) & ~tables.tid_is_silence[tids]
    weights = options.acoustic_scale * scores_TP[frames, pdfs].sum(1) + torch.tensor(graph + options.boost * errors.sum(1))
    if weights.max() == -np.inf:
        return None
    right = right_frames(tids, numerator, tables, options.criterion, options.one_silence_class)
    numerator_graph = graph[(pdfs == wanted).all(1)].max(initial=-np.inf)
    total, share = torch.logsumexp(weights, 0), torch.softmax(weights, 0)
    acoustic = options.acoustic_scale * scores_TP[frames, wanted].sum()
    posterior = np.zeros(loglikes.shape)
    np.add.at(posterior, (frames, pdfs), share.detach().numpy()[:, None])
    in_lattice = numerator_graph > -np.inf
    if options.criterion == "mmi":
        objective = acoustic + (numerator_graph if in_lattice else 0.0) - total
    else:
        counts = right * np.where(tables.tid_is_silence[tids], options.silence_accuracy, 1.0)
        objective = (share * torch.tensor(counts.sum(1))).sum()
    (gradient,) = torch.autograd.grad(objective, scores_TP)
    gradient, rejected = gradient.numpy(), np.zeros(len(frames), bool)
    if options.criterion == "mmi" and options.frame_rejection:
        rejected = posterior[frames, wanted] < options.rejection_threshold
        gradient[rejected] = 0
    return {
        "objective": objective.item(),
        "gradient": gradient,
        "posterior": posterior,
        "denominator_loglike": total.item(),
        "numerator_acoustic": acoustic.item(),
        "numerator_loglike": acoustic.item() + (numerator_graph if in_lattice else 0.0),
        "numerator_in_lattice": in_lattice,
        "rejected_frames": int(rejected.sum()),
        "silence_share": float(share.detach().numpy() @ tables.tid_is_silence[tids].mean(1)),
    }


def dense(post, num_pdfs):
    """float64 [T, P] of FramePosteriors, which have each label once a frame."""
    result = np.zeros((post.num_frames, num_pdfs))
    result[post.frame, post.label] = post.weight
    return result
