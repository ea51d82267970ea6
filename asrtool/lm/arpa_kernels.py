"""Kernels of ARPA files: lines of n-grams to arrays and back, over bytes."""

import numpy as np
from numba import njit

# What is wrong with a line.
FINE, FIELDS, PROBABILITY, WEIGHT, ABOVE_ZERO, CARRIAGE_RETURN = range(6)
HIGHEST = 1e-4  # for log10 of a probability: tools round; SRILM writes 1e-8 at times
_MAX_DIGITS = 18  # int64 holds them
_POWERS = np.array([float(f"1e{power}") for power in range(23)])  # exact, as all up to 1e22 are


@njit(nogil=True, cache=True)
def parse_number(text, begin, end):
    """The float64 that text[begin:end] says, nan where it is none or not finite.

    Up to 15 digits with an exponent of 10 up to 22 either way are rounded correctly; others are right to 15 digits.
    """
    negative, place = False, begin
    if place < end and (text[place] == 45 or text[place] == 43):  # - +
        negative = text[place] == 45
        place += 1
    mantissa, digits, exponent, seen_point, seen_digit = np.int64(0), 0, 0, False, False
    while place < end:
        byte = text[place]
        if 48 <= byte <= 57:
            seen_digit = True
            if digits < _MAX_DIGITS:
                mantissa = mantissa * 10 + (np.int64(byte) - 48)
                digits += 1 if mantissa > 0 else 0
                exponent -= 1 if seen_point else 0
            else:
                exponent += 0 if seen_point else 1
        elif byte == 46 and not seen_point:  # .
            seen_point = True
        else:
            break
        place += 1
    if not seen_digit:
        return np.nan
    if place < end and (text[place] == 101 or text[place] == 69):  # e E
        place += 1
        below, power = False, 0
        if place < end and (text[place] == 45 or text[place] == 43):
            below = text[place] == 45
            place += 1
        start = place
        while place < end and 48 <= text[place] <= 57:
            power = min(power * 10 + np.int64(text[place]) - 48, 100000)
            place += 1
        if place == start:
            return np.nan
        exponent += -power if below else power
    if place < end:
        return np.nan
    value = np.float64(mantissa)
    if mantissa > 0 and exponent != 0:
        size = abs(exponent)
        scale = _POWERS[size] if size < len(_POWERS) else 10.0**size
        value = value * scale if exponent > 0 else value / scale
    if not np.isfinite(value):
        return np.nan
    return -value if negative else value


@njit(nogil=True, cache=True)
def split_lines(text, at, order, is_highest, spans, probs, weights, starts):
    """Splits lines of n-grams up to one that begins with a backslash, the end of the text, or of the room for rows.

    Args:
        text: uint8, whole lines, each with its line end.
        at: the byte where the first line begins.
        order: n; is_highest: whether back-off weights are not allowed.
        spans: int32 [room, n, 2], written: begin and end of each word in text.
        probs, weights: float64 [room], written: log10 of probability and back-off weight (0 where there is none).
        starts: int32 [room], written: where the row's line begins.

    Returns:
        int64 rows, int64 where the next line begins, and what is wrong with that line.
    """
    size, row, room = len(text), 0, len(starts)
    while at < size and row < room:
        line, field = at, 0
        if text[at] == 92:  # \
            return row, line, FINE
        weights[row] = 0.0
        while True:
            while text[at] == 32 or text[at] == 9 or text[at] == 11 or text[at] == 12:
                at += 1
            if text[at] == 10:
                break
            begin = at
            while text[at] != 32 and (text[at] < 9 or text[at] > 13):
                at += 1
            if text[at] == 13:
                return row, line, CARRIAGE_RETURN
            if field == 0:
                probs[row] = parse_number(text, begin, at)
            elif field <= order:
                spans[row, field - 1, 0], spans[row, field - 1, 1] = begin, at
            elif field == order + 1:
                weights[row] = parse_number(text, begin, at)
            field += 1
        at += 1
        if field == 0:
            continue
        if field != order + 1 and (is_highest or field != order + 2):
            return row, line, FIELDS
        if np.isnan(probs[row]):
            return row, line, PROBABILITY
        if np.isnan(weights[row]):
            return row, line, WEIGHT
        if probs[row] > HIGHEST:
            return row, line, ABOVE_ZERO
        starts[row] = line
        row += 1
    return row, at, FINE


@njit(nogil=True, cache=True)
def _slot_of(text, begin, end, table, spelling, word_begin):
    """The place in `table` (see `fill_table`) of the word text[begin:end], or the free place where it belongs."""
    hashed = np.uint64(14695981039346656037)  # FNV-1a
    for place in range(begin, end):
        hashed = (hashed ^ np.uint64(text[place])) * np.uint64(1099511628211)
    slot = np.int64((hashed ^ (hashed >> np.uint64(32))) & np.uint64(len(table) - 1))
    while table[slot] >= 0:
        first = word_begin[table[slot]]
        length = word_begin[table[slot] + 1] - first
        if length == end - begin:
            same = True
            for place in range(length):
                if spelling[first + place] != text[begin + place]:
                    same = False
                    break
            if same:
                return slot
        slot = (slot + 1) & (len(table) - 1)
    return slot


@njit(nogil=True, cache=True)
def fill_table(spelling, word_begin, table):
    """Fills a hash table of words.

    Args:
        spelling: uint8; word w is spelling[word_begin[w] : word_begin[w + 1]]. No word occurs twice.
        word_begin: int64 [V + 1].
        table: int32 [power of two, above V], -1 everywhere; written: words.
    """
    for word in range(len(word_begin) - 1):
        slot = _slot_of(spelling, word_begin[word], word_begin[word + 1], table, spelling, word_begin)
        table[slot] = word


@njit(nogil=True, cache=True)
def look_up(text, spans, table, spelling, word_begin, words):
    """words int32 [M, n], written: the words that `spans` int32 [M, n, 2] of `text` spell, -1 for unknown ones."""
    for row in range(len(words)):
        for place in range(words.shape[1]):
            slot = _slot_of(text, spans[row, place, 0], spans[row, place, 1], table, spelling, word_begin)
            words[row, place] = table[slot]


@njit(nogil=True, cache=True)
def _write_number(value, out, place):
    """Seven significant digits, without zeros at the end (15 places after the point at most)."""
    if value < 0:
        value = -value
        negative = True
    else:
        negative = False
    places = 0
    scale = 1.0
    while places < 15 and value * scale < 1e6:
        scale *= 10.0
        places += 1
    digits = np.int64(np.rint(value * scale))
    while places > 0 and digits % 10 == 0:
        digits //= 10
        places -= 1
    if negative and digits > 0:
        out[place] = 45
        place += 1
    length = 1
    rest = digits // 10
    while rest > 0:
        length += 1
        rest //= 10
    length = max(length, places + 1)
    total = length + (1 if places > 0 else 0)
    i = place + total - 1
    for k in range(length):
        if k == places and places > 0:
            out[i] = 46
            i -= 1
        out[i] = 48 + digits % 10
        digits //= 10
        i -= 1
    return place + total


@njit(nogil=True, cache=True)
def format_ngrams(words, probs, weights, text, starts, out):
    """Lines of an ARPA section.

    Args:
        words: int64 [M, order]; text, starts: the words, as `spelling`, `word_begin` for `fill_table`.
        probs: float64 [M]; weights: float64 [M] (0 is left away) or empty.
        out: uint8, long enough: the words, one byte for each, and 50 a line.

    Returns:
        int64: bytes written.
    """
    place = 0
    for row in range(len(words)):
        place = _write_number(probs[row], out, place)
        for column in range(words.shape[1]):
            out[place] = 32 if column else 9
            place += 1
            word = words[row, column]
            for k in range(starts[word], starts[word + 1]):
                out[place] = text[k]
                place += 1
        if len(weights) and weights[row] != 0.0:
            out[place] = 9
            place = _write_number(weights[row], out, place + 1)
        out[place] = 10
        place += 1
    return place
