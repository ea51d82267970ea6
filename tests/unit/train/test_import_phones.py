"""Phones with times as frames and HMM states, by hand; labels; and what is said of lengths that differ."""

from pathlib import Path

import numpy as np
import pytest

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.symbols import SymbolTable
from asrtool.io.textgrid import Interval
from asrtool.train.gmm_import_checks import describe_lengths, explain_lengths, fit_length
from asrtool.train.gmm_import_labels import PhoneLabels, phones_in_frames
from asrtool.train.gmm_import_options import ImportOptions
from asrtool.train.gmm_import_states import StateFiller, paths_of
from asrtool.train.gmm_import_times import TimedPhone, Timelines, cut_segments, with_positions
from asrtool.train.gmm_lang import GmmLang
from asrtool.tree.context_dependency import monophone_context_dependency


def chain_of(number: int) -> tuple[HmmState, ...]:
    """`number` states in a row."""
    states = [HmmState(state, state, ((state, 0.5), (state + 1, 0.5))) for state in range(number)]
    return (*states, HmmState())


def ergodic() -> tuple[HmmState, ...]:
    """Kaldi's silence: the three states in the middle lead to one another and to the last."""
    inner = [HmmState(state, state, tuple((to, 0.25) for to in range(1, 5))) for state in (1, 2, 3)]
    first = HmmState(0, 0, tuple((to, 0.25) for to in range(4)))
    return (first, *inner, HmmState(4, 4, ((4, 0.75), (5, 0.25))), HmmState())


@pytest.fixture(scope="module")
def lang(tmp_path_factory) -> GmmLang:
    """Phones SIL (1), AA_B .. AA_S (2-5), with three states, and T_B .. T_S (6-9) with one."""
    names = ["SIL", *(f"{phone}_{place}" for phone in ("AA", "T") for place in "BIES")]
    entries = {1: 0, **dict.fromkeys(range(2, 6), 1), **dict.fromkeys(range(6, 10), 2)}
    topology = HmmTopology([ergodic(), chain_of(3), chain_of(1)], entries)
    sets = [[1], [2, 3, 4, 5], [6, 7, 8, 9]]
    return GmmLang(tmp_path_factory.mktemp("lang"), topology, SymbolTable.from_symbols(["<eps>", *names, "#0"]), sets, [1], [1])


@pytest.fixture(scope="module")
def filler(lang) -> StateFiller:
    tree = monophone_context_dependency(lang.phone_sets, lang.topology)
    return StateFiller(TransitionModel.from_tree(tree, lang.topology), tree)


def states(filler: StateFiller, alignment: np.ndarray) -> list[int]:
    return filler.model.tid_to_hmm_state[alignment].tolist()


def test_frames_are_shared_evenly_among_states(filler):
    alignment = filler(np.array([1, 2, 8]), np.array([7, 4, 2]))
    assert states(filler, alignment) == [0, 1, 2, 2, 3, 4, 4, 0, 1, 2, 2, 0, 0]
    assert filler.model.alignment_to_phones(alignment) == [(1, 7), (2, 4), (8, 2)]
    loops = filler.model.tid_is_self_loop[alignment]
    assert np.flatnonzero(loops).tolist() == [3, 6, 10, 12]
    short = filler(np.array([1, 4]), np.array([3, 3]))  # silence by its shortest way
    assert states(filler, short) == [0, 1, 4, 0, 1, 2]
    with pytest.raises(AsrtoolError, match="phone 2 has 2 frames, its HMM needs 3 at least"):
        filler(np.array([2]), np.array([2]))
    with pytest.raises(AsrtoolError, match="phone 10 has no HMM"):
        filler(np.array([10]), np.array([5]))


def test_ways_through_a_chain_topology():
    """One state with separate classes: a phone of one frame has the forward class alone."""
    topology = HmmTopology([(HmmState(0, 1, ((0, 0.5), (1, 0.5))), HmmState())], {1: 0, 2: 0})
    tree = monophone_context_dependency([[1], [2]], topology)
    model = TransitionModel.from_tree(tree, topology)
    alignment = StateFiller(model, tree)(np.array([1, 2]), np.array([1, 3]))
    assert model.tid_to_pdf[alignment].tolist() == [0, 2, 3, 3]
    assert [len(path.states) for path in paths_of(ergodic())] == [5, 3]


def test_borders_go_to_the_nearest_frame_and_short_phones_take_from_both_sides(filler):
    phones = np.array([1, 2, 6, 4])
    assert filler.fit_frames(phones, np.array([5.4, 10.6, 12.5, 20.0]), 20).tolist() == [5, 6, 2, 7]
    assert filler.fit_frames(phones, np.array([9.0, 10.0, 12.0, 20.0]), 20).tolist() == [8, 3, 1, 8]  # AA needs three frames
    assert filler.fit_frames(phones, np.array([9.0, 14.0, 16.0, 19.2]), 21).tolist() == [9, 5, 2, 5]
    assert filler.fit_frames(phones, np.array([2.0, 4.0, 6.0, 10.0]), 10).tolist() == [3, 3, 1, 3]  # all that there are
    with pytest.raises(AsrtoolError, match="10 HMM states cannot fill 9 frames"):
        filler.fit_frames(phones, np.array([2.0, 4.0, 6.0, 9.0]), 9)


def test_labels(lang, tmp_path):
    (tmp_path / "map").write_text("ah AA\n")
    labels = PhoneLabels(lang, tmp_path / "map")
    asked = [("AA", "_B"), ("T", "_E"), ("ah", "_S"), ("AA_I", None), ("sil", ""), ("", ""), ("sp", None), ("<eps>", None)]
    assert [labels(*one) for one in asked] == [2, 8, 5, 3, 1, 1, 1, 1]
    assert not labels.unknown
    assert [labels("#0", None), labels("ZZ", "_B"), labels("ZZ", "_E")] == [0, 0, 0]
    with pytest.raises(AsrtoolError, match=r"x: 2 labels are no phones of .*: 'ZZ' \(2\), '#0' \(1\); give --phone-map"):
        labels.check(tmp_path / "x")
    assert labels("T", None) == 0 and labels.positions_missing
    (tmp_path / "map").write_text("ah OW\n")
    with pytest.raises(AsrtoolError, match="map: ah: 'OW' is no phone of"):
        PhoneLabels(lang, tmp_path / "map")


def test_pauses_become_silence_and_small_gaps_are_closed(lang, filler):
    labels = PhoneLabels(lang)
    timed = [TimedPhone(0.10, 0.20, "AA", "_B"), TimedPhone(0.212, 0.30, "T", "_E"), TimedPhone(0.40, 0.59, "AA", "_S")]
    phones, lengths = phones_in_frames(timed, labels, filler, 60, 0.01, 0.0)
    assert phones.tolist() == [1, 2, 8, 1, 5] and lengths.tolist() == [10, 11, 9, 10, 20]
    phones, lengths = phones_in_frames(timed, labels, filler, 70, 0.01, 0.0)  # silence to the end
    assert phones.tolist() == [1, 2, 8, 1, 5, 1] and lengths.tolist()[-2:] == [19, 11]
    phones, lengths = phones_in_frames(timed, labels, filler, None, 0.01, 0.05)
    assert phones.tolist() == [1, 2, 8, 1, 5] and lengths.tolist() == [5, 11, 9, 10, 19]
    with pytest.raises(
        AsrtoolError, match=r"its phones go on until 0\.590 s, the features until 0\.500 s \(50 frames of 0\.01 s\)"
    ):
        phones_in_frames(timed, labels, filler, 50, 0.01, 0.0)
    with pytest.raises(AsrtoolError, match=r"the phone 'T' at 0\.150 s begins before"):
        phones_in_frames([timed[0], TimedPhone(0.15, 0.3, "T", "_E")], labels, filler, 60, 0.01, 0.0)
    with pytest.raises(AsrtoolError, match="no phones"):
        phones_in_frames([], labels, filler, 60, 0.01, 0.0)


def test_positions_in_words_and_segments_of_recordings():
    phones = [
        Interval(0.0, 0.1, "sil"),
        Interval(0.1, 0.2, "T"),
        Interval(0.2, 0.3, "AA"),
        Interval(0.3, 0.4, "T"),
        Interval(0.4, 0.5, "AA"),
    ]
    timed = with_positions(phones, [Interval(0.1, 0.4, "TAT"), Interval(0.4, 0.5, "A")])
    assert [one.position for one in timed] == ["", "_B", "_I", "_E", "_S"]

    segments = {"a": ("rec", 0.0, 0.22), "b": ("rec", 0.22, -1.0), "c": ("other", 0.0, 1.0)}
    data = DataDir(Path("data"), dict.fromkeys(segments, "speaker"), segments=segments)
    found, foreign = cut_segments(Timelines({"rec": timed, "unknown": []}), data)
    assert foreign == ["unknown"] and list(found) == ["a", "b"]
    assert [one.label for one in found["a"]] == ["sil", "T"]
    assert [round(one.start_s, 3) for one in found["b"]] == [0.0, 0.08, 0.18]


def test_lengths_are_explained():
    frames = np.arange(100, 140)

    def lengths(found, due):
        return {str(number): one for number, one in enumerate(zip(found.tolist(), due.tolist()))}

    assert "--snip-edges=true there, false here" in explain_lengths(lengths(frames, frames + 2))
    assert explain_lengths(lengths(frames, frames - 1)).startswith("perhaps --snip-edges=false there, true here")
    assert "give --frame-subsampling-factor 3" in explain_lengths(lengths(frames, 3 * frames - 2))
    assert "its frame shift is 1.25 times" in explain_lengths(lengths(4 * frames, 5 * frames))
    assert "check that these are the same recordings" in explain_lengths(lengths(frames, frames[::-1] * 2))
    assert describe_lengths(lengths(frames, frames + np.arange(40) // 30)) == "30 by +0 frames, 10 by -1 frames"


def test_a_length_is_made_to_fit_at_both_ends(filler):
    alignment = filler(np.array([1, 2, 6, 1]), np.array([6, 5, 4, 7]))
    for frames, expected in ((25, [7, 5, 4, 9]), (20, [5, 5, 4, 6]), (23, [6, 5, 4, 8])):
        assert filler.model.phone_segments(fit_length(alignment, frames, filler.model))[1].tolist() == expected
    with pytest.raises(AsrtoolError, match="cannot fill"):
        fit_length(alignment, 5, filler.model)


def test_options():
    for wrong in ({"format": "htk"}, {"length_tolerance": -1}, {"frame_shift_s": 0.0}, {"frame_subsampling_factor": -1}):
        with pytest.raises(AsrtoolError, match="--"):
            ImportOptions(**wrong)
