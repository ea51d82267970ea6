"""Outer gradients in minibatches: each position its own, whatever the streams, shifts, shards and the place of a new start."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from asrtool.loader.batch import IGNORED
from asrtool.nnet.input import InputOptions, num_windows
from asrtool.train.outer_feed import OuterFeed, packed, unpacked
from asrtool.train.sequence_loader import SequenceLoader

CORPUS = runpy.run_path(str(Path(__file__).parents[1] / "loader" / "toy_corpus.py"))
SOURCES = runpy.run_path(str(Path(__file__).with_name("outer_sources.py")))
LENGTHS = {f"u{index:02d}": length for index, length in enumerate(CORPUS["LENGTHS"])}
P = 6


def source_of(**settings):
    return SOURCES["ComputedSource"](LENGTHS, P, **settings)


def loader_of(options, source, **settings):
    loader = CORPUS["make_loader"](True, options, **settings)
    return SequenceLoader(loader, OuterFeed(source, None, options, lambda objective, frames: 1 - objective / frames))


def dense(batch):
    streams, windows = batch.target_BT.shape
    result = torch.zeros(windows * streams, P)
    result.index_put_((batch.outer.row_N, batch.outer.pdf_N), batch.outer.value_N, accumulate=True)
    return result.view(windows, streams, P).transpose(0, 1)


def expected(batch, options):
    """From the definition: the mean over the frames of the window that a position answers for."""
    result = torch.zeros(*batch.target_BT.shape, P)
    for b, name in enumerate(batch.utterances):
        shift = int(batch.shift_B[b])
        outer = SOURCES["dense_outer"](name, shift, 0, LENGTHS[name], P)
        for t in range(result.shape[1]):
            window = int(batch.begin_B[b]) + t - options.label_delay
            first = window * options.stride - shift
            rows = outer[max(first, 0) : max(first + options.stride, 0)]
            result[b, t] = torch.from_numpy(rows.sum(0) / options.stride)
    return result


@pytest.mark.parametrize("batching", ["streams", "utterances"])
@pytest.mark.parametrize("options", [InputOptions(), InputOptions(1, 1, 3, 2)])
@pytest.mark.parametrize("settings", [{}, {"gib": 60 * 2 * 4 / 2**30}, {"num_streams": 5, "prefetch": 0}])
def test_every_position_has_its_outer_gradient(batching, options, settings):
    source = source_of(batch=3)
    loader = loader_of(options, source, batching=batching, **settings)
    for epoch in range(2):
        windows = 0
        for batch in loader.epoch(epoch):
            assert torch.allclose(dense(batch), expected(batch, options), atol=1e-6)
            assert batch.outer.loss == pytest.approx(0.75 * batch.num_targets)
            windows += batch.num_targets
        shifts = {name: (index + epoch) % options.stride for index, name in enumerate(LENGTHS)}
        assert windows == sum(num_windows(length, options, shifts[name]) for name, length in LENGTHS.items())
        asked = source.orders[epoch]
        assert [(name, shift) for name, shift, _ in source.taken] == asked and not source.order
        assert {name for name, _ in asked} == set(LENGTHS) and all(shift == shifts[name] for name, shift in asked)
        twice = len(asked) - len(LENGTHS)
        assert 0 < twice < 5 * len(loader._windows(epoch)) if batching == "streams" else twice == 0
        source.taken.clear()


def test_it_is_asked_for_when_it_is_needed_and_told_of_every_step():
    source = source_of()
    loader = loader_of(InputOptions(), source, num_streams=2)
    due = [len([1 for begins in batch.reset_B if begins]) for batch in loader.loader.epoch(0)]
    for number, _ in enumerate(loader.epoch(0), start=1):
        assert len(source.taken) == sum(due[:number]) and source.published[-1] == number - 1
    assert source.published == list(range(len(due) + 1))
    assert [version for _, _, version in source.taken] == [row for row, count in enumerate(due) for _ in range(count)]
    chunks = [-(-length // 3) for length in LENGTHS.values()]  # of three windows: the n-th of an utterance is n steps later
    assert max(chunks) - 1 >= loader.feed.notes()["outer_age_max"] > 5 and "outer_age_mean" not in loader.feed.notes()


@pytest.mark.parametrize("batch", [1, 3])
def test_a_new_start_from_a_saved_state_takes_the_same_ones(batch):
    """The outer gradients depend on the step that they are made at: those under way and those made ahead are kept."""
    options = InputOptions(1, 1, 3, 1)
    whole = loader_of(options, source_of(batch=batch, versions=True), num_streams=3)
    states, outers = [], []
    for number, one in enumerate(whole.epoch(1)):
        outers.append(dense(one))
        states.append(torch.utils._pytree.tree_map(lambda x: x, whole.feed.state_dict()))
        assert states[-1]["steps"] == number + 1
    for skip in (1, 4, len(outers) - 1):
        source = source_of(batch=batch, versions=True)
        loader = loader_of(options, source, num_streams=3)
        loader.feed.load_state_dict(states[skip - 1])
        again = [dense(one) for one in loader.epoch(1, skip)]
        assert len(again) == len(outers) - skip and all(torch.equal(a, b) for a, b in zip(again, outers[skip:]))
        assert source.published[0] == skip


def test_without_a_state_those_under_way_are_asked_for_again():
    options = InputOptions(1, 1, 3, 1)
    for skip in (1, 4):
        source = source_of(batch=2)
        loader = loader_of(options, source, num_streams=3)
        batches = list(loader.epoch(1, skip))
        assert all(torch.allclose(dense(one), expected(one, options), atol=1e-6) for one in batches)
        assert source.orders[0][:3] == [(name, int(shift)) for name, shift in zip(batches[0].utterances, batches[0].shift_B)]


def test_a_state_of_other_streams_is_not_used():
    options = InputOptions()
    other = loader_of(options, source_of(), num_streams=3, seed=2)
    next(other.epoch(0))
    loader = loader_of(options, source_of(), num_streams=3)
    loader.feed.load_state_dict(other.feed.state_dict())
    assert all(torch.allclose(dense(one), expected(one, options), atol=1e-6) for one in loader.epoch(0, 5))


def test_a_skipped_utterance_gives_nothing_and_counts():
    options, skipped = InputOptions(1, 1, 3, 2), ("u03", "u06")
    loader = loader_of(options, source_of(skipped=skipped), num_streams=3)
    frames = targets = 0
    for batch in loader.epoch(0):
        rows, gone = dense(batch), [name in skipped for name in batch.utterances]
        assert (rows[gone] == 0).all() and (batch.target_BT[gone] == IGNORED).all()
        kept = [not one for one in gone]
        assert torch.allclose(rows[kept], expected(batch, options)[kept], atol=1e-6)
        assert batch.num_targets == int((batch.target_BT != IGNORED).sum())
        assert batch.outer.loss == pytest.approx(0.75 * batch.num_targets)
        frames, targets = frames + batch.num_frames, targets + batch.num_targets
    assert frames == sum(LENGTHS.values())  # they have been gone through
    lost = sum(int(num_windows(LENGTHS[name], options, int(name[1:]) % 3)) for name in skipped)
    everything = sum(int(num_windows(length, options, int(name[1:]) % 3)) for name, length in LENGTHS.items())
    assert loader.feed.notes()["skipped_targets"] == lost == everything - targets
    assert loader.feed.notes()["skipped_targets"] == 0


def test_a_result_survives_a_checkpoint(tmp_path):
    source = source_of()
    source.published.append(4)
    result = source._make("u03", 1)
    torch.save(packed(result), tmp_path / "state.pt")
    again = unpacked(torch.load(tmp_path / "state.pt", weights_only=True))
    for name in ("frame_begin", "label", "weight"):
        one, other = getattr(again.outer.gradient, name), getattr(result.outer.gradient, name)
        assert np.array_equal(one, other) and one.dtype == other.dtype
    assert (again.name, again.shift, again.version, again.outer.objective) == ("u03", 1, 4, 10.0)
    nothing = unpacked(packed(source_of(skipped=["u01"], versions=True).failed("u01")))
    assert nothing.outer is None and nothing.reason == "nan"
