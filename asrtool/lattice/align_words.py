"""Word alignment: compact lattices whose arcs carry one word with just its transition-ids, so that words have times.

In a compact lattice a word may lie on an earlier or later arc than its transition-ids. Read along a path, words and
transition-ids queue up; wherever the transition-ids at the head of the queue are a whole word (or silence), an arc with them and
the word at the head of the words is put out. What is still queued at a state of the lattice, with that state, is a state of the
new lattice. Costs go with the words that follow them.

A word ends by the places of its phones (word_boundary.int), or by the pronunciations of the words (align_lexicon.int), which may
leave several ways. The same as Kaldi's lattice-align-words and lattice-align-words-lexicon (kaldi/src/lat/word-align-lattice.cc,
word-align-lattice-lexicon.cc).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lattice.align_words_files import END, NO_PLACE, AlignLexicon, WordBoundary
from asrtool.lattice.arrays import final_costs, topology
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.convert import to_compact
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import begins, gather_strings, string_positions

_MAX_QUEUED = 1 << 28  # transition-ids queued in all states together: 1 GiB


class Aligned(NamedTuple):
    """lattice: one word (or silence) an arc; complete: false where words were cut off at the end, or had no transition-ids."""

    lattice: CompactLattice
    complete: bool


@dataclass(frozen=True)
class AlignOptions:
    """Kaldi's options.

    Attributes:
        reorder: self-loops follow their state's other transition, as mkgraph makes it.
        silence_label: the word on arcs of silence; with an AlignLexicon, the lexicon says.
        partial_word_label: the word of transition-ids that are cut off at the end and have no word.
        max_expand: gives up where the new lattice gets more than 1000 + max_expand x the states of the old one; 0: never.
    """

    reorder: bool = True
    silence_label: int = 0
    partial_word_label: int = 0
    max_expand: float = 0.0


def align_words(
    lattice: CompactLattice | Lattice,
    transition_model: TransitionModel,
    places: WordBoundary | AlignLexicon,
    options: AlignOptions | None = None,
) -> Aligned:
    """The lattice with one word and its transition-ids on every arc; silence has arcs of its own, with word 0.

    Determinise state-level lattices first: they have several paths for a word sequence, each with times of its own.

    Raises:
        AsrtoolError: transition-ids that the model lacks, phones that fit no word, or a lattice that grows too large.
    """
    from asrtool.lattice.align_words_rules_kernels import BY_LEXICON, BY_PLACE

    mode = BY_PLACE if isinstance(places, WordBoundary) else BY_LEXICON
    return cut_strings(lattice, transition_model, mode, places, options or AlignOptions())


def cut_strings(
    lattice: CompactLattice | Lattice,
    transition_model: TransitionModel,
    mode: int,
    places: WordBoundary | AlignLexicon | None,
    options: AlignOptions,
    replace_labels: bool = False,
) -> Aligned:
    """What `align_words` and `phone_alignment.align_phones` share; `mode`: BY_PLACE, BY_LEXICON or BY_PHONE."""
    lattice = to_compact(lattice)
    if lattice.num_states == 0:
        return Aligned(lattice, False)
    tids = np.concatenate([lattice.transition_id, lattice.final_transition_id])
    if len(tids) and not (tids.min() > 0 and tids.max() <= transition_model.num_transition_ids):
        wrong = int(tids.max() if tids.min() > 0 else tids.min())
        raise AsrtoolError(
            f"transition-id {wrong}, but {transition_model.name} has 1 to {transition_model.num_transition_ids}: "
            "the lattice was made with another model"
        )
    graph = _with_final_state(lattice)
    rules = _rules(transition_model, mode, places, options, replace_labels)
    limit = 1000 + options.max_expand * lattice.num_states if options.max_expand > 0 else np.inf
    store, counts = _expand(graph, rules, limit)
    if counts[_kernels().PROBLEM]:
        raise AsrtoolError(_problem(store, counts, transition_model, places))
    return _result(lattice, graph, store, counts, by_lexicon=places if isinstance(places, AlignLexicon) else None)


def _kernels():
    from asrtool.lattice import align_words_kernels

    return align_words_kernels


class _Graph(NamedTuple):
    arcs: tuple  # align_words_kernels.Arcs
    tids: np.ndarray
    graph_cost: np.ndarray
    acoustic_cost: np.ndarray


def _with_final_state(lattice: CompactLattice) -> _Graph:
    start, end = topology(lattice)
    final_graph, final_acoustic = final_costs(lattice)
    final = np.flatnonzero(final_graph < np.inf).astype(np.int32)
    source = np.concatenate([start, final])
    order = np.argsort(source, kind="stable")
    begin = begins(np.concatenate([np.diff(lattice.tid_begin), np.diff(lattice.final_tid_begin)[final]]))
    _, final_tids = gather_strings(lattice.final_tid_begin, lattice.final_transition_id, final)
    tid_begin, tids = gather_strings(begin, np.concatenate([lattice.transition_id, final_tids]).astype(np.int32), order)
    arcs = _kernels().Arcs(
        begin=begins(np.bincount(source, minlength=lattice.num_states + 1)),
        end=np.concatenate([end, np.full(len(final), lattice.num_states, np.int32)])[order],
        word=np.concatenate([lattice.arc_word, np.zeros(len(final), np.int32)])[order].astype(np.int32),
        tid_begin=tid_begin,
    )
    graph = np.concatenate([lattice.arc_graph_cost.astype(np.float64), final_graph[final]])[order]
    acoustic = np.concatenate([lattice.arc_acoustic_cost.astype(np.float64), final_acoustic[final]])[order]
    return _Graph(arcs, tids, graph, acoustic)


def _rules(model: TransitionModel, mode: int, places, options: AlignOptions, replace_labels: bool):
    from asrtool.lattice.align_words_rules_kernels import Rules

    lexicon = places if isinstance(places, AlignLexicon) else None
    nothing = np.zeros(1, np.int64)
    return Rules(
        mode=mode,
        reorder=bool(options.reorder),
        replace=bool(replace_labels),
        silence_label=int(options.silence_label),
        partial_label=int(options.partial_word_label),
        phone=model.tid_to_phone.astype(np.int32),
        state=model.tid_to_tuple.astype(np.int32),
        is_final=model.tid_is_final.astype(np.bool_),
        is_loop=model.tid_is_self_loop.astype(np.bool_),
        place=places.place if isinstance(places, WordBoundary) else np.zeros(0, np.int8),
        entry_begin=lexicon.entry_begin if lexicon else nothing,
        word_out=lexicon.word_out if lexicon else np.zeros(0, np.int32),
        phone_begin=lexicon.phone_begin if lexicon else nothing,
        lexicon_phone=lexicon.phone if lexicon else np.zeros(0, np.int32),
        starts_word=lexicon.starts_word if lexicon else np.zeros(0, np.bool_),
    )


def _expand(graph: _Graph, rules, limit: float):
    kernels = _kernels()
    num_tuples, num_tids, num_words = 4 * len(graph.arcs.end) + 64, 2 * len(graph.tids) + 1024, 4 * len(graph.arcs.end) + 64
    counts = np.zeros(11, np.int64)
    counts[kernels.TUPLES], counts[kernels.TIDS] = 1, len(graph.tids)
    store = _room(None, num_tuples, num_tids, num_words)
    store.tids[: len(graph.tids)] = graph.tids
    while not kernels.expand_tuples(graph.arcs, rules, store, counts):
        if counts[kernels.TUPLES] > limit or counts[kernels.NEED_TIDS] > _MAX_QUEUED:
            break
        num_tuples = max(len(store.tuples), 2 * int(counts[kernels.NEED_TUPLES]))
        num_tids = max(len(store.tids), 2 * int(counts[kernels.NEED_TIDS]))
        num_words = max(len(store.words), 2 * int(counts[kernels.NEED_WORDS]))
        store = _room(store, num_tuples, num_tids, num_words)
        counts[kernels.IN_TABLE] = 0
    if counts[kernels.TUPLES] > limit or counts[kernels.NEED_TIDS] > _MAX_QUEUED:
        raise AsrtoolError(
            f"the aligned lattice gets more than {int(counts[kernels.TUPLES])} states from {len(graph.arcs.begin) - 2}; "
            "prune or determinise the lattice first"
        )
    return store, counts


def _room(old, num_tuples: int, num_tids: int, num_words: int):
    """A Store of these sizes with what the old one held, but for its table."""
    new = _kernels().Store(
        tuples=np.zeros((num_tuples, 7), np.int64),
        arcs=np.zeros((num_tuples, 6), np.int64),
        table=np.zeros(1 << (2 * num_tuples - 1).bit_length(), np.int32),
        tids=np.zeros(num_tids, np.int32),
        words=np.zeros(num_words, np.int32),
    )
    if old is not None:
        for name in ("tuples", "arcs", "tids", "words"):
            getattr(new, name)[: len(getattr(old, name))] = getattr(old, name)
    return new


def _problem(store, counts: np.ndarray, model: TransitionModel, places) -> str:
    from asrtool.lattice import align_words_rules_kernels as rules

    kernels = _kernels()
    at, kind = int(counts[kernels.PROBLEM_AT]), int(counts[kernels.PROBLEM])
    first = store.tuples[at, kernels.TID_AT]
    tids = store.tids[first : first + store.tuples[at, kernels.NUM_TIDS]]
    phones = model.tid_to_phone[tids]
    phones = phones[np.concatenate([[True], phones[1:] != phones[:-1]])].tolist()
    if kind == rules.PHONE_CHANGED:
        return f"a phone of {phones[:4]} ends before its last state: the lattice was made with another model than {model.name}"
    if kind == rules.LOOP_FIRST:
        return f"phone {phones[0]} begins with a self-loop: made with another model than {model.name}, or use --reorder false"
    place = [places.place[phone] if phone < len(places.place) else NO_PLACE for phone in phones]
    if kind == rules.NOT_IN_FILE:
        return f"phone {phones[place.index(NO_PLACE)]} is not in {places.name}: it is the file of another lang directory"
    names = {1: "nonword", 2: "begin", 3: "end", 4: "internal", 5: "singleton"}
    wrong = 0
    if kind == rules.BAD_INSIDE:
        wrong = next((k for k, one in enumerate(place) if k and one not in (END, 4)), 0)
    where = "begins a word" if kind == rules.STARTS_INSIDE else "is inside a word"
    return (
        f"phone {phones[wrong]} {where}, but {places.name} calls it '{names[place[wrong]]}': files of different lang directories"
    )


def _result(lattice: CompactLattice, graph: _Graph, store, counts: np.ndarray, by_lexicon: AlignLexicon | None) -> Aligned:
    """Sorts tuples and arcs, takes the epsilon arcs out."""
    from asrtool.lattice.align_words_epsilon_kernels import without_epsilons
    from asrtool.lattice.connect_kernels import best_costs

    kernels = _kernels()
    tuples, arcs = store.tuples[: counts[kernels.TUPLES]], store.arcs[: counts[kernels.ARCS]]
    num_tuples = len(tuples)
    order = np.lexsort((-tuples[:, kernels.NUM_WORDS], -tuples[:, kernels.NUM_TIDS], tuples[:, kernels.STATE]))
    number = np.empty(num_tuples, np.int32)
    number[order] = np.arange(num_tuples)
    state, num_tids, num_words = tuples[order[-1], [kernels.STATE, kernels.NUM_TIDS, kernels.NUM_WORDS]]
    forced = (arcs[:, kernels.VIA] == kernels.FORCED) | (arcs[:, kernels.VIA] == kernels.DROPPED)
    complete = not np.any(forced)
    if by_lexicon is not None and np.any((arcs[:, kernels.TARGET] == order[-1]) & ~forced):
        # words that are cut off count only where no path has whole words alone
        complete, arcs = True, arcs[~forced]
    if state != lattice.num_states or num_tids or num_words:
        what = f"the pronunciations of {by_lexicon.name} fit no path" if by_lexicon else "no whole path in the lattice"
        raise AsrtoolError(f"{what}: it was made with another lexicon, or is damaged; decode again")
    arcs = arcs[np.argsort(number[arcs[:, kernels.SOURCE]], kind="stable")]
    source, target, via = number[arcs[:, kernels.SOURCE]], number[arcs[:, kernels.TARGET]], arcs[:, kernels.VIA]
    costs = [np.append(values, 0.0)[np.where(via < 0, -1, via)] for values in (graph.graph_cost, graph.acoustic_cost)]
    is_epsilon = (via >= 0) | (via == kernels.DROPPED)
    kept = np.zeros(num_tuples, bool)
    kept[0] = True
    kept[target[~is_epsilon]] = True
    is_last = np.where(np.arange(num_tuples) == num_tuples - 1, 0.0, np.inf)
    useful = best_costs(source, target, np.zeros(len(source)), is_last)[1] < np.inf
    arc_begin = begins(np.bincount(source, minlength=num_tuples))
    source, arc, new_graph, new_acoustic, final_graph, final_acoustic = without_epsilons(
        arc_begin, target, is_epsilon, *costs, kept, useful
    )
    kept &= useful
    new_number = (np.cumsum(kept) - 1).astype(np.int32)
    arcs = arcs[arc]
    length = arcs[:, kernels.LENGTH]
    return Aligned(
        CompactLattice(
            num_frames=lattice.num_frames,
            arc_start=new_number[source],
            arc_end=new_number[target[arc]],
            arc_word=arcs[:, kernels.LABEL].astype(np.int32),
            arc_graph_cost=new_graph.astype(np.float32),
            arc_acoustic_cost=new_acoustic.astype(np.float32),
            tid_begin=begins(length),
            transition_id=store.tids[string_positions(arcs[:, kernels.AT], length)],
            final_graph_cost=final_graph[kept].astype(np.float32),
            final_acoustic_cost=final_acoustic[kept].astype(np.float32),
            final_tid_begin=np.zeros(int(kept.sum()) + 1, np.int64),
            final_transition_id=np.zeros(0, np.int32),
            reached_final=lattice.reached_final,
        ),
        bool(complete),
    )
