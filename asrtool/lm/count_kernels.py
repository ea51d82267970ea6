"""Kernels of counting: windows of words as rows of 64-bit integers, sorted, merged and cut into n-grams of all orders.

A window is the `order` words from a position on. Its row holds 64 // bits words to a 64-bit integer, the first word in the
highest bits; places after the end of the sentence hold 0 (<s>, which is never there). So rows sort as the sequences of words do,
and all n-grams of all orders are runs of equal first words.
"""

import numpy as np
from numba import njit

_RADIX_BITS = 8


@njit(nogil=True, cache=True)
def pack_windows(tokens, num_starts, order, bits, rows):
    """Windows that begin at the first `num_starts` places.

    Args:
        tokens: int32 [>= num_starts]; <s> is 0, </s> is 1, unknown words are -1 and end a window.
        rows: uint64 [>= num_starts, words of a row], filled from the front.

    Returns:
        int64: how many; none begin at an unknown word.
    """
    per_integer = 64 // bits
    filled = 0
    for start in range(num_starts):
        if tokens[start] < 0:
            continue
        inside = True
        for k in range(rows.shape[1]):
            rows[filled, k] = 0
        for j in range(order):
            token = 0
            if inside and start + j < len(tokens):
                token = tokens[start + j]
                if token < 0 or (j > 0 and token == 0):
                    token = 0
                    inside = False
                elif token == 1:
                    inside = False
            k = j // per_integer
            rows[filled, k] = (rows[filled, k] << np.uint64(bits)) | np.uint64(token)
        filled += 1
    return filled


@njit(nogil=True, cache=True)
def sort_rows(rows, spare, num_rows, num_keys):
    """Sorts by the first `num_keys` columns, byte by byte from the lowest, moving whole rows.

    Args:
        rows, spare: uint64 [>= num_rows, >= num_keys]; both are overwritten.

    Returns:
        bool: the sorted rows are in `spare`, not in `rows`.
    """
    width = rows.shape[1]
    in_spare = False
    starts = np.empty(257, np.int64)
    for key in range(num_keys - 1, -1, -1):
        used = np.uint64(0)
        for i in range(num_rows):
            used |= rows[i, key]
        for shift in range(0, 64, _RADIX_BITS):
            if (used >> np.uint64(shift)) & np.uint64(255) == 0:
                continue
            starts[:] = 0
            for i in range(num_rows):
                starts[((rows[i, key] >> np.uint64(shift)) & np.uint64(255)) + np.uint64(1)] += 1
            for digit in range(256):
                starts[digit + 1] += starts[digit]
            for i in range(num_rows):
                digit = (rows[i, key] >> np.uint64(shift)) & np.uint64(255)
                place = starts[digit]
                starts[digit] += 1
                for column in range(width):
                    spare[place, column] = rows[i, column]
            rows, spare = spare, rows
            in_spare = not in_spare
    return in_spare


@njit(nogil=True, cache=True)
def unite_rows(rows, num_rows, num_keys, result):
    """Equal keys of sorted rows become one row with the sum of their counts.

    Args:
        rows: uint64 [>= num_rows, num_keys], each counting 1, or [.., num_keys + 1] with the count in the last column.
        result: uint64 [>= number of different keys, num_keys + 1]; may be `rows` itself when that has counts.

    Returns:
        int64: rows in the result.
    """
    filled = 0
    for i in range(num_rows):
        count = rows[i, num_keys] if rows.shape[1] > num_keys else np.uint64(1)
        same = filled > 0
        for key in range(num_keys):
            if not same or result[filled - 1, key] != rows[i, key]:
                same = False
                break
        if same:
            result[filled - 1, num_keys] += count
        else:
            for key in range(num_keys):
                result[filled, key] = rows[i, key]
            result[filled, num_keys] = count
            filled += 1
    return filled


@njit(nogil=True, cache=True)
def cut_rows(rows, num_rows, order, bits, num_words, previous, num_before, filled, keys, counts, unigrams):
    """Adds sorted windows to the lists of n-grams of each order.

    An n-gram's key is (index of its first n - 1 words) x num_words + its last word, its index its rank in its order. The last
    n-gram of each order stays open, as the next call may add to its count.

    Args:
        rows: uint64 [num_rows, .. + 1], the count in the last column.
        previous: int64 [order], the last window's words; changed.
        num_before: int64 [order], n-grams written out before the ones in `keys`.
        filled: int64 [order], n-grams in keys and counts; changed.
        keys, counts: int64 [order, >= filled + num_rows]; row n - 1 is order n, row 0 is not used.
        unigrams: int64 [num_words]: counts of words, added to (<s> counts 0).
    """
    per_integer = 64 // bits
    num_integers = rows.shape[1] - 1
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    for i in range(num_rows):
        count = np.int64(rows[i, num_integers])
        index = np.int64(0)
        new = False
        for j in range(order):
            k = j // per_integer
            in_integer = min(per_integer, order - k * per_integer)
            shift = np.uint64((in_integer - 1 - (j - k * per_integer)) * bits)
            word = np.int64((rows[i, k] >> shift) & mask)
            if j > 0 and word == 0:  # the sentence is over
                for rest in range(j, order):
                    previous[rest] = 0
                break
            if word != previous[j]:
                new = True
                previous[j] = word
            if j == 0:
                index = word
                if word > 0:
                    unigrams[word] += count
                continue
            if new:
                place = filled[j]
                filled[j] += 1
                keys[j, place] = index * num_words + word
                counts[j, place] = count
            else:
                counts[j, filled[j] - 1] += count
            index = num_before[j] + filled[j] - 1


@njit(nogil=True, cache=True)
def find_suffixes(keys, num_words, suffix_of_prefix, first_prefix, child_start, child_word, suffix, predecessors):
    """Index of each n-gram without its first word, and how many n-grams have it as that.

    Args:
        keys: int64 [M], some n-grams of order n >= 3 in their order.
        suffix_of_prefix: int64, of the n-grams of order n - 1 from index `first_prefix` on.
        child_start: int64 [n-grams of order n - 2, + 1]; child_word: int32 [n-grams of order n - 1], their last words.
        suffix: int64 [M], filled; every one must be there.
        predecessors: int64 [n-grams of order n - 1], added to.
    """
    prefix = np.int64(-1)
    low = np.int64(0)
    high = np.int64(0)
    for i in range(len(keys)):
        own = keys[i] // num_words
        word = keys[i] - own * num_words
        if own != prefix:
            prefix = own
            parent = suffix_of_prefix[prefix - first_prefix]
            low, high = child_start[parent], child_start[parent + 1]
        bottom, top = low, high
        while bottom < top:
            middle = (bottom + top) >> 1
            if child_word[middle] < word:
                bottom = middle + 1
            else:
                top = middle
        suffix[i] = bottom
        predecessors[bottom] += 1
        low = bottom + 1
