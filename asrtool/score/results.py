"""results.json: the figures of a recipe for machines, a list of records."""

import fcntl
import json
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.score.edit_distance import ErrorCounts

KEYS = ("system", "set", "metric", "value", "errors", "total", "ins", "del", "sub", "command", "commit", "seed")


def make_record(
    system: str, dataset: str, metric: str, counts: ErrorCounts, command: str = "", commit: str = "unknown", seed: int = 0
) -> dict:
    """A record of an error rate in %; `metric` is "wer" or "cer"."""
    values = (
        system,
        dataset,
        metric,
        round(counts.rate, 4),
        counts.errors,
        counts.total,
        counts.insertions,
        counts.deletions,
        counts.substitutions,
        command,
        commit,
        seed,
    )
    return dict(zip(KEYS, values, strict=True))


def read_results(path: str | Path) -> list[dict]:
    """All records of a results.json.

    Raises:
        AsrtoolError: no such file, or one that is not a list of records.
    """
    path = Path(path)
    if not path.is_file():
        raise AsrtoolError(f"{path}: no such file; score a decoding first")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if not all(set(KEYS) <= set(record) for record in results):
            raise ValueError("a record lacks a key")
    except (ValueError, TypeError) as error:
        raise AsrtoolError(f"{path}: not a list of results ({error}); move it away and score again") from None
    return results


def append_results(path: str | Path, records: list[dict]) -> None:
    """Adds records; one of the same system, set and metric is replaced. Safe with several writers on one host."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = read_results(path) if path.is_file() else []
        by_key = {(record["system"], record["set"], record["metric"]): record for record in [*known, *records]}
        write_text(path, json.dumps(list(by_key.values()), indent=1, ensure_ascii=False) + "\n")


def append_result(path: str | Path, record: dict) -> None:
    """`append_results` of one record."""
    append_results(path, [record])
