"""Cuts the strings of a compact lattice where units (words, phones) end; see `align_words.py` for the idea."""

from typing import NamedTuple

import numpy as np
from numba import njit

from asrtool.io.kernel_cache import forget_older_than
from asrtool.lattice import align_words_rules_kernels
from asrtool.lattice.align_words_rules_kernels import BY_LEXICON, most_units, rest_unit, split_phones, units_at_head

forget_older_than(__file__, align_words_rules_kernels)

STATE, NUM_TIDS, NUM_WORDS, SEEN, TID_AT, WORD_AT, HASH = range(7)
SOURCE, TARGET, LABEL, LENGTH, AT, VIA = range(6)
UNIT, FORCED, DROPPED = -1, -2, -3  # what an arc is that reads no arc of the lattice
DONE, TUPLES, TIDS, WORDS, ARCS, PROBLEM, PROBLEM_AT, IN_TABLE, NEED_TUPLES, NEED_TIDS, NEED_WORDS = range(11)


class Arcs(NamedTuple):
    """The lattice, its final weights as arcs to one more state, the last: begin int64 [S + 2], end and word int32 [A], tid_begin
    int64 [A + 1] into the first part of Store.tids."""

    begin: np.ndarray
    end: np.ndarray
    word: np.ndarray
    tid_begin: np.ndarray


class Store(NamedTuple):
    """Tuples (state of the lattice, transition-ids and words read but not yet put out), and arcs between tuples.

    tuples: int64 [N, 7], columns STATE ... HASH; TID_AT and WORD_AT are where its strings stand in the pools tids, words (int32).
    SEEN: twice the phones that were whole before the last arc was read, and 1 where its word was known (for BY_LEXICON).
    arcs: int64 [N, 6], columns SOURCE ... VIA: with the transition-ids tids[AT:AT + LENGTH]; VIA is the lattice's arc that is
    read, or UNIT, FORCED, DROPPED. table: int32, its size a power of two: tuple + 1, or 0.
    """

    tuples: np.ndarray
    arcs: np.ndarray
    table: np.ndarray
    tids: np.ndarray
    words: np.ndarray


@njit(nogil=True, cache=True)
def _find_or_add(store, counts, state, tid_at, num_tids, word_at, num_words, seen):
    """The tuple of this content, made where it is new."""
    key = state * 1000003 + seen
    for k in range(tid_at, tid_at + num_tids):
        key = key * 1000003 + store.tids[k]
    for k in range(word_at, word_at + num_words):
        key = key * 1000003 - 1 - store.words[k]
    key ^= key >> 29
    mask = len(store.table) - 1
    slot = key & mask
    while store.table[slot]:
        other = store.table[slot] - 1
        if (
            store.tuples[other, HASH] == key
            and store.tuples[other, STATE] == state
            and store.tuples[other, NUM_TIDS] == num_tids
            and store.tuples[other, NUM_WORDS] == num_words
            and store.tuples[other, SEEN] == seen
        ):
            same, at, word = True, store.tuples[other, TID_AT], store.tuples[other, WORD_AT]
            for k in range(num_tids):
                same &= store.tids[at + k] == store.tids[tid_at + k]
            for k in range(num_words):
                same &= store.words[word + k] == store.words[word_at + k]
            if same:
                return other
        slot = (slot + 1) & mask
    new = counts[TUPLES]
    counts[TUPLES] += 1
    store.table[slot] = new + 1
    tuple_ = store.tuples[new]
    tuple_[STATE], tuple_[NUM_TIDS], tuple_[NUM_WORDS], tuple_[SEEN] = state, num_tids, num_words, seen
    tuple_[TID_AT], tuple_[WORD_AT], tuple_[HASH] = tid_at, word_at, key
    return new


@njit(nogil=True, cache=True)
def _put_out(store, counts, tuple_, label, num_tids, num_words, via):
    """An arc with the first transition-ids and words of a tuple, to the tuple of the rest."""
    whole = store.tuples[tuple_]
    rest_at, rest = whole[TID_AT] + num_tids, whole[NUM_TIDS] - num_tids
    word_at, rest_words = whole[WORD_AT] + num_words, whole[NUM_WORDS] - num_words
    target = _find_or_add(store, counts, whole[STATE], rest_at, rest, word_at, rest_words, np.int64(0))
    arc = store.arcs[counts[ARCS]]
    counts[ARCS] += 1
    arc[SOURCE], arc[TARGET], arc[LABEL], arc[AT], arc[LENGTH], arc[VIA] = tuple_, target, label, whole[TID_AT], num_tids, via


@njit(nogil=True, cache=True)
def _read_on(arcs, store, counts, tuple_, seen, replace):
    """Reads each arc that leaves a tuple's state."""
    here = store.tuples[tuple_]
    num_tids, num_words = here[NUM_TIDS], here[NUM_WORDS]
    for arc in range(arcs.begin[here[STATE]], arcs.begin[here[STATE] + 1]):
        first, more = arcs.tid_begin[arc], arcs.tid_begin[arc + 1] - arcs.tid_begin[arc]
        tid_at, used_tids = first, counts[TIDS]
        if num_tids and more == 0:
            tid_at = here[TID_AT]
        elif num_tids:
            tid_at = counts[TIDS]
            for k in range(num_tids):
                store.tids[tid_at + k] = store.tids[here[TID_AT] + k]
            for k in range(more):
                store.tids[tid_at + num_tids + k] = store.tids[first + k]
            counts[TIDS] += num_tids + more
        word_at, used_words, new_words = here[WORD_AT], counts[WORDS], num_words
        if arcs.word[arc] and not replace:
            word_at, new_words = counts[WORDS], num_words + 1
            for k in range(num_words):
                store.words[word_at + k] = store.words[here[WORD_AT] + k]
            store.words[word_at + num_words] = arcs.word[arc]
            counts[WORDS] += new_words
        known = counts[TUPLES]
        target = _find_or_add(store, counts, np.int64(arcs.end[arc]), tid_at, num_tids + more, word_at, new_words, seen)
        if counts[TUPLES] == known:  # an old one: its strings are there already
            counts[TIDS], counts[WORDS] = used_tids, used_words
        out = store.arcs[counts[ARCS]]
        counts[ARCS] += 1
        out[SOURCE], out[TARGET], out[LABEL], out[AT], out[LENGTH], out[VIA] = tuple_, target, 0, 0, 0, arc


@njit(nogil=True, cache=True)
def _has_room(arcs, rules, store, counts, tuple_, word):
    """Whether a tuple's arcs and what they lead to fit; else what is needed stands in `counts`."""
    here = store.tuples[tuple_]
    begin, end = arcs.begin[here[STATE]], arcs.begin[here[STATE] + 1]
    counts[NEED_TUPLES] = max(counts[TUPLES], counts[ARCS]) + end - begin + most_units(rules, word)
    counts[NEED_TIDS] = counts[TIDS] + (end - begin) * here[NUM_TIDS] + arcs.tid_begin[end] - arcs.tid_begin[begin]
    counts[NEED_WORDS] = counts[WORDS] + (end - begin) * (here[NUM_WORDS] + 1)
    return (
        counts[NEED_TUPLES] <= len(store.tuples)
        and counts[NEED_TIDS] <= len(store.tids)
        and counts[NEED_WORDS] <= len(store.words)
    )


@njit(nogil=True, cache=True)
def _expand(arcs, rules, store, counts, tuple_, word, final):
    """Puts out the units at the head of a tuple, and reads on."""
    here = store.tuples[tuple_]
    num_tids, num_words, closed = here[NUM_TIDS], here[NUM_WORDS], here[STATE] == final
    tids = store.tids[here[TID_AT] : here[TID_AT] + num_tids]
    ends, phones = np.empty(num_tids, np.int32), np.empty(num_tids, np.int32)
    num_phones = split_phones(tids, closed, rules, ends, phones)
    if num_phones < 0:
        counts[PROBLEM] = -num_phones
        return
    units = np.empty((most_units(rules, word), 3), np.int64)
    num_units, read_on = units_at_head(rules, word, num_words, ends, phones[:num_phones], here[SEEN], units)
    if num_units < 0:
        counts[PROBLEM] = -num_units
        return
    for k in range(num_units):
        _put_out(store, counts, tuple_, units[k, 0], units[k, 1], units[k, 2], np.int64(UNIT))
    if read_on and not closed:
        seen = 2 * num_phones + np.int64(num_words > 0) if rules.mode == BY_LEXICON else np.int64(0)
        _read_on(arcs, store, counts, tuple_, seen, rules.replace)
    elif closed and num_units == 0 and num_tids + num_words > 0:
        label, taken = rest_unit(rules, word, num_words, tids)
        _put_out(store, counts, tuple_, label, num_tids, taken, np.int64(FORCED if num_tids else DROPPED))


@njit(nogil=True, cache=True)
def expand_tuples(arcs, rules, store, counts):
    """Makes all tuples and arcs; goes on from where it stopped.

    Args:
        arcs, rules, store: Arcs, Rules, Store; tuple 0 is the lattice's state 0 with nothing read.
        counts: int64 [11] by DONE ... NEED_WORDS; TUPLES is 1 and TIDS the lattice's transition-ids to begin with.

    Returns:
        True when there is nothing left to do, or a PROBLEM in tuple PROBLEM_AT; False when the store has not the room NEED_*.
    """
    mask = len(store.table) - 1
    while counts[IN_TABLE] < counts[TUPLES]:  # a new table
        slot = store.tuples[counts[IN_TABLE], HASH] & mask
        while store.table[slot]:
            slot = (slot + 1) & mask
        store.table[slot] = counts[IN_TABLE] + 1
        counts[IN_TABLE] += 1
    final = len(arcs.begin) - 2
    while counts[DONE] < counts[TUPLES]:
        tuple_ = counts[DONE]
        word = np.int64(store.words[store.tuples[tuple_, WORD_AT]] if store.tuples[tuple_, NUM_WORDS] else 0)
        if not _has_room(arcs, rules, store, counts, tuple_, word):
            counts[IN_TABLE] = counts[TUPLES]
            return False
        _expand(arcs, rules, store, counts, tuple_, word, final)
        if counts[PROBLEM]:
            counts[PROBLEM_AT] = tuple_
            return True
        counts[DONE] += 1
    return True
