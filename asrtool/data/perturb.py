"""Data directories at another speed or volume, as Kaldi's perturb_data_dir_speed.sh and perturb_data_dir_volume.sh.

No audio is written: reco2speed and reco2vol say what is done to a recording when it is read.
"""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from asrtool.data.data_dir import RECORDING_FILES, DataDir, parse_segment, write_data_dir, write_table
from asrtool.data.recording import Recording, parse_factor
from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_table import read_scp

# what stays true at another speed but for names and times; features and what comes of them does not
_KEPT_BY_UTTERANCE = ("text", "utt2lang")
_MIN_SEGMENT_S = 0.01
_VOID_FEATURE_FILES = ("feats.scp", "cmvn.scp", "global_cmvn")


def perturb_speed(source: str | Path, destination: str | Path, factor: str, include_spk_prefix: bool = True) -> int:
    """Writes a directory of the same recordings `factor` times as fast; returns its utterances.

    Utterances, recordings and speakers are named sp<factor>-<name> with the factor as it was written; without
    `include_spk_prefix` speakers keep their names and the others become <name>-sp<factor>. utt2uniq leads to the names
    that the utterances had before any change.

    Raises:
        AsrtoolError: a factor that is none, a source without wav.scp, a destination that has features or is the source.
    """
    source, destination = Path(source), Path(destination)
    speed = parse_factor(factor, "speed factor")
    if source.resolve() == destination.resolve():
        raise AsrtoolError(f"{destination}: is the source itself; give another directory")
    data = DataDir.load(source)
    data.file("wav.scp")

    def rename(name: str) -> str:
        return f"sp{factor}-{name}" if include_spk_prefix else f"{name}-sp{factor}"

    def rename_speaker(name: str) -> str:
        return f"sp{factor}-{name}" if include_spk_prefix else name

    tables = _renamed_tables(data, rename, rename_speaker)
    for name in ("utt2dur", "reco2dur"):
        if (source / name).is_file():
            tables[name] = {
                rename(key): f"{_seconds(source / name, key, value) / speed:.4f}"
                for key, value in read_scp(source / name).items()
            }
    if (source / "segments").is_file():
        tables["segments"] = _scaled_segments(source / "segments", speed, rename)
    tables["reco2speed"] = {rename(name): f"{data.reco2speed.get(name, 1.0) * speed:.9g}" for name in data.wav_scp}
    write_data_dir(destination, tables)
    return len(tables["utt2spk"])


def _renamed_tables(
    data: DataDir, rename: Callable[[str], str], rename_speaker: Callable[[str], str]
) -> dict[str, dict[str, str]]:
    tables = {"utt2spk": {rename(name): rename_speaker(speaker) for name, speaker in data.utt2spk.items()}}
    originals = read_scp(data.path / "utt2uniq") if (data.path / "utt2uniq").is_file() else {}
    tables["utt2uniq"] = {rename(name): originals.get(name, name) for name in data.utt2spk}
    kept = dict.fromkeys((*_KEPT_BY_UTTERANCE, *RECORDING_FILES), rename) | {"spk2gender": rename_speaker}
    for name, renamed in kept.items():
        if (data.path / name).is_file():
            table = read_scp(data.path / name, allow_empty=name == "text")
            tables[name] = {renamed(key): value for key, value in table.items()}
    return tables


def _seconds(path: Path, key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise AsrtoolError(f"{path}: {key}: expected seconds, found '{value[:40]}'; mend the line") from None


def _scaled_segments(path: Path, speed: float, rename: Callable[[str], str]) -> dict[str, str]:
    scaled = {}
    for utterance, line in read_scp(path).items():
        recording, start_s, end_s = parse_segment(path, utterance, line)
        if end_s >= 0 and (end_s - start_s) / speed <= _MIN_SEGMENT_S:
            raise AsrtoolError(
                f"{path}: {utterance}: nothing is left of {end_s - start_s:.3f} s at speed {speed:g}; leave it out"
            )
        end = "-1" if end_s < 0 else f"{end_s / speed:.4f}"
        scaled[rename(utterance)] = f"{rename(recording)} {start_s / speed:.4f} {end}"
    return scaled


def perturb_volume(
    directory: str | Path, low: float = 0.125, high: float = 2.0, seed: int = 0, volumes: Mapping[str, float] | None = None
) -> dict[str, float] | None:
    """Gives every recording of a directory a volume, in reco2vol; None, and nothing is done, where it has them already.

    A recording's volume is uniform in [low, high] and depends on the seed and its name alone, or is taken from `volumes`.
    Features and CMVN statistics, which are void then, go to .backup.

    Raises:
        AsrtoolError: a range that is none, no wav.scp, or a recording that `volumes` lacks.
    """
    data = DataDir.load(directory)
    data.file("wav.scp")
    if not 0 < low <= high:
        raise AsrtoolError(f"--scale-low {low} and --scale-high {high}: expected 0 < low <= high")
    parsed = [Recording.parse(entry, where=f"{data.path}/wav.scp: {name}") for name, entry in data.wav_scp.items()]
    if (data.path / "reco2vol").is_file() or any(recording.volume != 1 for recording in parsed):
        return None
    missing = [name for name in data.wav_scp if volumes is not None and name not in volumes]
    if missing:
        raise AsrtoolError(
            f"{data.path}/wav.scp: {missing[0]}: has no volume in the file that was given (nor {len(missing) - 1} more)"
        )
    drawn = {
        name: volumes[name] if volumes is not None else random.Random(f"{seed} {name}").uniform(low, high)
        for name in data.wav_scp
    }
    for name in _VOID_FEATURE_FILES:
        if (data.path / name).is_file():
            (data.path / ".backup").mkdir(exist_ok=True)
            (data.path / name).replace(data.path / ".backup" / name)
    write_volumes(data.path / "reco2vol", drawn)
    return drawn


def read_volumes(path: str | Path) -> dict[str, float]:
    """Recording -> factor."""
    return {name: parse_factor(value, f"{path}: {name}") for name, value in read_scp(path).items()}


def write_volumes(path: str | Path, volumes: Mapping[str, float]) -> None:
    write_table(Path(path), {name: f"{volume:.6g}" for name, volume in volumes.items()})
