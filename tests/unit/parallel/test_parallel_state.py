"""Saved states of parallel algorithms: joined by pieces, whoever owns them, and taken apart for another number of ranks."""

import pytest
import torch

from asrtool.errors import AsrtoolError
from asrtool.parallel.state import copy_known, merge_states, optimizer_source, shards_of

SIZE, USED = 4, 120  # four pieces of 32 elements, the last 8 are padding
FULL = {"global": torch.randn(SIZE * 32), "ema": torch.randn(SIZE * 32)}


def saved(rank: int, pieces: list[int] | None = None, **more) -> dict:
    shards = {name: torch.cat([full.chunk(SIZE)[p] for p in pieces or [rank]]) for name, full in FULL.items()}
    state = {"rank": rank, "world_size": SIZE, "num_elements": USED, "shards": shards, "counters": {"num_syncs": 3}}
    return {**state, **({"pieces": pieces} if pieces else {}), "local": torch.ones(2), "local_buffers": torch.ones(1), **more}


@pytest.mark.parametrize(
    "states",
    [
        [saved(2), saved(0), saved(3), saved(1)],
        [saved(0, [0, 2]), saved(1), saved(3)],
        [saved(3, [3, 1]), saved(0, [2, 0])],
        [saved(0, [3, 2, 1, 0])],
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_pieces_come_together_and_apart(states, size):
    merged = merge_states(states)
    assert not [key for key in merged if key.startswith("local") or key == "pieces"]
    parts = [shards_of(merged, piece, size) for piece in range(size)]
    for name, full in FULL.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), full[:USED])
        own = [torch.full((-(-USED // (size * 16)) * 16,), 7.0) for _ in range(size)]
        for piece in range(size):
            copy_known(parts[piece], {name: own[piece]})
        joined = torch.cat(own)
        assert torch.equal(joined[:USED], full[:USED]) and not joined[USED:].any(), "the padding is zero"


@pytest.mark.parametrize(
    "states", [[saved(0), saved(1), saved(3)], [saved(0, [0, 1, 2, 3]), saved(1)], [saved(0, [0, 1]), saved(3, [3])]]
)
def test_a_piece_that_is_missing_or_there_twice(states):
    with pytest.raises(AsrtoolError, match="the set is not complete"):
        merge_states(states)


def test_states_of_different_syncs_are_refused():
    with pytest.raises(AsrtoolError, match="different syncs"):
        merge_states([saved(0, [0, 1, 2]), saved(3, counters={"num_syncs": 4})])


def test_momentum_alone_may_be_missing():
    momentum = torch.ones(4)
    copy_known({}, {"momentum": momentum})
    assert not momentum.any()
    with pytest.raises(AsrtoolError, match="has no 'ema'"):
        copy_known({}, {"ema": torch.ones(4)})


def test_whose_optimiser_a_rank_takes():
    states = [saved(0), saved(2), saved(3)]
    assert [optimizer_source(states, rank) for rank in range(5)] == [0, 1, 2, 0, 1]
    leading = [{**state, "leader": 2} for state in states]
    assert [optimizer_source(leading, rank) for rank in range(5)] == [1] * 5
