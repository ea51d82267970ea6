"""Letters and phones of words cut into pieces that belong together, by expectation-maximisation and by the best path.

The pieces of a word of L letters and T phones are the arcs of a grid with nodes (letters taken, phones taken). All kernels walk
them in one order: words, letters taken, phones taken, shapes (rows (letters, phones) of a piece), those that still fit. Words are
given as letter_begin, phone_begin int64 [W + 1] and shapes int64 [K, 2].
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def piece_codes(letters, letter_begin, phones, phone_begin, shapes, bits, codes):
    """A number for what each piece holds.

    letters, phones int32 from 1; bits int64 [2]: of a letter, of a phone. Fills codes int64 [A] where it is not empty: the
    letters and then the phones of a piece, each list filled up with 0. Returns A.
    """
    arc = 0
    most_letters, most_phones = shapes[:, 0].max(), shapes[:, 1].max()
    for word in range(len(letter_begin) - 1):
        first_letter, first_phone = letter_begin[word], phone_begin[word]
        num_letters, num_phones = letter_begin[word + 1] - first_letter, phone_begin[word + 1] - first_phone
        for i in range(num_letters):
            for j in range(num_phones + 1):
                for shape in range(len(shapes)):
                    if i + shapes[shape, 0] > num_letters or j + shapes[shape, 1] > num_phones:
                        continue
                    if len(codes):
                        code = 0
                        for place in range(most_letters):
                            code <<= bits[0]
                            if place < shapes[shape, 0]:
                                code |= letters[first_letter + i + place]
                        for place in range(most_phones):
                            code <<= bits[1]
                            if place < shapes[shape, 1]:
                                code |= phones[first_phone + j + place]
                        codes[arc] = code
                    arc += 1
    return arc


@njit(nogil=True, cache=True)
def expected_counts(letter_begin, phone_begin, shapes, pieces, weight, counts, log_total):
    """Adds to counts float64 [P] how often each piece occurs, by the weights float64 [P] of the pieces.

    pieces int32 [A]: which piece each arc is; log_total float64 [W]: gets the log of the sum over a word's paths, -inf for none.
    Weights must be such that a product over a word neither over- nor underflows.
    """
    arc = 0
    for word in range(len(letter_begin) - 1):
        num_letters, num_phones = letter_begin[word + 1] - letter_begin[word], phone_begin[word + 1] - phone_begin[word]
        forward = np.zeros((num_letters + 1, num_phones + 1))
        backward = np.zeros((num_letters + 1, num_phones + 1))
        forward[0, 0] = backward[num_letters, num_phones] = 1.0
        first = arc
        for i in range(num_letters):
            for j in range(num_phones + 1):
                for shape in range(len(shapes)):
                    to_i, to_j = i + shapes[shape, 0], j + shapes[shape, 1]
                    if to_i <= num_letters and to_j <= num_phones:
                        forward[to_i, to_j] += forward[i, j] * weight[pieces[arc]]
                        arc += 1
        total = forward[num_letters, num_phones]
        log_total[word] = np.log(total) if total > 0.0 else -np.inf
        if not total > 0.0:
            continue
        back = arc
        for i in range(num_letters - 1, -1, -1):
            for j in range(num_phones, -1, -1):
                for shape in range(len(shapes) - 1, -1, -1):
                    to_i, to_j = i + shapes[shape, 0], j + shapes[shape, 1]
                    if to_i <= num_letters and to_j <= num_phones:
                        back -= 1
                        share = weight[pieces[back]] * backward[to_i, to_j]
                        backward[i, j] += share
                        counts[pieces[back]] += forward[i, j] * share / total
        assert back == first


@njit(nogil=True, cache=True)
def best_pieces(letter_begin, phone_begin, shapes, pieces, cost, path, path_begin):
    """The pieces of each word's cheapest path.

    cost float64 [P], infinity for pieces that are not to be used. Fills path int32 (room for a piece a letter) and path_begin
    int64 [W + 1]; a word without a path has none.
    """
    arc, end = 0, 0
    path_begin[0] = 0
    for word in range(len(letter_begin) - 1):
        num_letters, num_phones = letter_begin[word + 1] - letter_begin[word], phone_begin[word + 1] - phone_begin[word]
        best = np.full((num_letters + 1, num_phones + 1), np.inf)
        taken = np.zeros((num_letters + 1, num_phones + 1, 2), np.int64)  # arc, shape
        best[0, 0] = 0.0
        for i in range(num_letters):
            for j in range(num_phones + 1):
                for shape in range(len(shapes)):
                    to_i, to_j = i + shapes[shape, 0], j + shapes[shape, 1]
                    if to_i <= num_letters and to_j <= num_phones:
                        if best[i, j] + cost[pieces[arc]] < best[to_i, to_j]:
                            best[to_i, to_j] = best[i, j] + cost[pieces[arc]]
                            taken[to_i, to_j, 0], taken[to_i, to_j, 1] = arc, shape
                        arc += 1
        start = end
        if best[num_letters, num_phones] < np.inf:
            i, j = num_letters, num_phones
            while i > 0:
                path[end] = pieces[taken[i, j, 0]]
                shape = taken[i, j, 1]
                i, j = i - shapes[shape, 0], j - shapes[shape, 1]
                end += 1
            path[start:end] = path[start:end][::-1].copy()
        path_begin[word + 1] = end
