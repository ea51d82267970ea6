"""Warped alignments are paths through the same states, of the wanted length, with borders in proportion."""

import itertools

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.hmm.warp_alignment import warp_alignment, warp_lengths
from asrtool.io.alignment import read_alignments


@pytest.fixture(scope="module")
def kaldi_alignments(kaldi_reference):
    directory = kaldi_reference / "gmm" / "tri3b_ali"
    model = TransitionModel.read_file(kaldi_reference / "gmm" / "tri3b" / "final.mdl")
    return model, list(itertools.islice(read_alignments(directory).items(), 25))


def visits(alignment: np.ndarray, model: TransitionModel) -> list[tuple[int, int]]:
    """(transition-id that leaves the state, frames) of a reordered alignment, frame by frame."""
    found: list[list[int]] = []
    for tid in alignment.tolist():
        if model.tid_is_self_loop[tid]:
            assert model.tid_to_tuple[tid] == model.tid_to_tuple[found[-1][0]]
            found[-1][1] += 1
        else:
            found.append([tid, 1])
    return [tuple(pair) for pair in found]


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.0, 1.1, 1.3])
def test_kaldis_alignments(kaldi_alignments, speed):
    model, alignments = kaldi_alignments
    moved, borders = 0.0, 0
    for _, alignment in alignments:
        num_frames = round(len(alignment) / speed)
        warped = warp_alignment(alignment, num_frames, model)
        assert warped.dtype == np.int32 and len(warped) == num_frames
        before, after = visits(alignment, model), visits(warped, model)
        assert [tid for tid, _ in after] == [tid for tid, _ in before]
        assert np.array_equal(model.phone_segments(warped)[0], model.phone_segments(alignment)[0])
        ideal = np.cumsum([frames for _, frames in before]) * num_frames / len(alignment)
        moved += np.abs(np.cumsum([frames for _, frames in after]) - ideal).sum()
        borders += len(before)
        if speed == 1:
            assert np.array_equal(warped, alignment)
    assert moved / borders < (0.5 if speed <= 1 else 1.0)  # rounding alone is a quarter of a frame


def test_self_loops_before_their_transition(kaldi_alignments):
    model, alignments = kaldi_alignments
    reordered = alignments[0][1]
    frames = visits(reordered, model)
    plain = np.concatenate([[model.self_loop[model.tid_to_tuple[tid]]] * (number - 1) + [tid] for tid, number in frames])
    warped = warp_alignment(plain, len(plain) + 30, model)
    expected = warp_alignment(reordered, len(plain) + 30, model)
    assert not np.array_equal(warped, expected)
    assert np.array_equal(model.tid_to_tuple[warped], model.tid_to_tuple[expected])
    assert np.array_equal(model.phone_segments(warped)[1], model.phone_segments(expected)[1])


@pytest.mark.parametrize("seed", range(20))
def test_lengths_are_as_close_as_any_enumeration_finds(seed):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 5, size=5)
    total = int(random.integers(5, 12))
    found = warp_lengths(lengths, total)
    assert found.sum() == total and found.min() >= 1
    ideal = np.cumsum(lengths) * total / lengths.sum()

    def worst(borders) -> float:
        return np.abs(np.array(borders) - ideal[:-1]).max()

    best = min(worst(borders) for borders in itertools.combinations(range(1, total), 4))
    assert worst(np.cumsum(found)[:-1]) <= max(best, 0.5) + 0.5


def test_borders_give_way_to_both_sides_alike():
    assert warp_lengths(np.array([9, 1, 1, 1, 9]), 7).tolist() == [2, 1, 1, 1, 2]
    assert warp_lengths(np.array([1, 1, 1, 20]), 8).tolist() == [1, 1, 1, 5]
    assert warp_lengths(np.array([20, 1, 1, 1]), 8).tolist() == [5, 1, 1, 1]
    assert warp_lengths(np.array([3, 2]), 10).tolist() == [6, 4]
    assert warp_lengths(np.array([], int), 0).tolist() == []


def test_a_state_without_a_loop_keeps_its_one_frame():
    tuples = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [1, 2, 2, 2]])
    states = (
        HmmState(0, 0, ((0, 0.5), (1, 0.5))),
        HmmState(1, 1, ((2, 1.0),)),
        HmmState(2, 2, ((2, 0.5), (3, 0.5))),
        HmmState(),
    )
    model = TransitionModel(HmmTopology([states], {1: 0}), tuples)
    loop0, leave0, leave1, loop2, leave2 = 1, 2, 3, 4, 5
    alignment = np.array([leave0, loop0, loop0, leave1, leave2, loop2, loop2])
    warped = warp_alignment(alignment, 12, model)
    assert [(int(model.tid_to_hmm_state[tid]), frames) for tid, frames in visits(warped, model)] == [(0, 6), (1, 1), (2, 5)]
    with pytest.raises(AsrtoolError, match="2 HMM states cannot fill 1 frames"):
        warp_alignment(alignment, 2, model)


def test_bad_alignments(kaldi_alignments):
    model, alignments = kaldi_alignments
    alignment = alignments[0][1]
    with pytest.raises(AsrtoolError, match=r"\d+ HMM states cannot fill 20 frames with at least one frame each"):
        warp_alignment(alignment, 20, model)
    with pytest.raises(AsrtoolError, match="does not consist of whole phones"):
        warp_alignment(alignment[:-5], 100, model)
    with pytest.raises(AsrtoolError, match="transition-id 999999"):
        warp_alignment(np.full(5, 999999), 100, model)
