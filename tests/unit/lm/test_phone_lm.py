"""Phone language models: counts by hand, plain counting, and what joining histories must leave as it is."""

from collections import Counter

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.lm.phone_lm import PhoneLmOptions, estimate_phone_lm

SENTENCES = [[1, 2, 3], [1, 2, 2], [3]]


def random_sentences(number: int = 200, num_phones: int = 7, seed: int = 0) -> list[np.ndarray]:
    """With some structure: the next phone is likely to be one of two that the last two phones say."""
    rng = np.random.default_rng(seed)
    likely = rng.integers(1, num_phones + 1, (num_phones + 1, num_phones + 1, 2))
    sentences = []
    for _ in range(number):
        sentence = [0, 0]
        for _ in range(int(rng.integers(1, 15))):
            sentence.append(
                int(rng.choice(likely[sentence[-2], sentence[-1]])) if rng.random() < 0.8 else int(rng.integers(1, 8))
            )
        sentences.append(np.array(sentence[2:]))
    return sentences


def arcs(lm) -> dict:
    """(history, phone) -> (probability, next history); phone 0 is the end."""
    graph, result = lm.graph, {}
    for state, history in enumerate(lm.histories):
        for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1]):
            assert graph.arc_ilabel[arc] == graph.arc_olabel[arc]
            key = history, int(graph.arc_ilabel[arc])
            assert key not in result
            result[key] = float(np.exp(-graph.arc_cost[arc])), lm.histories[graph.arc_nextstate[arc]]
        if graph.final_cost[state] < np.inf:
            result[history, 0] = float(np.exp(-graph.final_cost[state])), None
    return result


def log_prob(lm, sentence) -> float:
    graph, state, total = lm.graph, lm.graph.start, 0.0
    for phone in sentence:
        here = slice(graph.arc_begin[state], graph.arc_begin[state + 1])
        (place,) = np.flatnonzero(graph.arc_ilabel[here] == phone)
        total -= graph.arc_cost[here][place]
        state = graph.arc_nextstate[here][place]
    return float(total - graph.final_cost[state])


def test_bigrams_by_hand():
    lm = estimate_phone_lm(SENTENCES, PhoneLmOptions(2, 2, 0))
    expected = {
        ((0,), 1): (2 / 3, (1,)), ((0,), 3): (1 / 3, (3,)), ((1,), 2): (1.0, (2,)),
        ((2,), 2): (1 / 3, (2,)), ((2,), 3): (1 / 3, (3,)), ((2,), 0): (1 / 3, None), ((3,), 0): (1.0, None),
    }  # fmt: skip
    found = arcs(lm)
    assert found.keys() == expected.keys()
    for key, (probability, following) in expected.items():
        assert found[key][0] == pytest.approx(probability, rel=1e-6) and found[key][1] == following
    assert lm.histories[lm.graph.start] == (0,) and lm.num_phones == 10
    # 2/3 twice, 1/3 four times, 1 four times
    assert lm.perplexity == pytest.approx(((2 / 3) ** 2 * (1 / 3) ** 4) ** (-1 / 10))


def test_unigrams_by_joining_everything():
    """With n-grams of order 1 alone kept, all counts go to the empty history."""
    lm = estimate_phone_lm(SENTENCES, PhoneLmOptions(2, 1, 0))
    assert lm.histories == [()]
    assert {phone: probability for (_, phone), (probability, _) in arcs(lm).items()} == pytest.approx(
        {0: 0.3, 1: 0.2, 2: 0.3, 3: 0.2}, rel=1e-6
    )


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_without_joining_they_are_relative_frequencies(order):
    sentences = random_sentences()
    lm = estimate_phone_lm(sentences, PhoneLmOptions(order, order, 0))
    counts, totals = Counter(), Counter()
    for sentence in sentences:
        tokens = [0, *sentence.tolist(), 0]
        for place in range(1, len(tokens)):
            history = tuple(tokens[max(0, place - order + 1) : place])
            counts[history, tokens[place]] += 1
            totals[history] += 1
    found = arcs(lm)
    assert found.keys() == counts.keys()
    for (history, phone), count in counts.items():
        probability, following = found[history, phone]
        assert probability == pytest.approx(count / totals[history], rel=1e-5)
        assert phone == 0 or following == (*history, phone)[-(order - 1) :]
    assert lm.num_phones == sum(totals.values())


@pytest.mark.parametrize(("order", "kept"), [(4, 3), (5, 3), (4, 2), (3, 1)])
@pytest.mark.parametrize("extra", [0, 10, 60])
def test_joined_histories(order, kept, extra):
    """As many as asked for; every sentence still has a path; probabilities sum to 1; the perplexity is that of the sentences."""
    sentences = random_sentences()
    whole = estimate_phone_lm(sentences, PhoneLmOptions(order, order, 0))
    lm = estimate_phone_lm(sentences, PhoneLmOptions(order, kept, extra))
    shorter = sum(len(history) < kept - 1 for history in lm.histories)  # at the beginnings of utterances
    basic = {history[len(history) - kept + 1 :] for history in whole.histories if len(history) >= kept - 1}
    assert len(lm.histories) <= max(len(basic) + extra, shorter + len(basic))
    assert len(set(lm.histories)) == len(lm.histories) == lm.graph.num_states
    sums = Counter()
    for (history, _), (probability, _) in arcs(lm).items():
        sums[history] += probability
    assert all(total == pytest.approx(1, rel=1e-5) for total in sums.values()) and len(sums) == lm.graph.num_states
    total = sum(log_prob(lm, sentence) for sentence in sentences)
    number = sum(len(sentence) + 1 for sentence in sentences)
    assert lm.num_phones == number and lm.perplexity == pytest.approx(np.exp(-total / number), rel=1e-5)
    assert whole.perplexity <= lm.perplexity


def test_the_history_that_loses_least_goes_first():
    """After 2 3 and 1 3 the same follows, after 4 3 something else: the first two become one at no loss."""
    sentences = [[1, 3, 5]] * 4 + [[2, 3, 5]] * 3 + [[4, 3, 6]] * 3
    lm = estimate_phone_lm(sentences, PhoneLmOptions(3, 2, 1))
    whole = estimate_phone_lm(sentences, PhoneLmOptions(3, 3, 0))
    assert lm.perplexity == pytest.approx(whole.perplexity)
    assert (4, 3) in lm.histories and (3,) in lm.histories
    assert not {(1, 3), (2, 3)} & set(lm.histories)


def test_more_extra_states_fit_better():
    sentences = random_sentences(400)
    fits = [estimate_phone_lm(sentences, PhoneLmOptions(4, 3, extra)).perplexity for extra in (0, 20, 60, 10_000)]
    assert fits == sorted(fits, reverse=True) and fits[0] > fits[-1]


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([], "no phones in the alignments"),
        ([[]], "no phones"),
        ([[1, 0]], "numbered from 1"),
        ([[10**6] * 4], "order 4 is too high"),
    ],
)
def test_bad_sequences(sentences, message):
    with pytest.raises(AsrtoolError, match=message):
        estimate_phone_lm([np.array(sentence, np.int64) for sentence in sentences])


@pytest.mark.parametrize("options", [(1, 1, 0), (3, 4, 0), (3, 0, 0), (3, 3, -1)])
def test_bad_options(options):
    with pytest.raises(ValueError, match="must be"):
        PhoneLmOptions(*options)
