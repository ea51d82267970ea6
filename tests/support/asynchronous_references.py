"""ASGD and EASGD in numpy float64, written from the papers' equations, on a problem whose elements do not know of each other."""

import heapq

import numpy as np
import torch
from torch import nn

SIZE = 37  # three pieces of 16 elements with padding
FRAMES = 10
RATE = 0.1
SECONDS = (1.0, 0.73, 1.31, 1.13)  # a frame, of each worker: no two events at the same time
STEPS = (9, 14, 6)


class Parameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, SIZE, dtype=torch.float64))


def gradient(rank: int, step: int, weight: np.ndarray) -> np.ndarray:
    """Of a worker's own quadratic, with noise; each element for itself, so that pieces of the model are independent."""
    noise = np.random.default_rng([rank, step]).standard_normal(SIZE)
    return (1 + 0.3 * rank) * (weight - 0.2 * rank) + noise


class Asgd:
    """A parameter server without shards, and its workers: an event simulation.

    Attributes:
        served: elements that still have a server.
    """

    def __init__(self, settings: dict, momentum: float, steps, ends: dict[int, int] | None = None, start=None) -> None:
        self.settings = {"push": "deltas", "push_steps": 1, "fetch_steps": 1, "server_momentum": 0.0, **settings}
        self.momentum, self.steps = momentum, steps
        self.ends = ends or {}  # worker -> its last step; with what it has exchanged there it is lost
        count = len(steps)
        start = start or (np.linspace(-1, 1, SIZE), np.zeros(SIZE))
        self.weights, self.velocity = start[0].copy(), start[1].copy()
        self.local = [self.weights.copy() for _ in range(count)]
        self.local_velocity = [np.zeros(SIZE) for _ in range(count)]
        self.unpushed = [np.zeros(SIZE) for _ in range(count)]
        self.log: list[int] = []  # who pushed
        self.fetched_at = [0] * count
        self.staleness: list[int] = []
        self.dropped = 0
        self.served = np.ones(SIZE, bool)
        self.history: list[list[np.ndarray]] = [[] for _ in range(count)]

    def push(self, rank: int) -> bool:
        age = len(self.log[self.fetched_at[rank] :])
        self.staleness.append(age)
        bound = self.settings.get("max_staleness")
        update, self.unpushed[rank] = self.unpushed[rank], np.zeros(SIZE)
        if bound is not None and age > bound:
            self.dropped += 1
            return False
        self.log.append(rank)
        if self.settings["push"] == "gradients":
            self.velocity = self.settings["server_momentum"] * self.velocity + update
            update = self.velocity
        self.weights[self.served] += update[self.served]
        return True

    def fetch(self, rank: int) -> None:
        self.fetched_at[rank] = len(self.log)
        new = self.weights + self.unpushed[rank]
        self.local[rank][self.served] = new[self.served]

    def step(self, rank: int, index: int) -> None:
        grad = gradient(rank, index, self.local[rank])
        self.local_velocity[rank] = self.momentum * self.local_velocity[rank] + grad
        move = -RATE * self.local_velocity[rank]
        self.local[rank] = self.local[rank] + move
        self.unpushed[rank] += move if self.settings["push"] == "deltas" else -RATE * grad

    def run(self) -> "Asgd":
        events = [(SECONDS[rank] * FRAMES, rank, 0) for rank, count in enumerate(self.steps) if count]
        heapq.heapify(events)
        while events:
            time, rank, index = heapq.heappop(events)
            self.step(rank, index)
            kept = True
            if (index + 1) % self.settings["push_steps"] == 0:
                kept = self.push(rank)
            if (index + 1) % self.settings["fetch_steps"] == 0 or not kept:
                self.fetch(rank)
            self.history[rank].append(self.local[rank].copy())
            if self.ends.get(rank) == index + 1:
                self.served[16 * rank : 16 * (rank + 1)] = False
            elif index + 1 < self.steps[rank]:
                heapq.heappush(events, (time + SECONDS[rank] * FRAMES, rank, index + 1))
            elif self.steps[rank] % self.settings["push_steps"]:
                kept = self.push(rank)
        return self


def asynchronous_easgd(delta: float, period: int, alpha: float, spoilt: tuple[int, int] | None = None):
    """Algorithms 1 and 2, event by event in the order of time: every worker's look-ahead points after each step, and the centre.

    `spoilt`: (rank, step): that worker's position is NaN when that step begins.
    """
    centre = np.linspace(-1, 1, SIZE)
    position, velocity = [centre.copy() for _ in range(3)], [np.zeros(SIZE) for _ in range(3)]
    history = [[] for _ in range(3)]
    events = sorted((SECONDS[rank] * step, rank, step) for rank in range(3) for step in range(STEPS[rank]))
    for _, rank, step in events:
        x = position[rank].copy()
        if (rank, step) == spoilt:
            position[rank], velocity[rank] = centre.copy(), np.zeros(SIZE)
        else:
            if step % period == 0:
                position[rank] = position[rank] - alpha * (x - centre)
                centre = centre + alpha * (x - centre)
            velocity[rank] = delta * velocity[rank] - RATE * gradient(rank, step, x + delta * velocity[rank])
            position[rank] = position[rank] + velocity[rank]
        history[rank].append(position[rank] + delta * velocity[rank])
    return history, centre


def synchronous_easgd(steps, delta: float, period: int, alpha: float, spoilt: tuple[int, int] | None = None, everybody=False):
    """The update rules of EASGD and EAMSGD: yields what is there before the elastic step of every round, and at the end.

    Those that have taken as many steps as the round needs take part. `spoilt`: (rank, steps): that worker's position is NaN after
    so many; `everybody`: then all begin again at the centre.
    """
    count = len(steps)
    centre = np.linspace(-1, 1, SIZE)
    position, velocity = [centre.copy() for _ in range(count)], [np.zeros(SIZE) for _ in range(count)]
    for t in range(max(steps) + 1):
        force = [np.zeros(SIZE) for _ in range(count)]
        pulled = [rank for rank in range(count) if steps[rank] >= t]
        if spoilt and t == spoilt[1]:
            for rank in range(count) if everybody else [spoilt[0]]:
                position[rank], velocity[rank] = centre.copy(), np.zeros(SIZE)
                pulled = [] if everybody else [other for other in pulled if other != rank]
        if t > 0 and t % period == 0:
            yield t, centre, list(position), [x + delta * v for x, v in zip(position, velocity)]
            for rank in pulled:
                force[rank] = alpha * (position[rank] - centre)
        centre = centre + sum(force)
        for rank in range(count):
            if t < steps[rank]:
                look_ahead = position[rank] + delta * velocity[rank]
                velocity[rank] = delta * velocity[rank] - RATE * gradient(rank, t, look_ahead)
                position[rank] = position[rank] + velocity[rank] - force[rank]
            else:
                position[rank] = position[rank] - force[rank]
    yield None, centre, position, [x + delta * v for x, v in zip(position, velocity)]
