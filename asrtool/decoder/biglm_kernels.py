"""The inner loops of the search with two language models: composed states, cutoff, emitting arcs, epsilon closure.

The graph holds a small language model; every word's cost is corrected by that of a big one (see biglm). A token stands at a
composed state: a graph state and a pair of language model states (small, big), each distinct pair having a number. A frame's
tokens are consecutive rows of `tokens` BIG_TOKEN [N]; `table` int32 [2^k] is a hash table of token ids by composed state. Ids
only grow, so an entry below the first id of the frame is free, and nothing is cleared from frame to frame.

The pairs and the steps between them are kept in `memory`, a tuple of
    pairs PAIR [P]; pair_table int32 [2^m]: their numbers by hash, -1 where free;
    steps STEP [2^n]: what a word costs after a pair, by hash of both, pair -1 where free; used int64 [2]: steps, pairs.
`models` is (arrays of the small model, its word ids, arrays of the big one, its word ids): see lm.compact_model; word ids are
int32 [number of the graph's words]. No loop here allocates: the caller (biglm_search_kernels) grows arrays between these calls.
"""

import numpy as np
from numba import njit

from asrtool.io.kernel_cache import forget_older_than
from asrtool.lm import compact_kernels
from asrtool.lm.compact_kernels import advance

forget_older_than(__file__, compact_kernels)

U = np.uint64
# pdf: -1 on epsilon arcs; next_epsilon_cost: the next state's cheapest epsilon arc (inf: none; -inf: one has a word)
BIG_ARC = np.dtype([("next", "i4"), ("pdf", "i4"), ("cost", "f4"), ("next_epsilon_cost", "f4"), ("word", "i4")])
# previous: token id, arc: the arc from there (-1 at the start); visited: 1 while on the closure's stack, 2 once taken from it;
# pair: number of the pair of language model states
BIG_TOKEN = np.dtype(
    [("cost", "f8"), ("state", "i4"), ("previous", "i4"), ("arc", "i4"), ("visited", "i4"), ("pair", "i4"), ("unused", "i4")]
)
# an arc taken from an active token; pair: the pair it leads to
BIG_CANDIDATE = np.dtype([("cost", "f8"), ("token", "i4"), ("arc", "i4"), ("pair", "i4"), ("lm_cost", "f4")])
# a link of the lattice: total is the cost of the best path to its start and over it; to: -1 once pruned; lm_cost: of its word
BIG_LINK = np.dtype([("total", "f8"), ("start", "i4"), ("to", "i4"), ("arc", "i4"), ("lm_cost", "f4")])
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
def find_token(table, tokens, first, state, pair):
    """The row of `table` with the frame's token at a composed state, or the free row where it belongs."""
    at = place(state, pair, len(table))
    while table[at] >= first:
        token = tokens[U(table[at])]
        if token.state == state and token.pair == pair:
            break
        at = (at + U(1)) & U(len(table) - 1)
    return at


@njit(nogil=True, cache=True)
def score_composed(arcs, tokens, active, frame_cost, adaptive_beam, candidates, memory, models):
    """Lists the arcs of the active tokens that are within adaptive_beam of the best so far.

    frame_cost: float32 [P], scaled acoustic costs of the frame; candidates: BIG_CANDIDATE [C].
    Returns (number of candidates, final cutoff: some early candidates are above it).
    """
    count = U(0)
    cutoff = np.inf
    steps = memory[2]
    for row in range(U(len(active))):
        token = active[row, 0]
        token_cost, pair = tokens[U(token)].cost, tokens[U(token)].pair
        for i in range(U(active[row, 1]), U(active[row, 2])):
            arc = arcs[i]
            new_cost = token_cost + arc.cost + frame_cost[U(arc.pdf)]
            candidate = candidates[count]
            candidate.pair = pair
            candidate.lm_cost = 0.0
            if arc.word != 0:
                at = find_step(steps, pair, arc.word)
                if steps[at].pair < 0:
                    fill_step(memory, models, pair, arc.word, at)
                candidate.pair = steps[at].next
                candidate.lm_cost = steps[at].cost
                new_cost += steps[at].cost
            candidate.cost = new_cost
            candidate.token = token
            candidate.arc = i
            count += U(1) if new_cost < cutoff else U(0)
            tighter = new_cost + adaptive_beam
            cutoff = tighter if tighter < cutoff else cutoff
    return count, cutoff


@njit(nogil=True, cache=True)
def make_composed_tokens(arcs, table, tokens, end, candidates, cutoff, stack, links, num_links, keep_links):
    """Turns BIG_CANDIDATE [C] into tokens from id `end` on, the cheapest for each composed state.

    Those that an epsilon arc may leave within the cutoff go on `stack` int32 [N]. With keep_links every candidate within the
    cutoff is recorded in `links` BIG_LINK [L]. Returns (end, height of the stack, num_links).
    """
    first = end
    height = 0
    for row in range(U(len(candidates))):
        candidate = candidates[row]
        new_cost = candidate.cost
        if not new_cost < cutoff:
            continue
        arc = arcs[U(candidate.arc)]
        at = find_token(table, tokens, first, arc.next, candidate.pair)
        to = table[at]
        closing = np.int32(1) if new_cost + arc.next_epsilon_cost < cutoff else np.int32(0)
        if to < first:
            to = np.int32(end)
            table[at] = to
            token = tokens[U(to)]
            token.cost = new_cost
            token.state = arc.next
            token.pair = candidate.pair
            token.previous = candidate.token
            token.arc = candidate.arc
            token.visited = closing
            stack[U(height)] = to
            height += closing
            end += 1
        else:
            token = tokens[U(to)]
            if new_cost < token.cost:
                token.cost = new_cost
                token.previous = candidate.token
                token.arc = candidate.arc
                stack[U(height)] = to
                height += closing & (1 - token.visited)
                token.visited = closing | token.visited
        if keep_links:
            link = links[U(num_links)]
            link.total = new_cost
            link.start = candidate.token
            link.to = to
            link.arc = candidate.arc
            link.lm_cost = candidate.lm_cost
            num_links += 1
    return end, height, num_links


@njit(nogil=True, cache=True)
def close_composed_epsilon(offsets, arcs, table, tokens, first, end, cutoff, stack, height, memory, models):
    """Follows epsilon arcs from the tokens on the stack until no cost falls (the graph has no epsilon cycle).

    Returns (end, stack height, arcs looked at); a height above 0 says that tokens, table or memory are full: grow and call again.
    """
    num_arcs = 0
    pairs, _, steps, used = memory
    while height > 0:
        from_id = stack[U(height - 1)]
        position = U(2) * U(tokens[U(from_id)].state)
        begin_arc, end_arc = offsets[position + U(1)], offsets[position + U(2)]
        room = end_arc - begin_arc
        if end + room > len(tokens) or 2 * (end - first + room) > len(table) or used[1] + room > len(pairs):
            break
        if 2 * (used[0] + room) > len(steps):
            break
        height -= 1
        tokens[U(from_id)].visited = 2
        from_cost, pair = tokens[U(from_id)].cost, tokens[U(from_id)].pair
        num_arcs += room
        for i in range(U(begin_arc), U(end_arc)):
            arc = arcs[i]
            new_cost = from_cost + arc.cost
            new_pair = pair
            if arc.word != 0:
                row = find_step(steps, pair, arc.word)
                if steps[row].pair < 0:
                    fill_step(memory, models, pair, arc.word, row)
                new_cost += steps[row].cost
                new_pair = steps[row].next
            if not new_cost < cutoff:
                continue
            at = find_token(table, tokens, first, arc.next, new_pair)
            to = table[at]
            if to < first:
                to = np.int32(end)
                table[at] = to
                end += 1
                tokens[U(to)].cost = np.inf
                tokens[U(to)].state = arc.next
                tokens[U(to)].pair = new_pair
                tokens[U(to)].visited = 0
            token = tokens[U(to)]
            if new_cost < token.cost:
                token.cost = new_cost
                token.previous = from_id
                token.arc = i
                if token.visited != 1 and new_cost + arc.next_epsilon_cost < cutoff:
                    token.visited = 1
                    stack[U(height)] = to
                    height += 1
    return end, height, num_arcs


@njit(nogil=True, cache=True)
def link_composed_epsilon(offsets, arcs, table, tokens, first, end, cutoff, links, num_links, steps):
    """Records the epsilon arcs between the tokens first:end, once their costs are settled; returns the number of links."""
    for start in range(first, end):
        if tokens[start].visited == 0:
            continue
        position = 2 * tokens[start].state
        for i in range(offsets[position + 1], offsets[position + 2]):
            arc = arcs[i]
            pair, lm_cost = tokens[start].pair, np.float32(0)
            if arc.word != 0:
                row = find_step(steps, pair, arc.word)  # known since the closure
                pair, lm_cost = steps[row].next, steps[row].cost
            new_cost = tokens[start].cost + arc.cost + lm_cost
            if new_cost < cutoff:
                links[num_links].total = new_cost
                links[num_links].start = start
                links[num_links].to = table[find_token(table, tokens, first, arc.next, pair)]
                links[num_links].arc = i
                links[num_links].lm_cost = lm_cost
                num_links += 1
    return num_links
