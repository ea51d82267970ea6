"""Parts of a data directory: by speaker lists, in N parts, by number, into training and validation."""

import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from asrtool.data.data_dir import ALL_TABLES, COPIED_FILES, DataDir, select, speakers_utterances
from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_table import read_scp


def split_by_speaker(source: str | Path, num_parts: int, per_utterance: bool = False) -> list[Path]:
    """Writes SOURCE/splitN/1 .. N (splitNutt with per_utterance), each a run of speakers with about as many utterances.

    The folder appears whole, and is left alone if it is newer than the files of SOURCE.

    Raises:
        AsrtoolError: fewer speakers (utterances) than parts.
    """
    data = DataDir.load(source)
    groups = [[utterance] for utterance in data.utterances] if per_utterance else list(data.spk2utt.values())
    if not 1 <= num_parts <= len(groups):
        what = "utterances" if per_utterance else "speakers"
        raise AsrtoolError(f"{source}: {len(groups)} {what} cannot make {num_parts} parts; ask for fewer (--nj)")
    root = data.path / f"split{num_parts}{'utt' if per_utterance else ''}"
    paths = [root / str(number) for number in range(1, num_parts + 1)]
    sources = [path.stat().st_mtime_ns for name in ALL_TABLES + COPIED_FILES if (path := data.path / name).is_file()]
    if root.is_dir() and root.stat().st_mtime_ns > max(sources) and all(path.is_dir() for path in paths):
        return paths
    temporary = root.with_name(f".{root.name}.tmp{os.getpid()}")
    for number, part in enumerate(balanced_runs(groups, num_parts), 1):
        select(data.path, temporary / str(number), part)
    if root.is_dir():
        shutil.rmtree(root)
    temporary.rename(root)
    os.utime(root)
    return paths


def balanced_runs(groups: Sequence[Sequence[str]], num_parts: int) -> list[list[str]]:
    """Cuts a list of groups into runs, none empty, whose sizes (in members) are as even as whole groups allow."""
    total = sum(map(len, groups))
    parts: list[list[str]] = []
    next_group, taken = 0, 0
    for number in range(1, num_parts + 1):
        last_allowed = len(groups) - (num_parts - number)  # leave one for each of the parts to come
        part = list(groups[next_group])
        next_group += 1
        target = total * number / num_parts
        while next_group < last_allowed and taken + len(part) + len(groups[next_group]) / 2 <= target:
            part += groups[next_group]
            next_group += 1
        if number == num_parts:
            part += [member for group in groups[next_group:] for member in group]
        taken += len(part)
        parts.append(part)
    return parts


def utterances_of_speakers(data: DataDir, speakers: Sequence[str], where: str) -> list[str]:
    """In the order of utt2spk; a speaker without utterances is an error."""
    missing = sorted(set(speakers) - set(data.spk2utt))
    if missing:
        raise AsrtoolError(f"{where}: speaker '{missing[0]}' has no utterance in {data.path}")
    wanted = set(speakers)
    return [utterance for utterance, speaker in data.utt2spk.items() if speaker in wanted]


def read_list(path: str | Path) -> list[str]:
    """The first column of a file."""
    if not Path(path).is_file():
        raise AsrtoolError(f"{path}: no such list")
    names = [line.split()[0] for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise AsrtoolError(f"{path}: the list is empty")
    return names


def train_valid_speakers(data: DataDir, valid_share: float, seed: int) -> tuple[list[str], list[str]]:
    """Draws speakers for validation until they hold `valid_share` of the utterances; no speaker is in both lists.

    Perturbed copies of a speaker (utt2uniq) go with the speaker.
    """
    groups = kindred_speakers(data)
    if not 0 < valid_share < 1 or len(groups) < 2:
        raise AsrtoolError(f"{data.path}: {len(groups)} speakers cannot be split with a validation share of {valid_share}")
    random.Random(seed).shuffle(groups)
    wanted = valid_share * len(data.utt2spk)
    valid: list[str] = []
    held = number = 0
    for group in groups[:-1]:
        if valid and held >= wanted:
            break
        valid += group
        held += sum(len(data.spk2utt[speaker]) for speaker in group)
        number += 1
    return sorted(speaker for group in groups[number:] for speaker in group), sorted(valid)


def kindred_speakers(data: DataDir) -> list[list[str]]:
    """Speakers, those together who have utterances of one origin (utt2uniq); sorted."""
    path = data.path / "utt2uniq"
    origins = read_scp(path) if path.is_file() else {}
    head = {speaker: speaker for speaker in data.spk2utt}

    def find(speaker: str) -> str:
        while head[speaker] != speaker:
            head[speaker] = speaker = head[head[speaker]]
        return speaker

    first: dict[str, str] = {}
    for utterance, speaker in data.utt2spk.items():
        one, two = find(first.setdefault(origins.get(utterance, utterance), speaker)), find(speaker)
        head[max(one, two)] = min(one, two)
    groups: dict[str, list[str]] = {}
    for speaker in sorted(head):
        groups.setdefault(find(speaker), []).append(speaker)
    return sorted(groups.values())


def choose_number(data: DataDir, how: str, number: int) -> list[str]:
    """Some utterances.

    Args:
        data: from which.
        how: "first", "last", "shortest" (by utt2num_frames, else utt2dur), "even" (spread over the list) or "per_spk"
            (the first `number` of every speaker).
        number: how many; no more than there are (but for per_spk).
    """
    utterances = data.utterances
    if how == "per_spk":
        return [name for names in speakers_utterances(data.utt2spk).values() for name in names[:number]]
    if not 1 <= number <= len(utterances):
        raise AsrtoolError(f"{data.path}: {len(utterances)} utterances, {number} were asked for")
    if how == "first":
        return utterances[:number]
    if how == "last":
        return utterances[-number:]
    if how == "shortest":
        lengths = data.utt2num_frames if (data.path / "feats.scp").is_file() else data.utt2dur
        missing = [name for name in utterances if name not in lengths]
        if missing:
            raise AsrtoolError(f"{data.path}: {missing[0]}: its length is not known; run utils/fix_data_dir.sh")
        return sorted(utterances, key=lambda name: (lengths[name], name))[:number]
    return [utterances[index * len(utterances) // number] for index in range(number)]
