"""What is a unit (a word, a silence, a phone) at the head of a string of transition-ids."""

from typing import NamedTuple

import numpy as np
from numba import njit

from asrtool.lattice.align_words_files import END, INTERNAL, NO_PLACE, NONWORD, SINGLETON

BY_PLACE, BY_LEXICON, BY_PHONE = range(3)
PHONE_CHANGED, LOOP_FIRST, NOT_IN_FILE, STARTS_INSIDE, BAD_INSIDE = range(1, 6)


class Rules(NamedTuple):
    """What is a unit. By transition-id: phone and state int32, is_final and is_loop bool. By phone: place int8, starts_word bool.
    The lexicon: entry_begin int64 by word, word_out int32 and phone_begin int64 by entry, lexicon_phone int32."""

    mode: int
    reorder: bool
    replace: bool  # BY_PHONE: label arcs with phones
    silence_label: int
    partial_label: int
    phone: np.ndarray
    state: np.ndarray
    is_final: np.ndarray
    is_loop: np.ndarray
    place: np.ndarray
    entry_begin: np.ndarray
    word_out: np.ndarray
    phone_begin: np.ndarray
    lexicon_phone: np.ndarray
    starts_word: np.ndarray


@njit(nogil=True, cache=True)
def split_phones(tids, closed, rules, ends, phones):
    """The whole phones at the head of a string: their ends and names; how many, or minus a problem.

    With reordered self-loops a phone ends where, after its final transition-id and its loops, something else comes; or where the
    lattice ends (`closed`).
    """
    number, found, k = len(tids), 0, 0
    while k < number:
        first = tids[k]
        if rules.reorder and rules.is_loop[first]:
            return -LOOP_FIRST
        while k < number and (rules.is_loop[tids[k]] or not rules.is_final[tids[k]]):
            if rules.phone[tids[k]] != rules.phone[first]:
                return -PHONE_CHANGED
            k += 1
        if k == number:
            break
        if rules.phone[tids[k]] != rules.phone[first]:
            return -PHONE_CHANGED
        state = rules.state[tids[k]]
        k += 1
        if rules.reorder:
            while k < number and rules.is_loop[tids[k]] and rules.state[tids[k]] == state:
                k += 1
            if k == number and not closed:
                break
        ends[found], phones[found] = k, rules.phone[first]
        found += 1
    return found


@njit(nogil=True, cache=True)
def _place(rules, phone):
    return rules.place[phone] if phone < len(rules.place) else NO_PLACE


@njit(nogil=True, cache=True)
def _word_by_place(rules, phones, has_word):
    """How many phones the unit at the head has (0: not whole yet, or its word is not known), or minus a problem."""
    for k in range(len(phones)):
        place = _place(rules, phones[k])
        if place == NO_PLACE:
            return -NOT_IN_FILE
        if k == 0:
            if place in (END, INTERNAL):
                return -STARTS_INSIDE
            if place == NONWORD:
                return 1
            if not has_word:
                return 0
            if place == SINGLETON:
                return 1
        elif place == END:
            return k + 1
        elif place != INTERNAL:
            return -BAD_INSIDE
    return 0


@njit(nogil=True, cache=True)
def most_units(rules, word):
    """How many units there may be at the head of a tuple, 1 at least; `word`: its first one, or 0."""
    number, last = 1, len(rules.entry_begin) - 1
    if last > 0:
        number += rules.entry_begin[1]
    if 0 < word < last:
        number += rules.entry_begin[word + 1] - rules.entry_begin[word]
    return number


@njit(nogil=True, cache=True)
def units_at_head(rules, word, num_words, ends, phones, seen, units):
    """The units that the head of a string may be.

    By the lexicon only those that became possible with the last arc that was read: the others were put out before it.

    Args:
        word: the first known one, or 0; ends, phones: int32, of the whole phones; seen: see Store.
        units: int64 [most_units, 3], gets label, transition-ids, and words taken.

    Returns:
        (number of units, or minus a problem; whether reading on may lead to others).
    """
    units[0, 0], units[0, 1], units[0, 2] = word, 0, 0
    if rules.mode == BY_PHONE:
        units[0, 2] = min(1, num_words)
        if len(phones):
            units[0, 1] = ends[0]
            if rules.replace:
                units[0, 0] = phones[0]
        some = len(phones) > 0 or num_words > 1
        return int(some), not some
    if rules.mode == BY_PLACE:
        length = _word_by_place(rules, phones, num_words > 0)
        if length <= 0:
            return length, True
        units[0, 1], units[0, 2] = ends[length - 1], 1
        if _place(rules, phones[0]) == NONWORD:
            units[0, 0], units[0, 2] = rules.silence_label, 0
        return 1, False
    number, longer = 0, len(phones) == 0
    if num_words == 0 and len(phones) and phones[0] < len(rules.starts_word):
        longer = rules.starts_word[phones[0]]
    for of_word in range(1 + int(num_words > 0)):  # silence, then the word
        name = word if of_word else 0
        if name + 1 >= len(rules.entry_begin):
            continue
        after = seen >> 1 if not of_word or seen & 1 else -1
        for entry in range(rules.entry_begin[name], rules.entry_begin[name + 1]):
            begin, length = rules.phone_begin[entry], rules.phone_begin[entry + 1] - rules.phone_begin[entry]
            same = True
            for k in range(min(length, len(phones))):
                same &= rules.lexicon_phone[begin + k] == phones[k]
            if same and length > len(phones):
                longer = True
            elif same and length > after:
                units[number, 0], units[number, 2] = rules.word_out[entry], of_word
                units[number, 1] = ends[length - 1] if length else 0
                number += 1
    return number, longer


@njit(nogil=True, cache=True)
def rest_unit(rules, word, num_words, tids):
    """Label and words taken where the lattice ends and no unit is whole: a word cut off, or words without transition-ids."""
    if len(tids) == 0:
        return np.int64(word if rules.mode == BY_PHONE else 0), num_words
    phone, label = rules.phone[tids[0]], np.int64(rules.partial_label)
    if rules.replace:
        label = np.int64(phone)
    elif num_words:
        label = word
    elif rules.mode == BY_PLACE and _place(rules, phone) == NONWORD:
        label = np.int64(rules.silence_label)
    return label, num_words if rules.mode == BY_LEXICON else min(1, num_words)
