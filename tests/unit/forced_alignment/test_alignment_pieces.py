"""Times of frames, words among phones, cuts of long recordings, grammars biased to a transcript; comparisons of times."""

import itertools
import math

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.forced_alignment.biased_graph import BACKOFF, biased_grammar
from asrtool.forced_alignment.compare import Stretch, compare
from asrtool.forced_alignment.lexicon import Lexicon, Word
from asrtool.forced_alignment.long_recordings import Heard, PossibleCut, choose_cuts, possible_cuts
from asrtool.forced_alignment.phone_table import PhoneTable
from asrtool.forced_alignment.pronunciations import Vocabulary
from asrtool.forced_alignment.times import boundaries_s, group_words
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.io.symbols import SymbolTable


def test_frames_follow_each_other_from_start_to_end():
    assert boundaries_s(4, 0.01, 0.061) == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.061])
    assert boundaries_s(4, 0.01, 0.0299) == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.03])


def test_words_are_found_among_phones_and_silences():
    spelled = {"a": [((1,), 1.0), ((1, 2), 0.5)], "b": [((2, 3), 1.0), ((3,), 1.0)]}
    assert group_words([9, 1, 2, 3, 9], ["a", "b"], spelled, 9) in ([(1, 2), (2, 4)], [(1, 3), (3, 4)])
    assert group_words([1, 9, 1, 2, 9, 2, 3], ["a", "a", "b"], spelled, 9) == [(0, 1), (2, 4), (5, 7)]
    with pytest.raises(AsrtoolError, match="not those of the words"):
        group_words([1, 9, 9, 3], ["a", "b"], spelled, 9)


def test_cuts_lie_between_words_that_were_recognised_in_a_row():
    symbols = ["a", "b", "c", "d", "e", "f", "g", "h"]
    heard = [Heard(word, 100 * index, 100 * index + 80) for index, word in enumerate(["a", "b", "c", "x", "e", "f", "g", "h"])]
    found = possible_cuts(heard, symbols)
    assert [one.word for one in found] == [1, 2, 5, 6, 7]
    assert found[0] == PossibleCut(90, 1, 20)
    assert possible_cuts([Heard("a", 0, 10), Heard("b", 10, 20), Heard("z", 20, 30)], symbols) == []


def test_cuts_prefer_long_pauses_and_keep_pieces_short():
    possible = [PossibleCut(frame, index, 40 if frame == 700 else 2) for index, frame in enumerate(range(100, 3000, 100), 1)]
    cuts = choose_cuts(possible, 3000, 1000, 200, 20.0)
    assert cuts[0] == (700, 7)
    frames = [0, *(frame for frame, _ in cuts), 3000]
    assert all(200 <= end - begin <= 1000 for begin, end in itertools.pairwise(frames))
    assert choose_cuts([PossibleCut(2000, 5, 3)], 3000, 1000, 200, 20.0) == [(2000, 5)]
    assert choose_cuts([], 3000, 1000, 200, 20.0) == []


def grammar_cost(graph, words, backoff):
    """The cheapest way of a word sequence, by trying all."""
    best = {graph.start: 0.0}

    def backed_off(costs):
        todo = list(costs)
        while todo:
            state = todo.pop()
            for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1]):
                if graph.arc_ilabel[arc] == backoff:
                    target, cost = int(graph.arc_nextstate[arc]), costs[state] + float(graph.arc_cost[arc])
                    if cost < costs.get(target, math.inf):
                        costs[target] = cost
                        todo.append(target)
        return costs

    for word in words:
        following = {}
        for state, cost in backed_off(best).items():
            for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1]):
                if graph.arc_ilabel[arc] == word:
                    target = int(graph.arc_nextstate[arc])
                    following[target] = min(following.get(target, math.inf), cost + float(graph.arc_cost[arc]))
        best = following
    return min(best[state] + float(graph.final_cost[state]) for state in best)


def test_biased_grammar_has_the_transcripts_trigrams():
    transcript, backoff = [1, 2, 3, 1, 2, 4], 9
    graph = biased_grammar(transcript, backoff)
    stay, leave = -math.log(1 - BACKOFF), -math.log(BACKOFF)
    unigram = {1: math.log(3), 2: math.log(3), 3: math.log(6), 4: math.log(6)}
    assert grammar_cost(graph, [1, 2, 3], backoff) == pytest.approx(unigram[1] + stay + stay + math.log(2), abs=1e-5)
    assert grammar_cost(graph, [2, 1], backoff) == pytest.approx(unigram[2] + leave + unigram[1], abs=1e-5)
    assert grammar_cost(graph, [1, 2, 4, 3], backoff) == pytest.approx(
        unigram[1] + stay + stay + math.log(2) + 2 * leave + unigram[3], abs=1e-5
    )  # fmt: skip
    assert grammar_cost(biased_grammar([5], backoff), [5], backoff) == pytest.approx(0.0, abs=1e-6)


def test_comparison_counts_boundaries_of_what_both_have():
    wanted = {"r": [Stretch("a", 0.1, 0.2), Stretch("b", 0.2, 0.3), Stretch("c", 0.5, 0.6)], "only": [Stretch("a", 0, 1)]}
    found = {"r": [Stretch("a", 0.11, 0.2), Stretch("x", 0.2, 0.28), Stretch("c", 0.46, 0.605)]}
    result = compare(wanted, found)
    assert result.labels == ["a", "c", ""]
    assert np.allclose(result.errors_s, [0.01, -0.04, 0.005])
    assert (result.num_matched, result.num_reference) == (2, 3)
    assert "66.7% within 30" in result.summary()
    assert result.by_label().splitlines()[1].startswith("c\t1\t40.0\t-40.0\t0.0%")
    with pytest.raises(AsrtoolError, match="no recording"):
        compare(wanted, {"other": []})


def test_words_that_no_dictionary_has_are_guessed_or_noise(tmp_path):
    topology = HmmTopology([(HmmState(0, 0, ((0, 0.5), (1, 0.5))), HmmState())], dict.fromkeys(range(1, 11), 0))
    names = ["<eps>", "SIL", "SPN", *(f"{phone}{place}" for phone in ("a", "b") for place in ("_B", "_E", "_I", "_S")), "#0"]
    SymbolTable.from_symbols(names).write(tmp_path / "phones.txt")
    phones = PhoneTable.of_model(tmp_path / "phones.txt", topology)
    assert (phones.position_dependent, phones.silence, phones.spoken_noise) == (True, "SIL", "SPN")
    guesses = {"abba": [(["a", "b", "a"], 0.6), (["x"], 0.3)], "odd": [(["x"], 0.9)]}
    lexicon = Lexicon({"ab": {("a", "b"): 1.0, ("a", "x"): 0.5}, "x": {("x",): 1.0}})
    vocabulary = Vocabulary(phones, lexicon, lambda word, _: guesses[word])
    words = [Word("Ab", "ab"), Word("abba", ""), Word("odd", ""), Word("odd", "")]
    assert vocabulary.add(words) == ["ab", "abba", "odd", "odd"]
    ids = phones.symbols.symbol_to_id
    assert vocabulary.pronunciations["ab"] == [((ids["a_B"], ids["b_E"]), 1.0)]
    assert vocabulary.pronunciations["abba"] == [((ids["a_B"], ids["b_I"], ids["a_E"]), 0.6)]
    assert vocabulary.pronunciations["odd"] == [((ids["SPN"],), 1.0)]
    assert (vocabulary.unknown, vocabulary.guessed) == ({"abba": 1, "odd": 2}, {"abba": ["a b a"]})
    with pytest.raises(AsrtoolError, match="'x': the model has no phone 'x'"):
        vocabulary.add([Word("x", "x")])
    vocabulary.write_lang(tmp_path / "lang", 0.5)
    assert SymbolTable.read(tmp_path / "lang" / "words.txt").symbols() == ["<eps>", "<unk>", "ab", "abba", "odd"]
