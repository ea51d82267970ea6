"""Search for the pronunciations of a word in an n-gram model of pieces."""

import numpy as np
from numba import njit

from asrtool.io.kernel_cache import forget_older_than
from asrtool.lm import compact_kernels
from asrtool.lm.compact_kernels import advance, final_cost

forget_older_than(__file__, compact_kernels)


@njit(nogil=True, cache=True)
def _phone_node(table, nodes, count, parent, phone):
    """The node for `phone` after the phones of node `parent`; a new one, number `count`, where there is none."""
    mask = len(table) - 1
    place = ((parent * 1000003 + phone) * 7919) & mask
    while table[place] >= 0:
        node = table[place]
        if nodes[node, 0] == parent and nodes[node, 1] == phone:
            return node
        place = (place + 1) & mask
    table[place] = count
    nodes[count, 0], nodes[count, 1] = parent, phone
    return count


@njit(nogil=True, cache=True)
def _merged(key, log_prob):
    """The different keys int64 and for each the log of the sum of its probabilities, float64."""
    merged_key = np.empty(len(key), np.int64)
    merged = np.empty(len(key))
    count = 0
    for one in np.argsort(key):
        if count and merged_key[count - 1] == key[one]:
            larger, smaller = max(merged[count - 1], log_prob[one]), min(merged[count - 1], log_prob[one])
            merged[count - 1] = larger + np.log1p(np.exp(smaller - larger))
        else:
            merged_key[count], merged[count] = key[one], log_prob[one]
            count += 1
    return merged_key[:count], merged[:count]


@njit(nogil=True, cache=True)
def search(arrays, start_state, begin, piece, length, phone_begin, phones, beam, margin, num_states):
    """Sums over the ways to cut a word for each of its likeliest pronunciations, letter by letter.

    arrays: see `lm.compact_kernels`. The pieces that fit at letter i are piece[begin[i] : begin[i + 1]] (int64, the model's
    ids), of length[...] letters; phones of piece p are phones[phone_begin[p] : phone_begin[p + 1]] (int32). At each letter
    the best `beam` of (phones so far, state) are followed, as far as they are within `margin` of the best one's log probability.

    Returns nodes int64 [N, 2], a tree of phones as (parent, phone) with the root 0, and for each pronunciation in the beam at
    the end its node int64 and log probability with the word float64, best first.
    """
    num_letters = len(begin) - 1
    room = np.zeros(num_letters + 2, np.int64)  # hypotheses that may come to each place
    room[1] = 1
    most_phones = 1
    for i in range(num_letters):
        for entry in range(begin[i], begin[i + 1]):
            room[i + length[entry] + 1] += beam
            most_phones += beam * (phone_begin[piece[entry] + 1] - phone_begin[piece[entry]])
    room = np.cumsum(room)
    key = np.empty(room[-1], np.int64)
    log_prob = np.empty(room[-1])
    filled = room[:-1].copy()
    nodes = np.zeros((most_phones + 1, 2), np.int64)
    size = 16
    while size < 2 * most_phones:
        size *= 2
    table = np.full(size, -1, np.int64)
    num_nodes = 1
    key[0], log_prob[0] = start_state, 0.0
    filled[0] = 1
    for i in range(num_letters + 1):
        low, high = room[i], filled[i]
        if i == num_letters:  # states do not matter any more, their ends do
            for one in range(low, high):
                log_prob[one] -= final_cost(arrays, key[one] % num_states)
                key[one] = key[one] // num_states * num_states
        merged_key, merged = _merged(key[low:high], log_prob[low:high])
        best = np.argsort(-merged)[:beam]
        if i == num_letters:
            return nodes[:num_nodes], merged_key[best] // num_states, merged[best]
        for one in best:
            if merged[one] < merged[best[0]] - margin:
                break
            state = merged_key[one] % num_states
            for entry in range(begin[i], begin[i + 1]):
                node = merged_key[one] // num_states
                following, cost = advance(arrays, state, piece[entry])
                for place in range(phone_begin[piece[entry]], phone_begin[piece[entry] + 1]):
                    node = _phone_node(table, nodes, num_nodes, node, phones[place])
                    num_nodes = max(num_nodes, node + 1)
                to = i + length[entry]
                key[filled[to]] = node * num_states + following
                log_prob[filled[to]] = merged[one] - cost
                filled[to] += 1
    return nodes[:1], np.empty(0, np.int64), np.empty(0)
