"""Look-ups in a compact n-gram model: a trie of bit fields (layout: `lm.compact_layout`).

`arrays` is (meta int64 [N + 1, 16], data uint64 [W], tables float32 [2 N, L]), as `CompactNgram.arrays` gives them. A state
stands
for a history: 0 for the empty one, the others for the histories that the model tells apart, shorter ones first.
"""

import numpy as np
from numba import njit

# Columns of meta's row n >= 1, about the n-grams of order n. *_AT of records, contexts: bits; of ranks: elements of data.
STATE_BEGIN, COUNT, RECORD_AT, RECORD_BITS, WORD_BITS, COST_BITS = 0, 1, 2, 3, 4, 5
RANK_AT, CONTEXT_AT, CONTEXT_BITS, BEGIN_BITS, WEIGHT_BITS, SUFFIX_BITS = 6, 7, 8, 9, 10, 11
# Columns of row 0.
ORDER, NUM_WORDS, START_STATE, NUM_STATES = 0, 1, 2, 3
META_COLUMNS = 16
EOS = 1  # the id of </s>
LINEAR = 8  # the last so many n-grams of a search are looked at one after the other


@njit(nogil=True, cache=True)
def read_bits(data, at, width):
    """The `width` bits (0 to 63) from bit `at` on, as int64; the lowest bit comes first."""
    element, shift = at >> 6, np.uint64(at & 63)
    value = data[element] >> shift
    if (at & 63) + width > 64:
        value |= data[element + 1] << (np.uint64(64) - shift)
    return np.int64(value & ((np.uint64(1) << np.uint64(width)) - np.uint64(1)))


@njit(nogil=True, cache=True)
def read_value(data, tables, at, width, row):
    """A float of 32 bits, or the `width` bits' entry in a row of `tables`."""
    code = read_bits(data, at, width)
    if width == 32:
        return np.float64(np.uint32(code).view(np.float32))
    return np.float64(tables[row, code])


@njit(nogil=True, cache=True)
def count_bits(value):
    """The number of ones of a uint64."""
    value = value - ((value >> np.uint64(1)) & np.uint64(0x5555555555555555))
    value = (value & np.uint64(0x3333333333333333)) + ((value >> np.uint64(2)) & np.uint64(0x3333333333333333))
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((value * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(nogil=True, cache=True)
def state_of(meta, data, order, node):
    """The state of the history that is the n-gram `node` of an order below N; -1 if the model does not tell it apart."""
    at = meta[order, RANK_AT] + 2 * (node >> 6)
    ones, place = data[at + 1], np.uint64(node & 63)
    if (ones >> place) & np.uint64(1) == 0:
        return -1
    below = ones & ((np.uint64(1) << place) - np.uint64(1))
    return meta[order, STATE_BEGIN] + np.int64(data[at]) + count_bits(below)


@njit(nogil=True, cache=True)
def length_of(meta, state):
    """The number of words of a state's history."""
    length = 0
    while length < meta[0, ORDER] - 1 and state >= meta[length + 1, STATE_BEGIN]:
        length += 1
    return length


@njit(nogil=True, cache=True)
def find_word(meta, data, length, state, word):
    """The index, among the n-grams of order length + 1, of the state's history and the word; -1 if there is none."""
    if length == 0:
        return np.int64(word)
    at = meta[length, CONTEXT_AT] + (state - meta[length, STATE_BEGIN]) * meta[length, CONTEXT_BITS]
    low = read_bits(data, at, meta[length, BEGIN_BITS])
    high = read_bits(data, at + meta[length, CONTEXT_BITS], meta[length, BEGIN_BITS])
    first, step, width = meta[length + 1, RECORD_AT], meta[length + 1, RECORD_BITS], meta[length + 1, WORD_BITS]
    while high - low > LINEAR:
        middle = (low + high) >> 1
        if read_bits(data, first + middle * step, width) <= word:
            low = middle
        else:
            high = middle
    while low < high:
        found = read_bits(data, first + low * step, width)
        if found >= word:
            return low if found == word else np.int64(-1)
        low += 1
    return np.int64(-1)


@njit(nogil=True, cache=True)
def shorter(meta, data, length, state):
    """(bit of the back-off weight, state of the longest shorter history that the model tells apart) of a state but 0."""
    at = meta[length, CONTEXT_AT] + (state - meta[length, STATE_BEGIN]) * meta[length, CONTEXT_BITS] + meta[length, BEGIN_BITS]
    return at, read_bits(data, at + meta[length, WEIGHT_BITS], meta[length, SUFFIX_BITS])


@njit(nogil=True, cache=True)
def advance(arrays, state, word):
    """A word after a history.

    Args:
        arrays: see above.
        state: int64.
        word: the model's id; -1 for a word that it does not have.

    Returns:
        (the next state, int64; -ln of the word's probability, float64): (0, inf) for the word -1.
    """
    meta, data, tables = arrays
    if word < 0:
        return np.int64(0), np.inf
    state = np.int64(state)
    order = meta[0, ORDER]
    cost = 0.0
    length = length_of(meta, state)
    node = find_word(meta, data, length, state, word)
    while node < 0:
        at, suffix = shorter(meta, data, length, state)
        cost += read_value(data, tables, at, meta[length, WEIGHT_BITS], order + length - 1)
        state = suffix
        length = length_of(meta, state)
        node = find_word(meta, data, length, state, word)
    at = meta[length + 1, RECORD_AT] + node * meta[length + 1, RECORD_BITS] + meta[length + 1, WORD_BITS]
    cost += read_value(data, tables, at, meta[length + 1, COST_BITS], length)
    while True:
        if node >= 0 and length + 1 < order:
            next_state = state_of(meta, data, length + 1, node)
            if next_state >= 0:
                return next_state, cost
        if length == 0:
            return np.int64(0), cost
        _, state = shorter(meta, data, length, state)
        length = length_of(meta, state)
        node = find_word(meta, data, length, state, word)


@njit(nogil=True, cache=True)
def final_cost(arrays, state):
    """-ln of the probability of the sentence's end after a state."""
    return advance(arrays, state, EOS)[1]


@njit(nogil=True, cache=True)
def token_costs(arrays, tokens, costs):
    """Costs of a text.

    Args:
        tokens: int64 [T], sentences with <s> (0) and </s> (1), as `lm.text.encode` makes them.
        costs: float64 [T], written: -ln of each token's probability; 0 for <s>, inf for -1.
    """
    state = np.int64(0)
    for position in range(len(tokens)):
        if tokens[position] == 0:
            state, costs[position] = arrays[0][0, START_STATE], 0.0
        else:
            state, costs[position] = advance(arrays, state, tokens[position])
