"""Hits trainings of several workers again and again; in the end their models must be good, or those of an untouched run.

    tests/distributed/kill_training.py --work DIR [--kills 100] [--algorithms bmuf,asgd] [--sequence] [--full-disk 64m]

The kills are shared out over the algorithms. Each happens at a random moment: kill -9 of a worker, of worker 0, of torchrun,
SIGTERM, SIGSTOP of a worker (silence), a limit on the size of files that makes the next write fail half way, and (--full-disk,
as root: the experiment lies on a tmpfs of its own) a disk that is full until the run has ended. Then training starts again. For
synchronous algorithms the first experiment keeps its two workers, and must end with the models and records of an untouched run of
two virtual workers, to the bit; later ones, and all of asynchronous algorithms, go on with another number of workers now and
then. Asynchronous trainings must go on without a worker that dies or is silent, unless it is worker 0.
"""

import argparse
import collections
import random
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

MAKE_SEQUENCE_TOY = runpy.run_path(str(Path(__file__).with_name("sequence_toy.py")))["make_sequence_toy"]
MAKE_TOY = runpy.run_path(str(Path(__file__).with_name("training_toy.py")))["make_toy"]
CHECKS = runpy.run_path(str(Path(__file__).with_name("kill_checks.py")))
VICTIM = runpy.run_path(str(Path(__file__).with_name("kill_victim.py")))
Victim = VICTIM["Victim"]
HANG_S = 60  # what is still well after a blow
SILENT_S = 4
ALGORITHMS = {
    "model_averaging": ["parallel.algorithm=model_averaging"],
    "bmuf": ["parallel.algorithm=bmuf", "parallel.nesterov=true"],
    "bmuf_overlap": ["parallel.algorithm=bmuf", "parallel.overlap=true"],
    "bsp": ["parallel.algorithm=bsp"],
    "asgd": ["parallel.algorithm=asgd", "schedule.learning_rate=0.1"],
    "easgd": ["parallel.algorithm=easgd"],
    "easgd_synchronous": ["parallel.algorithm=easgd", "parallel.synchronous=true"],
}
BLOWS = ["kill worker", "kill torchrun", "silence", "kill worker 0", "SIGTERM", "kill worker", "file too large"]
SETTINGS = ["num_epochs=4", "models_per_epoch=2", "parallel.sync_frames=200", f"parallel.lost_after_s={SILENT_S}"]


def torment(victim, blows: list[str], seed: int, longest_s: float, elastic: bool) -> tuple[list, list[str]]:
    """Until all blows have hit or the training is over; what is left stays in `blows`. Also what went wrong."""
    generator, episodes, wrong = random.Random(seed), [], []
    while blows and not victim.done:
        for episode in victim.episodes(blows, generator, longest_s):
            episodes.append(episode)
            print(f"  {episode}, checkpoint {victim.progress()}", flush=True)
            wrong += complaints(episode, victim)
        wrong += CHECKS["replicas"](victim.experiment / "checkpoints", victim.config.parallel)
        if elastic:
            victim.num_workers = generator.choice([2, 3])
    if not victim.done:
        victim.run_to_the_end()
    return episodes, wrong


def complaints(episode, victim) -> list[str]:
    """What an episode should not be: long, over with status 0 unless the blow came too late, without a clear line."""
    over = "final models" in episode.log
    if episode.end_s > HANG_S or (episode.status == 0 and not over):
        return [str(episode)]
    if victim.survives(episode.blow) and not over and episode.status is not None:
        return [f"{episode}: the others have not gone on: {episode.log[-2000:]}"]
    if episode.blow in ("file too large", "full disk") and not over and "cannot be written" not in episode.log:
        return [f"{episode}: no clear message: {episode.log[-2000:]}"]
    if "Traceback" in episode.log and "asrtool/cli.py" in episode.log.split("Traceback", 1)[1]:  # ours, not torchrun's
        return [f"{episode}: a traceback: {episode.log[-2000:]}"]
    return []


def torment_algorithm(
    name: str, make_victim: Callable, work: Path, kills: int, blows: list[str], seed: int, longest_s: float
) -> tuple[list, list[str]]:
    """Experiments of one algorithm, one after the other, until it has been hit so often: (episodes, what went wrong)."""
    episodes, wrong, number = [], [], 0
    settings = [*ALGORITHMS[name], *SETTINGS]
    while len(episodes) < kills:
        victim = make_victim(work / name / str(number), settings)
        elastic = victim.asynchronous or number > 0
        left = [blows[(len(episodes) + index) % len(blows)] for index in range(kills - len(episodes))]
        print(f"{name}, experiment {number}{', the number of workers changes' if elastic else ''}", flush=True)
        found, faults = torment(victim, left, seed + number, longest_s, elastic)
        episodes, wrong, number = episodes + found, wrong + faults, number + 1
        wrong += CHECKS["not_sane"](victim.experiment)
        if not elastic:
            untouched = make_victim(work / name / "untouched", settings)
            untouched.train_untouched()
            # an exchange that was under way at a checkpoint was booked by the run that has died
            without = ["bytes_sent"] if victim.config.parallel.overlap else []
            wrong += CHECKS["differences"](victim.experiment, untouched.experiment, without)
    return episodes, [f"{name}: {fault}" for fault in wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--algorithms", default=",".join(ALGORITHMS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-s", type=float, default=2.0, help="longest time from the first sign of progress to the blow")
    parser.add_argument("--sequence", action="store_true", help="sMBR training with lattices made in the trainer")
    parser.add_argument("--full-disk", metavar="SIZE", help="mount a tmpfs of this size (64m) for the experiments; needs root")
    given = parser.parse_args()
    torch.set_num_threads(1)
    shutil.rmtree(given.work, ignore_errors=True)
    work, names = given.work / "disk", given.algorithms.split(",")
    work.mkdir(parents=True)
    make_toy, task = (MAKE_SEQUENCE_TOY, VICTIM["SequenceTask"]) if given.sequence else (MAKE_TOY, VICTIM["FrameTask"])
    toy = make_toy(given.work / "toy", num_utterances=200)

    def make_victim(experiment: Path, settings: list[str]) -> Victim:
        return Victim(experiment, toy, settings, task)

    start, episodes, wrong, blows = time.monotonic(), [], [], list(BLOWS)
    if given.full_disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={given.full_disk}", "tmpfs", work], check=True)
        blows.append("full disk")
    try:
        for index, name in enumerate(names):
            share = given.kills * (index + 1) // len(names) - given.kills * index // len(names)
            turned = blows[index % len(blows) :] + blows[: index % len(blows)]
            found, faults = torment_algorithm(name, make_victim, work, share, turned, given.seed, given.longest_s)
            episodes, wrong = episodes + found, wrong + faults
            print(*faults, sep="\n", flush=True)
    finally:
        if given.full_disk:
            subprocess.run(["umount", work], check=True)
    longest = max((episode.end_s for episode in episodes), default=0.0)
    counts = dict(collections.Counter(episode.blow for episode in episodes))
    print(f"{len(episodes)} blows ({counts}) in {time.monotonic() - start:.0f} s; longest wait after one {longest:.1f} s")
    print(f"{len(wrong)} things wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
