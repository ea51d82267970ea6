"""A training by N virtual workers in one process: the models of N real ones, and the time that these would have taken."""

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.parallel.protocol import SyncReport
from asrtool.parallel.simulation.in_process import InProcessComm, run_workers
from asrtool.parallel.simulation.simulated_time import Link, SimulatedTime
from asrtool.train.config import TrainConfig
from asrtool.train.disk import writing
from asrtool.train.measure_speed import seconds_per_frame, update_seconds_per_element
from asrtool.train.parts import Parts
from asrtool.train.run import TrainPaths, train_network

KIND = "simulation"


@dataclass(frozen=True)
class Simulation:
    """Attributes:
    num_workers: N.
    workers_per_host: they share their host's link.
    link_mbit, latency_ms: of a host's link, each direction.
    inner_mbit, inner_latency_ms: between workers of one host.
    seconds_per_frame: that a worker trains on a frame; None: measured before the training begins.
    spread, jitter, seed: differences between workers, see SimulatedTime.
    use_gpu: train all of them on the current GPU; None: if there is one.
    """

    num_workers: int
    workers_per_host: int = 1
    link_mbit: float = 1000.0
    latency_ms: float = 0.1
    inner_mbit: float = 40000.0
    inner_latency_ms: float = 0.02
    seconds_per_frame: float | None = None
    spread: float = 0.0
    jitter: float = 0.0
    seed: int = 1
    use_gpu: bool | None = None

    def __post_init__(self) -> None:
        if self.num_workers < 1 or self.workers_per_host < 1:
            raise AsrtoolError("a simulation needs at least one worker, and one on each host")
        if self.use_gpu and not torch.cuda.is_available():
            raise AsrtoolError("there is no GPU to simulate on")
        if self.use_gpu is False and torch.cuda.is_available() and self.seconds_per_frame is None:
            raise AsrtoolError("the speed of the processor is not measured where there is a GPU; give --seconds-per-frame")
        if self.seconds_per_frame is not None and not self.seconds_per_frame > 0:
            raise AsrtoolError(f"seconds per frame must be above 0, not {self.seconds_per_frame}")

    def times(self, frame_s: float, update_s: float) -> SimulatedTime:
        """The model of time.

        Raises:
            AsrtoolError: settings that make no sense.
        """
        try:
            return SimulatedTime(
                seconds_per_frame=frame_s,
                spread=self.spread,
                jitter=self.jitter,
                seed=self.seed,
                link=Link(self.link_mbit * 1e6 / 8, self.latency_ms / 1e3),
                inner=Link(self.inner_mbit * 1e6 / 8, self.inner_latency_ms / 1e3),
                update_s_per_element=update_s,
            )
        except ValueError as error:
            raise AsrtoolError(f"simulation: {error}") from None


def simulate_training(
    config: TrainConfig, paths: TrainPaths, simulation: Simulation, train: Callable[..., None] = train_network
) -> dict[str, Any]:
    """Trains as `train_network` does in N processes, or goes on with it; returns what EXP/simulation.json says.

    The synchronous algorithms give the models of the real run to the bit; for asgd and asynchronous easgd, whose real runs
    differ from one time to the next, the virtual clocks decide who comes first. After each synchronisation a record
    {"kind": "simulation", "epoch", "frames", "modelled_s", ...} goes to EXP/metrics.jsonl; the seconds of the other records are
    those of this process. Threads are those of OMP_NUM_THREADS, for one virtual worker after the other.

    Args:
        train: called as `train_network`.
    Raises:
        AsrtoolError, Stopped: as `train_network`.
    """
    path = paths.experiment / "simulation.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if (paths.experiment / "done").is_file():
        print(f"{paths.experiment}: training is done already ({paths.experiment / 'done'} is there)", file=sys.stderr)
        return before
    frame_s, update_s = _measured(config, paths, simulation, before, train)
    costs = {"seconds_per_frame": frame_s, "update_s_per_element": update_s}
    settings = {**dataclasses.asdict(simulation), **costs, "measured": simulation.seconds_per_frame is None}
    settings["algorithm"] = config.parallel.algorithm
    config = dataclasses.replace(config, loader=dataclasses.replace(config.loader, prefetch=0))  # one thread is all there is
    hosts = [rank // simulation.workers_per_host for rank in range(simulation.num_workers)]
    summary: dict[str, Any] = {}

    def work(comm: InProcessComm) -> None:
        train(config, paths, comm, prepare=prepare if comm.rank == 0 else None)

    def prepare(parts: Parts) -> None:
        parts.algorithm.on_sync.append(Recorder(parts, settings, summary))

    paths.experiment.mkdir(parents=True, exist_ok=True)
    on_gpu = torch.cuda.is_available() if simulation.use_gpu is None else simulation.use_gpu
    run_workers(simulation.num_workers, work, simulation.times(frame_s, update_s), hosts, on_gpu=on_gpu)
    return summary


def _measured(
    config: TrainConfig, paths: TrainPaths, simulation: Simulation, before: dict[str, Any], train: Callable[..., None]
) -> tuple[float, float]:
    """Seconds of a frame, and of an element's update: as given, as measured when the run was begun, or measured now."""
    frame_s, update_s = simulation.seconds_per_frame, before.get("update_s_per_element")
    if frame_s is None:
        frame_s = before.get("seconds_per_frame") or seconds_per_frame(config, paths, train=train)
    if update_s is None:
        update_s = update_seconds_per_element(config.parallel, simulation.num_workers)
    print(
        f"{simulation.num_workers} virtual workers, each {1 / frame_s:,.0f} frames/s "
        f"({'as given' if simulation.seconds_per_frame else 'measured'}), {simulation.workers_per_host} on each host; "
        f"links of {simulation.link_mbit:g} Mbit/s, {simulation.latency_ms:g} ms",
        file=sys.stderr,
        flush=True,
    )
    return frame_s, update_s


class Recorder:
    """Writes the modelled time after every synchronisation, and EXP/simulation.json at the end of an epoch.

    A run that goes on continues the record that its checkpoint left in metrics.jsonl.
    """

    def __init__(self, parts: Parts, settings: dict[str, Any], summary: dict[str, Any]) -> None:
        self.parts = parts
        self.settings = settings
        self.summary = summary
        self.path = parts.metrics.path.parent / "simulation.json"
        self.before: dict[str, float] | None = None
        with writing(self.path):
            write_text(self.path, json.dumps(settings, indent=1) + "\n")

    def __call__(self, report: SyncReport) -> None:
        if self.before is None:
            self.before = self._last_record()
        clocks, size = self.parts.comm.clocks, self.parts.comm.size
        if report.finished:
            clocks.settle()
        clocks.stand_still()
        now = {
            "frames": float(sum(clocks.num_frames)),
            "modelled_s": max(clocks.now),
            "compute_s": sum(clocks.compute_s) / size,
            "communication_s": sum(clocks.communication_s) / size,
            "waiting_s": sum(clocks.waiting_s) / size,
            "bytes_sent": float(sum(clocks.bytes_sent)),
        }
        totals = {name: value + self.before.get(name, 0.0) for name, value in now.items()}
        rounded = {name: round(value, 6) if name.endswith("_s") else int(value) for name, value in totals.items()}
        self.parts.metrics.write({"kind": KIND, "epoch": round(report.total_frames / self.parts.train_frames, 4), **rounded})
        if report.finished:
            self._summarise(totals)

    def _summarise(self, totals: dict[str, float]) -> None:
        seconds = max(totals["modelled_s"], 1e-9)
        one_worker_s = totals["frames"] * self.settings["seconds_per_frame"]
        found = {
            **{name: value if name.endswith("_s") else int(value) for name, value in totals.items()},
            "one_worker_s": one_worker_s,
            "frames_per_s": totals["frames"] / seconds,
            "communication_share": totals["communication_s"] / seconds,
            "speed_up": one_worker_s / seconds,
            "efficiency": one_worker_s / seconds / self.parts.comm.size,
        }
        self.summary.update(self.settings | found)
        with writing(self.path):
            write_text(self.path, json.dumps(self.summary, indent=1) + "\n")
        self.parts.progress.message(describe(self.summary))

    def _last_record(self) -> dict[str, float]:
        lines = self.parts.metrics.path.read_text(encoding="utf-8").splitlines() if self.parts.metrics.path.is_file() else []
        records = [record for line in lines if (record := json.loads(line)).get("kind") == KIND]
        return records[-1] if records else {}


def describe(summary: dict[str, Any]) -> str:
    """One line for people."""
    waiting = summary["waiting_s"] / max(summary["modelled_s"], 1e-9)
    return (
        f"{summary['num_workers']} workers would have taken {summary['modelled_s']:.1f} s ({summary['frames_per_s']:,.0f} "
        f"frames/s, {100 * summary['communication_share']:.1f} % of the time for communication, {100 * waiting:.1f} % waiting); "
        f"one worker {summary['one_worker_s']:.1f} s: speed-up {summary['speed_up']:.2f}, efficiency "
        f"{100 * summary['efficiency']:.1f} %"
    )
