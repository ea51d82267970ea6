"""The negotiation before a sync: every rank sees all votes and takes the same decision."""

from dataclasses import dataclass
from typing import NamedTuple

from asrtool.parallel.config import ParallelConfig


class Vote(NamedTuple):
    """What a rank says of its block: frames trained on, whether its data are used up, whether its parameters are finite."""

    frames: int
    out_of_data: bool
    finite: bool


@dataclass(frozen=True)
class Decision:
    """What all ranks do: the global mean is sum(weights[r] * theta_r) / divisor."""

    weights: list[float]
    divisor: float
    block_frames: int
    num_active: int
    nonfinite_ranks: tuple[int, ...]
    skipped: bool
    finished: bool
    rank0_out_of_data: bool


def decide(votes: list[Vote], config: ParallelConfig, warming_up: bool) -> Decision:
    """From the votes of all ranks, in the order of ranks.

    A worker without frames has weight 0, and so has every rank but 0 while warming up. A block is dropped when a worker in it is
    not finite under the policy "skip_block", or when none is.
    """
    taking_part = [rank for rank, vote in enumerate(votes) if vote.frames > 0 and not (warming_up and rank != 0)]
    nonfinite = tuple(rank for rank in taking_part if not votes[rank].finite)
    used = [rank for rank in taking_part if votes[rank].finite]
    skipped = bool(nonfinite) and (not used or config.nonfinite == "skip_block")
    if skipped:
        used = []
    frames = sum(votes[rank].frames for rank in used)
    by_frames = config.weighting == "frames"
    weights = [0.0] * len(votes)
    for rank in used:
        weights[rank] = votes[rank].frames / frames if by_frames else 1.0
    return Decision(
        weights=weights,
        divisor=1.0 if by_frames else float(max(len(used), 1)),
        block_frames=frames,
        num_active=len(used),
        nonfinite_ranks=nonfinite,
        skipped=skipped,
        finished=all(vote.out_of_data for vote in votes),
        rank0_out_of_data=votes[0].out_of_data,
    )
