"""Kills a training of two workers again and again; in the end its models must be those of an untouched run.

    tests/distributed/kill_training.py --work DIR [--kills 50] [--full-disk 64m] [ALI TRAIN VALID CONFIG.yaml KEY=VALUE ...]

Each time one of these happens at a random moment: kill -9 of a worker, kill -9 of torchrun, SIGTERM, a limit on the size of
files that makes the next write fail half way, and (--full-disk, as root: the experiment lies on a tmpfs of its own) a disk that
is full until the run has ended. Then the same command starts again. Without data a toy task is trained.
"""

import argparse
import collections
import json
import os
import random
import resource
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

MAKE_TOY = runpy.run_path(str(Path(__file__).with_name("training_toy.py")))["make_toy"]
TIMINGS = ("frames_per_s", "load_s", "step_s", "sync_s")
LIMIT_S = 120


@dataclass
class Episode:
    """What was done to a run, after how many seconds, its exit status, and the seconds from the blow to its end."""

    blow: str
    after_s: float
    status: int
    end_s: float
    log: str = field(repr=False)


class Victim:
    """A training that can be started and hurt; `data` are the three directories, `settings` KEY=VALUE, `log` a file."""

    def __init__(self, experiment: Path, log: Path, config: Path, data: list[Path], settings: list[str]) -> None:
        self.experiment = experiment
        self.log = log
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "asrtool.cli", "train-nnet"]
        self.command = [sys.executable, *launcher, "--config", config, *data, experiment, *settings]
        self.filler = experiment / "filler"

    def start(self) -> subprocess.Popen:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        with open(self.log, "w") as file:  # through `cat`, which no limit on the size of files hits
            self.writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
        command = list(map(str, self.command))
        try:
            return subprocess.Popen(command, stdout=self.writer.stdin, stderr=subprocess.STDOUT, env=environment)
        finally:
            self.writer.stdin.close()

    def end(self, process: subprocess.Popen) -> None:
        """Whatever has happened, nothing is left of the run, and its log is complete."""
        process.kill()
        process.wait()
        self.writer.wait(LIMIT_S)
        self.filler.unlink(missing_ok=True)

    def workers(self, process: subprocess.Popen) -> list[int]:
        try:
            return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        except OSError:
            return []

    def progress(self) -> str:
        """Changes with every checkpoint."""
        try:
            return (self.experiment / "checkpoints" / "latest").read_text()
        except OSError:
            return ""

    def strike(self, blow: str, process: subprocess.Popen, generator: random.Random) -> bool:
        """False when there was nothing to hit yet."""
        workers = self.workers(process)
        if not workers:
            return False
        if blow == "kill worker":
            os.kill(generator.choice(workers), signal.SIGKILL)
        elif blow == "kill torchrun":
            process.kill()
        elif blow == "SIGTERM":
            process.terminate()
        elif blow == "file too large":
            limit = generator.choice([0, 300, 5_000, 50_000])
            for pid in workers:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))
        else:
            self.fill()
        return True

    def fill(self) -> None:
        try:
            with open(self.filler, "wb", buffering=0) as file:
                while file.write(bytes(1 << 16)):
                    pass
        except OSError:
            pass

    def one_episode(self, blow: str, generator: random.Random, longest_s: float) -> Episode | None:
        """Starts, strikes, waits for the end; None when the run ended before."""
        before, process, start = self.progress(), self.start(), time.monotonic()
        try:
            early = generator.random() < 0.15
            while not early and self.progress() == before and process.poll() is None:
                time.sleep(0.005)
            time.sleep(generator.random() * longest_s)
            while not self.strike(blow, process, generator):
                if process.poll() is not None:
                    return None
                time.sleep(0.01)
            struck = time.monotonic()
            status = process.wait(LIMIT_S)
            end_s = time.monotonic() - struck
        finally:
            self.end(process)
        return Episode(blow, struck - start, status, end_s, self.log.read_text())

    def run_to_the_end(self) -> None:
        process = self.start()
        try:
            if process.wait(1800):
                sys.exit(f"{self.experiment}: ended with {process.returncode}:\n{self.log.read_text()}")
        finally:
            self.end(process)


def outcome(experiment: Path) -> tuple[dict, list]:
    """Weights of every model file, and the records without timings."""
    paths = sorted(experiment.rglob("*.pt"))
    weights = {str(path.relative_to(experiment)): torch.load(path, weights_only=True)["weights"] for path in paths}
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    return weights, [{key: value for key, value in line.items() if key not in TIMINGS} for line in lines]


def differences(one: Path, other: Path) -> list[str]:
    """What is not equal to the bit."""
    (left, left_records), (right, right_records) = outcome(one), outcome(other)
    found = [] if left_records == right_records else ["metrics.jsonl"]
    found += sorted(set(left) ^ set(right))
    for name in sorted(set(left) & set(right)):
        if any(not torch.equal(left[name][key], right[name][key]) for key in right[name]):
            found.append(name)
    return found


def torment(victim: Victim, blows: list[str], kills: int, seed: int, longest_s: float) -> list[Episode]:
    """Until `kills` blows have hit; a run that comes to its end before is over, and the rest is left out."""
    generator, episodes = random.Random(seed), []
    while len(episodes) < kills and not (victim.experiment / "done").exists():
        blow = blows[len(episodes) % len(blows)]
        episode = victim.one_episode(blow, generator, longest_s)
        if episode is not None:
            episodes.append(episode)
            print(f"{len(episodes)}: {episode}, {victim.progress().strip()}", flush=True)
    return episodes


def complaints(episodes: list[Episode]) -> list[str]:
    """Episodes that did not end as they should: soon, not with status 0 unless the blow came too late, with a clear line."""
    found = []
    for number, episode in enumerate(episodes, start=1):
        over = "final models" in episode.log
        if episode.end_s > 60 or (episode.status == 0 and not over):
            found.append(f"episode {number}: {episode}")
        elif episode.blow in ("file too large", "full disk") and not over and "cannot be written" not in episode.log:
            found.append(f"episode {number}: no clear message: {episode.log[-2000:]}")
        elif "Traceback" in episode.log and "asrtool/cli.py" in episode.log.split("Traceback", 1)[1]:  # ours, not torchrun's
            found.append(f"episode {number}: a traceback: {episode.log[-2000:]}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-s", type=float, default=3.0, help="longest time from the first sign of progress to the blow")
    parser.add_argument("--full-disk", metavar="SIZE", help="mount a tmpfs of this size (64m) for the experiment; needs root")
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.words:
        data, config, settings = [Path(word) for word in given.words[:3]], Path(given.words[3]), given.words[4:]
    else:
        toy = MAKE_TOY(given.work / "toy", num_utterances=400)
        data, config, settings = [toy / "ali", toy / "train", toy / "valid"], toy / "config.yaml", ["num_epochs=6"]
    start = time.monotonic()
    whole = Victim(given.work / "whole", given.work / "whole.log", config, data, settings)
    whole.run_to_the_end()
    print(f"the untouched run took {time.monotonic() - start:.0f} s", flush=True)
    victim = Victim(given.work / "disk" / "broken", given.work / "broken.log", config, data, settings)
    victim.experiment.parent.mkdir(exist_ok=True)
    blows = ["kill worker", "kill torchrun", "kill worker", "SIGTERM", "file too large"]
    if given.full_disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={given.full_disk}", "tmpfs", victim.experiment.parent], check=True)
        blows.append("full disk")
    try:
        episodes = torment(victim, blows, given.kills, given.seed, given.longest_s)
        victim.run_to_the_end()
        different = differences(victim.experiment, whole.experiment)
    finally:
        if given.full_disk:
            subprocess.run(["umount", victim.experiment.parent], check=True)
    counts = collections.Counter(episode.blow for episode in episodes)
    wrong = complaints(episodes)
    print(*wrong, sep="\n")
    print(f"{len(episodes)} blows ({dict(counts)}) in {time.monotonic() - start:.0f} s; {len(wrong)} did not end as they should;")
    print(f"models and records that differ from the untouched run: {different or 'none'}")
    return 1 if different or wrong or len(episodes) < given.kills else 0


if __name__ == "__main__":
    sys.exit(main())
