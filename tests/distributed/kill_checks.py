"""What a training that was hit must have left: kill_training.py's judgement."""

import json
from collections.abc import Collection
from pathlib import Path

import torch

from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.exchange.single_comm import SingleComm
from asrtool.parallel.state import merge_states
from asrtool.train.checkpoint import CheckpointStore

TIMINGS = ("frames_per_s", "load_s", "step_s", "sync_s", "wait_s", "forward_s", "search_s", "criterion_s")


def outcome(experiment: Path, without: Collection[str] = ()) -> tuple[dict, list]:
    """Weights of every model file, and the records without timings and what else is named."""
    paths = sorted(experiment.rglob("*.pt"))
    weights = {str(path.relative_to(experiment)): torch.load(path, weights_only=True)["weights"] for path in paths}
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    return weights, [{key: value for key, value in line.items() if key not in {*TIMINGS, *without}} for line in lines]


def differences(one: Path, other: Path, without: Collection[str] = ()) -> list[str]:
    """What is not equal to the bit."""
    (left, left_records), (right, right_records) = outcome(one, without), outcome(other, without)
    found = [] if left_records == right_records else ["metrics.jsonl"]
    found += sorted(set(left) ^ set(right))
    for name in sorted(set(left) & set(right)):
        if any(not torch.equal(left[name][key], right[name][key]) for key in right[name]):
            found.append(name)
    return found


def not_sane(experiment: Path) -> list[str]:
    """Models that are not finite, or that have not learned: 1.79 is the loss of one that knows nothing."""
    weights, records = outcome(experiment)
    found = [name for name, model in weights.items() if not all(bool(w.isfinite().all()) for w in model.values())]
    last = max(record["epoch"] for record in records if record["kind"] == "valid")
    losses = {r["model"]: r["loss"] for r in records if r["kind"] == "valid" and r["epoch"] == last}
    return found + [f"{name}: loss {loss}" for name, loss in losses.items() if loss > 1.7]


def replicas(checkpoints: Path, config: ParallelConfig) -> list[str]:
    """What is wrong with the last checkpoint: its parts must fit, and be alike where the workers are equal at a sync."""
    store = CheckpointStore(checkpoints, SingleComm(), 1)
    if not store.serial:
        return []
    states = store.load_all()
    merge_states([state["algorithm"] for state in states])
    if config.algorithm in ("asgd", "easgd") or config.overlap:
        return []
    first = states[0]["model"]
    different = [rank for rank, state in enumerate(states) if any(not torch.equal(state["model"][k], first[k]) for k in first)]
    return [f"workers {different} have other models than worker 0"] if different else []
