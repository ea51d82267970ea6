"""The inner loops of the search with two language models: the words' costs, composed states, emitting arcs, epsilon closure.

The graph holds a small language model; every word's cost is corrected by that of a big one (see biglm). A token stands at a
composed state: a graph state and a pair of language model states (small, big), each distinct pair having a number. Tokens, links
and the graph lie as in frame_kernels, with besides

    pair     int32 [n]: the number of the pair of each token of the newest frame
    table    int32 [2^k], in place of `slot`: a hash table of the tokens' serial numbers by composed state
    words    int32 [A]: the words of the graph's arcs (0: none)
    lm_cost  float32 [N], link_lm float32 [L]: corrections of the words on the arcs to tokens and of links.

A state's epsilon_cost is -inf where one of its epsilon arcs has a word, since that may cost less than the arc says.

The pairs and the steps between them are kept in `memory`, a tuple of
    pairs PAIR [P]; pair_table int32 [2^m]: their numbers by hash, -1 where free;
    steps STEP [2^n]: what a word costs after a pair, by hash of both, pair -1 where free; used int64 [2]: steps, pairs.
`models` is (arrays of the small model, its word ids, arrays of the big one, its word ids): see lm.compact_model; word ids are
int32 [number of the graph's words]. No loop here allocates: the caller (biglm_search_kernels) grows arrays between these calls.
"""

import numpy as np
from numba import njit

from asrtool.decoder.frame_kernels import INFINITY, U
from asrtool.decoder.history_kernels import ARC_BITS
from asrtool.io.kernel_cache import forget_older_than
from asrtool.lm import compact_kernels
from asrtool.lm.compact_kernels import advance, final_cost

forget_older_than(__file__, compact_kernels)

PAIR = np.dtype([("small", "i8"), ("big", "i8")])
STEP = np.dtype([("pair", "i4"), ("word", "i4"), ("next", "i4"), ("cost", "f4")])


@njit(nogil=True, cache=True)
def place(one, two, size):
    """Where the search for a pair of numbers starts in a table of `size` = 2^k rows."""
    mixed = U(one) * U(0x9E3779B97F4A7C15) ^ U(two) * U(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> U(29)
    mixed *= U(0xBF58476D1CE4E5B9)
    return (mixed >> U(24)) & U(size - 1)


@njit(nogil=True, cache=True)
def number_of_pair(memory, small, big):
    """The number of a pair of language model states, a new one where it is new; there must be room."""
    pairs, pair_table, _, used = memory
    at = place(small, big, len(pair_table))
    while pair_table[at] >= 0:
        number = pair_table[at]
        if pairs[U(number)].small == small and pairs[U(number)].big == big:
            return number
        at = (at + U(1)) & U(len(pair_table) - 1)
    number = np.int32(used[1])
    pair_table[at] = number
    pairs[U(number)].small = small
    pairs[U(number)].big = big
    used[1] += 1
    return number


@njit(nogil=True, cache=True)
def find_step(steps, pair, word):
    """The row of `steps` for a word after a pair, or the free row (its pair is -1) where it belongs.

    Takes one array and not the memory: passing a tuple of arrays counts references, which costs more than the look-up.
    """
    at = place(pair, word, len(steps))
    while steps[at].pair >= 0 and (steps[at].pair != pair or steps[at].word != word):
        at = (at + U(1)) & U(len(steps) - 1)
    return at


@njit(nogil=True, cache=True)
def fill_step(memory, models, pair, word, at):
    """Computes the free row `at` for a word after a pair; there must be room."""
    pairs, _, steps, used = memory
    small_arrays, small_words, big_arrays, big_words = models
    small, small_cost = advance(small_arrays, pairs[U(pair)].small, small_words[word])
    big, big_cost = advance(big_arrays, pairs[U(pair)].big, big_words[word])
    step = steps[at]
    step.pair = pair
    step.word = word
    step.cost = big_cost - small_cost if big_cost < np.inf else np.inf
    step.next = number_of_pair(memory, small, big) if big_cost < np.inf else pair
    used[0] += 1


@njit(nogil=True, cache=True)
def find_row(table, serial, state, pair, graph_state, number):
    """The row of `table` with the newest frame's token at a composed state, or the free row where it belongs.

    serial: serial number of the frame's first token; entries below it are free.
    """
    at = place(graph_state, number, len(table))
    while True:
        row = np.int64(table[at]) - serial
        if row < 0 or (state[U(row)] == graph_state and pair[U(row)] == number):
            return at
        at = (at + U(1)) & U(len(table) - 1)


@njit(nogil=True, cache=True)
def score_composed(
    arcs, words, cost, pair, best, first, active, frame_cost, adaptive_beam, links, link_lm, num_links, memory, models
):
    """Lists the arcs of the active tokens as score_arcs of frame_kernels does; a link's `to` is the pair that it leads to.

    Returns (number of links, final cutoff: some early links are above it).
    """
    count = U(num_links)
    cutoff = INFINITY
    steps = memory[2]
    for row in range(U(len(active))):
        if cost[U(active[row, 0])] == best:
            for i in range(U(active[row, 1]), U(active[row, 2])):
                if words[i] == 0:
                    cutoff = min(cutoff, arcs[i].cost + frame_cost[U(arcs[i].pdf)] + adaptive_beam)
            break
    for row in range(U(len(active))):
        token = active[row, 0]
        token_cost, number = cost[U(token)] - best, pair[U(token)]
        source = np.int64(first + token) << 32
        for i in range(U(active[row, 1]), U(active[row, 2])):
            arc = arcs[i]
            total = token_cost + arc.cost + frame_cost[U(arc.pdf)]
            link = links[count]
            link.to = number
            link_lm[count] = 0
            if words[i] != 0:
                at = find_step(steps, number, words[i])
                if steps[at].pair < 0:
                    fill_step(memory, models, number, words[i], at)
                link.to = steps[at].next
                link_lm[count] = steps[at].cost
                total += steps[at].cost
            link.total = total
            link.back = source | np.int64(i)
            count += U(1) if total < cutoff else U(0)
            tighter = total + adaptive_beam
            cutoff = tighter if tighter < cutoff else cutoff
    return count, cutoff


@njit(nogil=True, cache=True)
def make_composed(arcs, links, link_lm, begin, end, cutoff, table, serial, first, cost, state, pair, back, lm_cost):
    """Makes tokens of the links begin:end, the cheapest for each composed state, and turns the links' pairs into token ids.

    serial, first: serial number and id of the frame's row 0. Returns the number of tokens.
    """
    count = 0
    for row in range(U(begin), U(end)):
        link = links[row]
        total = link.total
        if not total < cutoff:
            link.to = -1
            continue
        next_state = arcs[U(link.back & ARC_BITS)].next
        at = find_row(table, serial, state, pair, next_state, link.to)
        to = np.int64(table[at]) - serial
        if to < 0:
            to = count
            count += 1
            table[at] = serial + to
            state[U(to)] = next_state
            pair[U(to)] = link.to
            cost[U(to)] = INFINITY
        if total < cost[U(to)]:
            cost[U(to)] = total
            back[U(first + to)] = link.back
            lm_cost[U(first + to)] = link_lm[row]
        link.to = first + to
    return count


@njit(nogil=True, cache=True)
def close_composed_epsilon(
    graph, words, table, serial, first, cost, state, pair, mark, active, back, lm_cost, count, cutoff, stack, height,
    memory, models,
):  # fmt: skip
    """Follows epsilon arcs from the rows on the stack until no cost falls (the graph has no epsilon cycle).

    mark: 1 while on the stack, 2 once taken from it; active: see open_frame of frame_kernels. Returns (number of tokens, stack
    height, arcs looked at); a height above 0 says that `cost`, `table` or the memory is full: grow them and call again.
    """
    states, arcs = graph
    pairs, _, steps, used = memory
    num_arcs = 0
    while height > 0:
        row = U(stack[U(height - 1)])
        here = states[U(state[row])]
        room = here.end - here.epsilon
        if count + room > len(cost) or 2 * (count + room) > len(table):
            break
        if used[1] + room > len(pairs) or 2 * (used[0] + room) > len(steps):
            break
        height -= 1
        mark[row] = 2
        from_cost, number = cost[row], pair[row]
        source = (np.int64(first) + np.int64(row)) << 32
        num_arcs += room
        for i in range(U(here.epsilon), U(here.end)):
            arc = arcs[i]
            total, next_pair, correction = from_cost + arc.cost, number, np.float32(0)
            if words[i] != 0:
                step = find_step(steps, number, words[i])
                if steps[step].pair < 0:
                    fill_step(memory, models, number, words[i], step)
                next_pair, correction = steps[step].next, steps[step].cost
                total += correction
            if not total < cutoff:
                continue
            at = find_row(table, serial, state, pair, arc.next, next_pair)
            to = np.int64(table[at]) - serial
            there = states[U(arc.next)]
            if to < 0:
                to = count
                count += 1
                table[at] = serial + to
                cost[U(to)] = INFINITY
                state[U(to)] = arc.next
                pair[U(to)] = next_pair
                mark[U(to)] = 0
                active[U(to), 1] = there.emitting
                active[U(to), 2] = there.epsilon
            if total < cost[U(to)]:
                cost[U(to)] = total
                back[U(first + to)] = source | np.int64(i)
                lm_cost[U(first + to)] = correction
                if mark[U(to)] != 1 and total + there.epsilon_cost < cutoff:
                    mark[U(to)] = 1
                    stack[U(height)] = to
                    height += 1
    return count, height, num_arcs


@njit(nogil=True, cache=True)
def link_composed_epsilon(graph, words, table, serial, first, cost, state, pair, mark, cutoff, links, link_lm, num_links, steps):
    """Records the epsilon arcs between the tokens, once their costs are settled; returns the number of links."""
    states, arcs = graph
    for row in range(len(cost)):
        if mark[row] == 0:
            continue
        here = states[state[row]]
        source = (np.int64(first) + row) << 32
        for i in range(here.epsilon, here.end):
            total, next_pair, correction = cost[row] + arcs[i].cost, pair[row], np.float32(0)
            if words[i] != 0:
                step = find_step(steps, next_pair, words[i])  # known since the closure
                next_pair, correction = steps[step].next, steps[step].cost
                total += correction
            if total < cutoff:
                at = find_row(table, serial, state, pair, arcs[i].next, next_pair)
                links[num_links].total = total
                links[num_links].to = first + (np.int64(table[at]) - serial)
                links[num_links].back = source | np.int64(i)
                link_lm[num_links] = correction
                num_links += 1
    return num_links


@njit(nogil=True, cache=True)
def ending_costs(state, pair, memory, models, graph_final_cost):
    """float32 [n]: what ending costs the tokens: the graph's final cost, less the small model's and plus the big one's."""
    costs = graph_final_cost[state]
    for i in range(len(costs)):
        if costs[i] < np.inf:
            numbered = memory[0][pair[i]]
            costs[i] += final_cost(models[2], numbered.big) - final_cost(models[0], numbered.small)
    return costs
