"""How to set up parallel training: block momentum and sync period from the model, the link and the number of workers.

Rules, for block algorithms (bmuf, model_averaging):

    block momentum   eta = 1 - 1/N (Chen and Huo 2016): the sum of a step's echoes is then N times the step, as in N serial blocks
    sync period      about 120,000 frames of all workers together (1703.01024 and CNTK's practice), but so many that exchanging
                     takes no more than a given share of the time
    amount of data   a training of fewer than N syncs ends before the block momentum has come into its own: N^2 sync periods of
                     a worker are the least
    memory           of a worker beside model, gradient and optimiser: (3 + averages) P / N values, and one flat buffer
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from asrtool.errors import AsrtoolError
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.exchange.traffic import of_exchange
from asrtool.parallel.flat_buffer import shard_size
from asrtool.parallel.simulation.simulated_time import SimulatedTime

RULE_FRAMES = 120_000
"""Frames of all workers together between two syncs."""
BLOCK_ALGORITHMS = ("bmuf", "model_averaging")
WORKERS = (1, 2, 4, 8, 16, 32, 64)
VOTE_BYTES = 3 * 8
"""Of the vote before each sync (votes.py)."""
REPORT_BYTES = 20 * 8
"""About so many are summed over the workers after each sync (train/at_sync.py)."""


@dataclass(frozen=True)
class Situation:
    """Attributes:
    num_parameters: P.
    frames_per_s: that one worker trains alone, frames as `after_step` counts them.
    times: the links.
    workers_per_host: they share their host's link.
    num_averages: MA and EMAs.
    element_bytes: of a parameter as it travels: 4, or 2 for bfloat16.
    share: of the time that may go into exchanging.
    """

    num_parameters: int
    frames_per_s: float
    times: SimulatedTime
    workers_per_host: int = 1
    num_averages: int = 2
    element_bytes: int = 4
    share: float = 0.05

    def __post_init__(self) -> None:
        if self.num_parameters < 1 or not self.frames_per_s > 0 or self.workers_per_host < 1:
            raise AsrtoolError("parameters, frames a second and workers a host must be positive numbers")
        if not 0 < self.share < 1:
            raise AsrtoolError(f"the share of time for communication must be in (0, 1), not {self.share}")


@dataclass(frozen=True)
class Plan:
    """For N workers.

    Attributes:
        block_momentum: eta.
        sync_s: seconds of one sync.
        link_frames: the fewest frames of a worker between syncs that keep exchanging below the share.
        rule_frames: 120,000 / N.
        sync_frames: the larger of the two, rounded up to hundreds.
        efficiency: share of the time that a worker computes.
        bytes_per_sync: that a worker sends, to its own host and to others.
        memory_bytes: of a worker, beside model, gradient and optimiser.
    """

    num_workers: int
    block_momentum: float
    sync_s: float
    link_frames: int
    rule_frames: int
    sync_frames: int
    efficiency: float
    bytes_per_sync: int
    memory_bytes: int

    @property
    def speed_up(self) -> float:
        return self.num_workers * self.efficiency

    @property
    def bound_by_link(self) -> bool:
        """Whether the link asks for a longer period than the rule."""
        return self.link_frames > self.rule_frames


def make_plan(situation: Situation, num_workers: int) -> Plan:
    """The settings for N workers, and what they cost."""
    hosts = [rank // situation.workers_per_host for rank in range(num_workers)]
    shard = shard_size(situation.num_parameters, num_workers)
    times, weights = situation.times, [1.0] * num_workers
    sum_bytes = 4 if situation.element_bytes == 2 else None
    exchange_s = times.exchange_s(hosts, weights, shard, situation.element_bytes, sum_bytes)
    sync_s = exchange_s + times.all_gather_s(hosts, VOTE_BYTES) + times.all_reduce_s(hosts, REPORT_BYTES)
    link_frames = math.ceil(sync_s * situation.frames_per_s * (1 - situation.share) / situation.share)
    rule_frames = -(-RULE_FRAMES // num_workers)
    sync_frames = -(-max(link_frames, rule_frames) // 100) * 100
    block_s = sync_frames / situation.frames_per_s
    sums = None if sum_bytes is None else shard * sum_bytes
    sent = max(of_exchange(rank, hosts, weights, shard * situation.element_bytes, sums).total for rank in range(num_workers))
    return Plan(
        num_workers=num_workers,
        block_momentum=ParallelConfig().momentum_for(num_workers),
        sync_s=sync_s,
        link_frames=link_frames,
        rule_frames=rule_frames,
        sync_frames=sync_frames,
        efficiency=block_s / (block_s + sync_s),
        bytes_per_sync=sent,
        memory_bytes=4 * ((3 + situation.num_averages) * shard + shard * num_workers),
    )


def too_few_data(total_frames: float, num_workers: int, config: ParallelConfig) -> str | None:
    """A warning when `total_frames`, those of the whole training (epochs x data), are too few for N workers; else None.

    For block algorithms alone; the others exchange at every few minibatches.
    """
    if config.algorithm not in BLOCK_ALGORITHMS or num_workers == 1:
        return None
    needed = config.sync_frames * num_workers**2
    if total_frames >= needed:
        return None
    syncs = total_frames / (config.sync_frames * num_workers)
    fewer = max(1, math.isqrt(int(total_frames / config.sync_frames)))
    shorter = int(total_frames / num_workers**2)
    return (
        f"{total_frames:,.0f} frames are few for {num_workers} workers: {syncs:.1f} synchronisations in the whole training, "
        f"where at least {num_workers} are advisable; use at most {fewer} worker{'s' * (fewer > 1)}, or parallel.sync_frames of "
        f"at most {shorter:,} (now {config.sync_frames:,})"
    )


def parse_link(text: str) -> float:
    """ "1gbit", "100mbit", "25Gbit/s" -> bytes a second; a number alone is Mbit/s.

    Raises:
        AsrtoolError: anything else.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(k|m|g|t)?(?:bit|bits|bit/s|bps)?", text.strip().lower())
    if match is None or not float(match[1]) > 0:
        raise AsrtoolError(f"'{text}': a link is written like 1gbit or 100mbit")
    return float(match[1]) * {"k": 1e3, None: 1e6, "m": 1e6, "g": 1e9, "t": 1e12}[match[2]] / 8


def describe(situation: Situation, num_workers: int, total_frames: float | None = None) -> str:
    """The advice for N workers, and a table for 1 to 64, as text."""
    plan = make_plan(situation, num_workers)
    hours = plan.sync_frames * num_workers / 360_000
    binding = (
        f"the link binds; with {plan.rule_frames:,}, the rule's 120,000 / N, exchanging would take "
        f"{100 * (1 - _at_rule(situation, plan)):.1f} % of the time; parallel.overlap=true hides it, "
        "parallel.exchange_dtype=bfloat16 halves the bytes, and very long blocks cost accuracy"
        if plan.bound_by_link
        else f"the rule binds, 120,000 / N; the link alone would allow {plan.link_frames:,}"
    )
    lines = [
        f"{num_workers} workers, {situation.workers_per_host} on each host, {situation.num_parameters:,} parameters, "
        f"{situation.frames_per_s:,.0f} frames/s each, link {situation.times.link.bytes_per_s * 8 / 1e6:,.0f} Mbit/s",
        f"  parallel.block_momentum={plan.block_momentum:g}   (1 - 1/N; what null means)",
        f"  parallel.sync_frames={plan.sync_frames}   ({binding})",
        f"  a sync takes {1000 * plan.sync_s:.1f} ms, every {plan.sync_frames / situation.frames_per_s:.2f} s: efficiency "
        f"{100 * plan.efficiency:.1f} %, speed-up {plan.speed_up:.2f}",
        f"  a worker sends {plan.bytes_per_sync / 1e6:.1f} MB a sync ({plan.bytes_per_sync / hours / 1e6:,.0f} MB for each hour "
        f"of speech) and needs {plan.memory_bytes / 1e6:.1f} MB beside model, gradient and optimiser",
    ]
    if total_frames is not None:
        config = ParallelConfig(algorithm="bmuf", sync_frames=plan.sync_frames)
        warning = too_few_data(total_frames, num_workers, config)
        enough = f"{total_frames:,.0f} frames are {total_frames / (plan.sync_frames * num_workers):.0f} synchronisations: enough"
        lines.append(f"  WARNING: {warning}" if warning else f"  {enough}")
    return "\n".join([*lines, "", *_table(situation, sorted({*WORKERS, num_workers}))])


def _at_rule(situation: Situation, plan: Plan) -> float:
    """Efficiency with the rule's period."""
    block_s = plan.rule_frames / situation.frames_per_s
    return block_s / (block_s + plan.sync_s)


def _table(situation: Situation, sizes: Sequence[int]) -> list[str]:
    header = f"{'N':>4} {'eta':>7} {'sync_frames':>12} {'bound by':>8} {'sync ms':>9} {'efficiency':>11} {'speed-up':>9}"
    rows = [f"{header} {'MB sent':>9} {'MB memory':>10}"]
    for plan in (make_plan(situation, size) for size in sizes):
        rows.append(
            f"{plan.num_workers:>4} {plan.block_momentum:>7.4f} {plan.sync_frames:>12,} "
            f"{'link' if plan.bound_by_link else 'rule':>8} {1000 * plan.sync_s:>9.1f} {100 * plan.efficiency:>9.1f} % "
            f"{plan.speed_up:>9.2f} {plan.bytes_per_sync / 1e6:>9.1f} {plan.memory_bytes / 1e6:>10.1f}"
        )
    return rows
