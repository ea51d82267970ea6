"""A training that goes on with other workers than it was saved by: another number of them, or without those that were lost.

The global model, MA, EMA and what moves the global model are taken over to the bit, each worker owning another part of them.
All workers start from the global model (or the point that the algorithm sends its workers to). Worker r takes over the
optimiser and the random state of the r-th of those that saved, counted round.

The data are divided anew, so what is left of an epoch cannot be told exactly: each worker leaves out the share of its
minibatches that all had done together. Within that one epoch some data are seen twice and some not at all.
"""

import copy
from typing import Any

from asrtool.parallel.state import merge_states, optimizer_source


def merged(states: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """The checkpoint's states, in the order of ranks -> what the worker that is number `index` now goes on from.

    The position's `batches_done` and `batches_in_epoch` are those of all workers together: the share that is done.
    """
    states = sorted(states, key=lambda state: state["algorithm"]["rank"])
    algorithms = [state["algorithm"] for state in states]
    first, donor = states[0], states[optimizer_source(algorithms, index)]
    positions = [state["position"] for state in states]
    done, total = (sum(position[name] for position in positions) for name in ("batches_done", "batches_in_epoch"))
    position = {
        **first["position"],
        "batches_done": done,
        "batches_in_epoch": total,
        "frames_before": first["position"]["frames_before"] + sum(position["frames_in_epoch"] for position in positions),
        "frames_in_epoch": 0,
        "streams": [],
        "block": [0.0] * len(first["position"]["block"]),
        "skipped_in_row": 0,
        "skipped_in_epoch": 0,
    }
    taken_over = {name: copy.deepcopy(donor[name]) for name in ("optimizer", "random", "random_gpu")}
    constants = {name: value for name, value in first["model"].items() if not value.is_floating_point()}
    return {**first, **taken_over, "position": position, "model": constants, "algorithm": merge_states(algorithms)}
