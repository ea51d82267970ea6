"""How long computing and communication would take: the model by which virtual workers' clocks go.

Model. A worker computes at a rate of its own. Hosts are joined by a switch that is never the bottleneck; each host has one link
to it, full duplex, which its workers share; a message takes the link's latency and its bytes over the link's bandwidth. Workers
of one host have a faster inner link each. Costs are those of TorchComm on gloo:

    exchange            bytes that the busiest host sends (traffic.py) / bandwidth, those within hosts / inner bandwidth, one
                        latency each way, and the update of the own shard. Messages are pipelined, so the update hides behind a
                        slower link: the larger of both counts.
    all_gather          a ring: N - 1 steps, each a latency and one rank's bytes
    all_reduce          a ring: 2 (N - 1) steps, each a latency and 1 / N of the bytes
    broadcast, barrier  a tree: log2 N steps
    request             the pieces of all owners at once: bytes out over the asker's link, into each owner's, back the same way;
                        a link carries one request after the other (`queueing`), so a popular server is a bottleneck.

Validating a model, reading data and saving take no virtual time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asrtool.parallel.exchange.traffic import Traffic, of_exchange


@dataclass(frozen=True)
class Link:
    """Bytes a second in each direction, seconds that a message takes beyond that."""

    bytes_per_s: float = math.inf
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        if not (self.bytes_per_s > 0 and math.isfinite(self.latency_s) and self.latency_s >= 0):
            raise ValueError(f"a link needs a bandwidth above 0 and a latency of at least 0, not {self}")


@dataclass(frozen=True)
class SimulatedTime:
    """Attributes:
    seconds_per_frame: of a worker, for training on one frame as `after_step` counts them; one number, or one for each rank.
    spread: workers differ: each one's rate is multiplied by exp(spread * a normal random number), once and for all.
    jitter: the same for each minibatch of each worker anew.
    seed: of the random numbers.
    link: between hosts.
    inner: between workers of one host.
    update_s_per_element: of an exchange: seconds for the sum and the update of one element of the own shard.
    queueing: requests wait for each other at the links.
    backward_share: of the time of a minibatch, in which gradients can be exchanged beside the computation (bsp with overlap).
    """

    seconds_per_frame: float | Sequence[float] = 1.0
    spread: float = 0.0
    jitter: float = 0.0
    seed: int = 1
    link: Link = field(default_factory=Link)
    inner: Link = field(default_factory=Link)
    update_s_per_element: float = 0.0
    queueing: bool = True
    backward_share: float = 0.6

    def __post_init__(self) -> None:
        if min(self.spread, self.jitter, self.update_s_per_element) < 0 or not 0 <= self.backward_share <= 1:
            raise ValueError("spread, jitter and update_s_per_element must not be negative, backward_share in [0, 1]")
        rates = [self.seconds_per_frame] if np.isscalar(self.seconds_per_frame) else list(self.seconds_per_frame)
        if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
            raise ValueError("seconds_per_frame must not be negative")

    def rates(self, num_workers: int) -> list[float]:
        """Seconds a frame of each worker, `spread` included; a worker's does not depend on how many there are."""
        if np.isscalar(self.seconds_per_frame):
            rates = [float(self.seconds_per_frame)] * num_workers
        else:
            rates = [float(rate) for rate in self.seconds_per_frame]
            if len(rates) != num_workers:
                raise ValueError(f"seconds_per_frame has {len(rates)} numbers for {num_workers} workers")
        if not self.spread:
            return rates
        normal = [np.random.default_rng([self.seed, rank]).standard_normal() for rank in range(num_workers)]
        return [rate * math.exp(self.spread * number) for rate, number in zip(rates, normal)]

    def slowest_link(self, hosts: Sequence[int]) -> Link:
        """What a step of a collective over all ranks has to cross."""
        if len(hosts) == 1:
            return Link()
        return self.link if len(set(hosts)) > 1 else self.inner

    def exchange_s(
        self,
        hosts: Sequence[int],
        weights: Sequence[float],
        shard_elements: int,
        element_bytes: int = 4,
        sum_bytes: int | None = None,
        give_back: bool = True,
    ) -> float:
        """Seconds of `Comm.exchange` on a flat buffer of len(hosts) shards, from when all ranks have come.

        Args:
            element_bytes, sum_bytes: of an element as workers send it, and of one of a host's sum (float32 for bfloat16).
            give_back: False for a reduce-scatter alone.
        """
        shard_bytes = shard_elements * element_bytes
        sums = None if sum_bytes is None else shard_elements * sum_bytes
        traffic = [of_exchange(rank, hosts, weights, shard_bytes, sums, give_back) for rank in range(len(hosts))]
        out = dict.fromkeys(hosts, 0)
        for host, sent in zip(hosts, traffic):
            out[host] += sent.between
        ways = 2 if give_back else 1
        seconds = ways * self._latency(hosts, traffic)
        moved = max(out.values()) / self.link.bytes_per_s + max(sent.within for sent in traffic) / self.inner.bytes_per_s
        return seconds + max(moved, shard_elements * self.update_s_per_element)

    def _latency(self, hosts: Sequence[int], traffic: Sequence[Traffic]) -> float:
        within = self.inner.latency_s if any(sent.within for sent in traffic) else 0.0
        return within + (self.link.latency_s if len(set(hosts)) > 1 else 0.0)

    def all_gather_s(self, hosts: Sequence[int], num_bytes: int) -> float:
        """`num_bytes` of each rank to all."""
        link = self.slowest_link(hosts)
        return (len(hosts) - 1) * (link.latency_s + num_bytes / link.bytes_per_s)

    def all_reduce_s(self, hosts: Sequence[int], num_bytes: int) -> float:
        """The sum of `num_bytes` of each rank, to all."""
        link, size = self.slowest_link(hosts), len(hosts)
        return 2 * (size - 1) * (link.latency_s + num_bytes / size / link.bytes_per_s)

    def broadcast_s(self, hosts: Sequence[int], num_bytes: int) -> float:
        """`num_bytes` of one rank to all; 0 for a barrier."""
        link = self.slowest_link(hosts)
        return math.ceil(math.log2(len(hosts))) * (link.latency_s + num_bytes / link.bytes_per_s)
