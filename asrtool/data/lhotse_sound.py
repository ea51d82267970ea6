"""What a recording of a lhotse manifest is in wav.scp, reco2speed and reco2vol."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrtool.data.recording import MAX_FACTOR, MIN_FACTOR
from asrtool.errors import AsrtoolError


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording in a data directory's terms.

    Attributes:
        entries: channel -> entry of wav.scp.
        speed, volume: factors.
        rate: in Hz.
        duration_s: at that speed.
        mark: equal for equal recordings.
    """

    entries: dict[int, str]
    speed: float
    volume: float
    rate: int
    duration_s: float
    mark: int


def mark_of(item: dict[str, Any]) -> int:
    """A number that is the same for the same recording or cut."""
    return hash(json.dumps(item, sort_keys=True))


def as_sound(recording: dict[str, Any]) -> Sound:
    """A recording that a data directory can name without writing audio.

    Raises:
        AsrtoolError: it cannot; the message says what stands in the way.
    """
    speed = volume = 1.0
    for transform in recording.get("transforms") or []:
        name, settings = transform.get("name"), transform.get("kwargs") or {}
        factor = settings.get("factor")
        if name not in ("Speed", "Volume") or not isinstance(factor, int | float) or not MIN_FACTOR <= factor <= MAX_FACTOR:
            raise AsrtoolError(f"a data directory cannot hold its transform {name} ({_short(settings)})")
        speed, volume = (speed * factor, volume) if name == "Speed" else (speed, volume * factor)
    entries = {}
    for source in recording["sources"]:
        for position, channel in enumerate(source["channels"]):
            entries[channel] = _entry(source, position)
    wanted = recording.get("channel_ids")
    if wanted is not None and set(wanted) != set(entries):
        raise AsrtoolError(f"its channel_ids {wanted} are not those of its sources {sorted(entries)}")
    rate, duration_s = int(recording["sampling_rate"]), recording["num_samples"] / recording["sampling_rate"]
    return Sound(entries, speed, volume, rate, duration_s, mark_of(recording))


def _entry(source: dict[str, Any], position: int) -> str:
    kind, name = source["type"], source["source"]
    if not isinstance(name, str) or "\n" in name:
        raise AsrtoolError(f"its source of type '{kind}' is not a name")
    if kind == "command" and len(source["channels"]) == 1:
        return name.rstrip() + " |"
    if kind != "file":
        raise AsrtoolError(f"its source of type '{kind}' with {len(source['channels'])} channels cannot stand in wav.scp")
    suffix = Path(name).suffix.lower()
    if suffix == ".sph":
        return f"sph2pipe -f wav -p -c {position + 1} {shlex.quote(name)} |"
    if len(source["channels"]) == 1:
        return name
    return f"sox {shlex.quote(name)} -t wav - remix {position + 1} |"


def _short(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items() if isinstance(value, str | int | float))[:80] or "-"
