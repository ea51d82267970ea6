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

    Blocks that were not yet synchronised are lost: save at a sync where that matters.
    """
    states = sorted(states, key=lambda state: state["rank"])
    size = states[0]["world_size"]
    if [state["rank"] for state in states] != list(range(size)):
        raise AsrtoolError(f"states of ranks {[state['rank'] for state in states]} of {size}: the set is not complete")
    if any(state["counters"] != states[0]["counters"] for state in states):
        raise AsrtoolError("the ranks' states come from different syncs; take those of one checkpoint")
    used = states[0]["num_elements"]
    names = states[0]["shards"]
    merged = {key: value for key, value in states[0].items() if key not in ("local", "local_buffers")}
    shards = {name: torch.cat([state["shards"][name] for state in states])[:used].clone() for name in names}
    return {**merged, "rank": 0, "world_size": MERGED, "shards": shards, "pending_frames": 0}


def shards_of(state: dict[str, Any], rank: int, size: int) -> dict[str, Tensor]:
    """The part of a merged state that rank `rank` of `size` owns, without padding at the end."""
    if state["world_size"] != MERGED:
        raise AsrtoolError(f"the saved state is of {state['world_size']} workers, now there are {size}; merge the states first")
    step = shard_size(state["num_elements"], size)
    return {name: full[rank * step : (rank + 1) * step] for name, full in state["shards"].items()}


def copy_known(saved: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Copies saved values into `own` by name; a shard that was not saved is an error."""
    for name, target in own.items():
        if name not in saved:
            raise AsrtoolError(f"the saved parallel state has no '{name}'; it was made with other settings")
        target.zero_()
        target[: saved[name].numel()].copy_(saved[name])
