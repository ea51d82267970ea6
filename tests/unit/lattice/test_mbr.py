"""Minimum Bayes risk decoding against all paths of small lattices, and a plain transcription of the recursion."""

import numpy as np
import pytest
from random_lattices import all_paths, random_compact, random_lattice

from asrtool.errors import AsrtoolError
from asrtool.lattice import mbr
from asrtool.lattice.ctm import linear_lattice
from asrtool.lattice.mbr import mbr_decode
from asrtool.lattice.strings import begins

DELTA = float(np.float32(1e-5))


def path_distribution(lattice, acoustic_scale, lm_scale):
    paths = all_paths(lattice)
    cost = np.array([path.cost(acoustic_scale, lm_scale) for path in paths])
    share = np.exp(cost.min() - cost)
    return [path.words for path in paths], share / share.sum()


def expected_distance(lattice, words, acoustic_scale=1.0, lm_scale=1.0):
    distances = [plain_distance(path, tuple(words)) for path in path_distribution(lattice, acoustic_scale, lm_scale)[0]]
    return float(np.dot(distances, path_distribution(lattice, acoustic_scale, lm_scale)[1]))


def plain_distance(one, two):
    row = list(range(len(two) + 1))
    for i, word in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(two, 1):
            previous, row[j] = row[j], min(previous + (word != other), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def transcribed(arcs, reference):
    """Figures 4 and 5 of the paper with lists and dictionaries: (risk, [word -> share])."""
    num_places, last = len(reference), len(arcs.frame) - 1
    rows = [(int(start), int(end), int(arcs.words[word]), share) for start, end, word, share in zip(*arcs[:4])]
    distance = [[0.0] * (num_places + 1) for _ in arcs.frame]
    for q, word in enumerate(reference):
        distance[0][q + 1] = distance[0][q] + (word != 0)

    def along(start, word):
        found = [(distance[start][0] + (1 + DELTA) * (word != 0), 2)]
        for q in range(1, num_places + 1):
            meets = distance[start][q - 1] + (word != reference[q - 1])
            inserted = distance[start][q] + (1 + DELTA) * (word != 0)
            skipped = found[-1][0] + (reference[q - 1] != 0)
            found.append(min((meets, 1), (inserted, 2), (skipped, 3)))
        return found

    for start, end, word, share in rows:
        for q, (value, _) in enumerate(along(start, word)):
            distance[end][q] += share * value
    gamma = [{} for _ in reference]
    mass = [[0.0] * (num_places + 1) for _ in arcs.frame]
    mass[last][num_places] = 1.0
    for start, end, word, share in reversed(rows):
        on_arc = [share * value for value in mass[end]]
        choices = along(start, word)
        for q in range(num_places, 0, -1):
            choice = choices[q][1]
            if choice == 2:
                mass[start][q] += on_arc[q]
                continue
            met = word if choice == 1 else 0
            gamma[q - 1][met] = gamma[q - 1].get(met, 0.0) + on_arc[q]
            if choice == 1:
                mass[start][q - 1] += on_arc[q]
            else:
                on_arc[q - 1] += on_arc[q]
        mass[start][0] += on_arc[0]
    left = 0.0
    for q in range(num_places, 0, -1):
        left += mass[0][q]
        gamma[q - 1][0] = gamma[q - 1].get(0, 0.0) + left
    return distance[last][num_places], gamma


def tree(seed, num_words=3, depth=4):
    """No two paths meet, so that the recursion is exact."""
    random = np.random.default_rng(seed)
    arcs, ends, states = [], [], 1
    frontier = [(0, 0)]
    while frontier:
        state, level = frontier.pop(0)
        if level == depth or (level and random.random() < 0.15):
            ends.append(state)
            continue
        for _ in range(random.integers(1, 4)):
            arcs.append((state, states, random.integers(0, num_words + 1), random.uniform(0, 2), 0.0))
            frontier.append((states, level + 1))
            states += 1
    lattice = random_compact(0)
    columns = list(zip(*arcs))
    lattice.arc_start, lattice.arc_end, lattice.arc_word = (np.array(column, np.int32) for column in columns[:3])
    lattice.arc_graph_cost, lattice.arc_acoustic_cost = (np.array(column, np.float32) for column in columns[3:])
    final = np.full(states, np.inf, np.float32)
    final[ends] = 0.0
    lattice.final_graph_cost = lattice.final_acoustic_cost = final
    lattice.num_frames, lattice.transition_id, lattice.final_transition_id = 0, np.zeros(0, np.int32), np.zeros(0, np.int32)
    lattice.tid_begin, lattice.final_tid_begin = begins([0] * len(arcs)), begins([0] * states)
    return lattice


def test_risk_of_a_tree_is_the_expected_edit_distance():
    better = 0
    for seed in range(40):
        lattice = tree(seed)
        best = mbr_decode(lattice, decode_mbr=False)
        paths, shares = path_distribution(lattice, 1.0, 1.0)
        assert best.words.tolist() == list(paths[int(np.argmax(shares))])
        result = mbr_decode(lattice)
        for one in (best, result):
            assert one.risk == pytest.approx(expected_distance(lattice, one.words), abs=1e-3)
        assert result.risk <= best.risk + 1e-4
        better += result.risk < best.risk - 1e-3
    assert better > 5


@pytest.mark.parametrize("acoustic_scale, lm_scale", [(1.0, 1.0), (0.3, 2.0)])
def test_risk_is_a_bound_and_confidences_are_shares(acoustic_scale, lm_scale):
    for seed in range(25):
        for lattice in (random_compact(seed, density=0.6), random_lattice(seed)):
            if not all_paths(lattice):
                with pytest.raises(AsrtoolError, match="no whole path"):
                    mbr_decode(lattice)
                continue
            result = mbr_decode(lattice, acoustic_scale, lm_scale)
            assert result.risk >= expected_distance(lattice, result.words, acoustic_scale, lm_scale) - 1e-3
            assert len(result.words) == len(result.confidences) == len(result.times)
            assert len(result.sausage) == 2 * len(result.words) + 1 == len(result.sausage_times)
            for words, shares in result.sausage:
                assert shares.sum() == pytest.approx(1, abs=1e-5) and np.all(np.diff(shares) <= 0)
                assert len(set(words.tolist())) == len(words)
            for place, word, confidence in zip(result.sausage[1::2], result.words, result.confidences):
                assert place[0][0] == word and place[1][0] == confidence
            times = result.times.reshape(-1)
            assert np.all(np.diff(times) >= -1e-4) and (
                len(times) == 0 or 0 <= times[0] <= times[-1] <= lattice.num_frames + 1e-3
            )


def test_equal_to_a_plain_transcription():
    for seed in range(20):
        lattice = random_compact(seed, num_words=4)
        arcs = mbr.prepare(lattice, 1.0, 1.0)
        for reference in ([0], [0, 1, 0], [0, 3, 0, 2, 0, 2, 0]):
            result = mbr_decode(lattice, decode_mbr=False, words=np.array(reference[1::2], np.int32))
            risk, gamma = transcribed(arcs, reference)
            assert result.risk == pytest.approx(risk, abs=1e-9)
            for (words, shares), place in zip(result.sausage, gamma, strict=True):
                expected = {word: share for word, share in place.items() if share}
                assert dict(zip(words.tolist(), shares.tolist())) == pytest.approx(expected, abs=1e-6)


def test_one_path_is_certain_and_on_time():
    lattice = linear_lattice(np.array([5, 7, 5], np.int32), np.ones(9, np.int32))
    result = mbr_decode(lattice)
    assert result.words.tolist() == [5, 7, 5] and result.confidences.tolist() == [1, 1, 1] and result.risk == 0
    assert result.times.tolist() == [[0, 3], [3, 6], [6, 9]]
    silence = mbr_decode(lattice, print_silence=True)
    assert silence.words.tolist() == [0, 5, 0, 7, 0, 5, 0]
    nothing = mbr_decode(linear_lattice(np.zeros(0, np.int32), np.ones(4, np.int32)))
    assert len(nothing.words) == 0 and nothing.risk == 0


def test_words_of_a_hypothesis_that_the_lattice_lacks_have_no_confidence():
    lattice = linear_lattice(np.array([5, 7], np.int32), np.ones(4, np.int32))
    result = mbr_decode(lattice, decode_mbr=False, words=np.array([5, 6, 9]))
    assert (
        result.words.tolist() == [5, 6, 9]
        and result.confidences.tolist()[1:] == [0, 0]
        and result.risk == pytest.approx(2, abs=1e-3)
    )


def test_what_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(mbr, "MAX_BYTES", 100)
    with pytest.raises(AsrtoolError, match="prune the lattice, or cut the recording"):
        mbr_decode(random_compact(1))
