"""Saved states of block algorithms: checks, and re-sharding for another number of ranks."""

import dataclasses
import hashlib
from typing import Any

import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.flat_buffer import shard_size

FORMAT = 1
COUNTERS = ("num_syncs", "total_frames", "warming_up")
MERGED = 0  # the world_size of a merged state


def fingerprint(layout: list[tuple[str, int, tuple[int, ...]]], config: ParallelConfig) -> int:
    """A number that is the same on all ranks that train the same model by the same settings."""
    text = f"{layout} {dataclasses.asdict(config)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def check(state: dict[str, Any], algorithm: str, layout: list[tuple[str, int, tuple[int, ...]]]) -> None:
    """Raises AsrtoolError unless `state` is one of this algorithm for this model."""
    if state.get("format") != FORMAT:
        raise AsrtoolError(f"the saved parallel state has format {state.get('format')}, this version reads {FORMAT}")
    if state["algorithm"] != algorithm:
        raise AsrtoolError(f"the saved parallel state is of '{state['algorithm']}', training is set to '{algorithm}'")
    if [tuple(entry) for entry in state["layout"]] != [tuple(entry) for entry in layout]:
        raise AsrtoolError("the saved parallel state belongs to a model with other parameters; start a new experiment directory")


def merge_states(states: list[dict[str, Any]]) -> dict[str, Any]:
    """The `state_dict`s of all ranks -> one state that any number of ranks loads, each taking its own shard.

    A state holds the pieces of the flat buffer that its rank owns: `state["pieces"]`, by default the one of the rank's number.
    `state["shards"][name]` has them one after the other. A rank that was lost has no state; others own its pieces. What a worker
    has for itself alone, keys that begin with "local", is dropped. Blocks that were not yet synchronised are lost: save at a
    sync where that matters.

    Raises:
        AsrtoolError: a piece is missing or there twice, or the states are of different syncs.
    """
    states = sorted(states, key=lambda state: state["rank"])
    first, size = states[0], states[0]["world_size"]
    owners = {piece: state for state in states for piece in pieces_of(state)}
    if sorted(owners) != list(range(size)) or sum(len(pieces_of(state)) for state in states) != size:
        ranks = [state["rank"] for state in states]
        raise AsrtoolError(f"states of ranks {ranks} of {size}: the set is not complete")
    if any(state["counters"] != first["counters"] for state in states):
        raise AsrtoolError("the ranks' states come from different syncs; take those of one checkpoint")
    own = {key: value for key, value in first.items() if not key.startswith("local") and key != "pieces"}
    shards = {
        name: torch.cat([_piece(owners[piece], name, piece) for piece in range(size)])[: first["num_elements"]].clone()
        for name in first["shards"]
    }
    return {**own, "rank": 0, "world_size": MERGED, "shards": shards, "pending_frames": 0}


def pieces_of(state: dict[str, Any]) -> list[int]:
    """The pieces of the flat buffer that a rank's state holds."""
    return state.get("pieces", [state["rank"]])


def _piece(state: dict[str, Any], name: str, piece: int) -> Tensor:
    pieces = pieces_of(state)
    return state["shards"][name].chunk(len(pieces))[pieces.index(piece)]


def shards_of(state: dict[str, Any], piece: int, size: int) -> dict[str, Tensor]:
    """Piece `piece` of `size` of a merged state, without padding at the end: what the rank of that number owns at first."""
    if state["world_size"] != MERGED:
        raise AsrtoolError(f"the saved state is of {state['world_size']} workers, now there are {size}; merge the states first")
    step = shard_size(state["num_elements"], size)
    return {name: full[piece * step : (piece + 1) * step] for name, full in state["shards"].items()}


def optimizer_source(states: list[dict[str, Any]], rank: int) -> int:
    """Index into `states` of the one whose worker's optimiser rank `rank` takes over when the number of ranks has changed.

    Where the workers' models are always equal (bsp) all take the one that has taken every step, to stay equal.
    """
    leader = states[0].get("leader")
    return rank % len(states) if leader is None else [state["rank"] for state in states].index(leader)


def copy_known(saved: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Copies saved values into `own` by name; a shard that was not saved is an error.

    Except for momentum, which is zero: one worker has none where its size follows from the number of workers.
    """
    for name, target in own.items():
        if name not in saved and name != "momentum":
            raise AsrtoolError(f"the saved parallel state has no '{name}'; it was made with other settings")
        target.zero_()
        if name in saved:
            target[: saved[name].numel()].copy_(saved[name])
