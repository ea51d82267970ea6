"""What the trainings of a study came to: error rates and their spread over the seeds, errors by kind, significance against CE."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.report.parallel_comparison_runs import Spread
from asrtool.report.sequence_study import Study, Training
from asrtool.score.comparison import load_system
from asrtool.score.details import align_texts
from asrtool.score.edit_distance import ErrorCounts
from asrtool.score.preparation import Preparation
from asrtool.score.significance import matched_pairs, segment_errors

LINE = re.compile(r"%(?:WER|CER) [\d.]+ \[ (\d+) / (\d+), (\d+) ins, (\d+) del, (\d+) sub \]")


@dataclass
class Outcome:
    """A training with all seeds that are finished.

    Attributes:
        kinds: seed -> the kind of model with the lower error rate on the dev data, which is the one that counts.
        dev, test: seed -> its errors there.
        diverged: seeds.
        gain: seed -> by how much its test error rate is lower than that of the CE model that it started from, in % of that.
        p: seed -> two-sided p of matched pairs (MAPSSWE) on the test data against that CE model.
    """

    training: Training
    kinds: dict[int, str] = field(default_factory=dict)
    dev: dict[int, ErrorCounts] = field(default_factory=dict)
    test: dict[int, ErrorCounts] = field(default_factory=dict)
    diverged: list[int] = field(default_factory=list)
    gain: dict[int, float] = field(default_factory=dict)
    p: dict[int, float] = field(default_factory=dict)

    def rate(self, on: str = "test") -> Spread | None:
        """Error rate in %, over the seeds."""
        return Spread.of(counts.rate for counts in getattr(self, on).values())

    def mean_counts(self) -> tuple[float, float, float] | None:
        """Insertions, deletions, substitutions on the test data, means over the seeds."""
        found = list(self.test.values())
        if not found:
            return None
        return tuple(
            sum(getattr(counts, kind) for counts in found) / len(found) for kind in ("insertions", "deletions", "substitutions")
        )


def read_counts(directory: Path, metric: str) -> ErrorCounts | None:
    """The errors that a scored decoding directory names as its best; None where it is not scored.

    Raises:
        AsrtoolError: a file of another form.
    """
    file = directory / "scoring_kaldi" / f"best_{metric}"
    if not file.is_file():
        return None
    found = LINE.match(file.read_text(encoding="utf-8"))
    if not found:
        raise AsrtoolError(f"{file}: expected a line '%{metric.upper()} ... [ ... ]'; score {directory} again")
    _, total, inserted, deleted, replaced = map(int, found.groups())
    return ErrorCounts(insertions=inserted, deletions=deleted, substitutions=replaced, total=total)


def read_outcome(study: Study, training: Training) -> Outcome:
    """What is there of a training, seed by seed."""
    config, outcome = study.config, Outcome(training)
    for seed in config.seeds:
        if (training.directory(study.directory, seed) / "diverged").is_file():
            outcome.diverged.append(seed)
            continue
        dev, test = (training.decodings(study.directory, seed, config.average, on) for on in ("dev", "test"))
        counts = {kind: (read_counts(dev[kind], config.metric), read_counts(test[kind], config.metric)) for kind in dev}
        counts = {kind: pair for kind, pair in counts.items() if None not in pair}
        if counts:
            kind = min(counts, key=lambda kind: counts[kind][0].rate)
            outcome.kinds[seed], (outcome.dev[seed], outcome.test[seed]) = kind, counts[kind]
    return outcome


def read_study(study: Study) -> dict[Training, Outcome]:
    """All trainings of the tables, with the tests against CE."""
    outcomes = {training: read_outcome(study, training) for training in study.trainings()}
    for training, outcome in outcomes.items():
        before = None if training.is_ce else outcomes.get(training.before) or read_outcome(study, training.before)
        for seed in outcome.kinds if before else ():
            if seed in before.kinds:
                directories = [_test_dir(study, one, seed) for one in (before, outcome)]
                outcome.p[seed] = significance(*directories, study.config.metric)
                base = before.test[seed].rate
                outcome.gain[seed] = 100 * (base - outcome.test[seed].rate) / base if base else 0.0
    return outcomes


def _test_dir(study: Study, outcome: Outcome, seed: int) -> Path:
    found = outcome.training.decodings(study.directory, seed, study.config.average, "test")
    return found[outcome.kinds[seed]]


@lru_cache(maxsize=1000)
def significance(first: Path, second: Path, metric: str) -> float:
    """Two-sided p of the matched-pairs test (MAPSSWE) on two scored decodings of the same data."""
    preparation = Preparation(metric=metric)
    sides = [align_texts(*load_system(path, None, preparation)) for path in (first, second)]
    return matched_pairs(*segment_errors(*sides)).p
