"""Data directories with noise and reverberation: audio is written, in jobs that can be broken off and started again."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from asrtool.data.augment import Augmenter, AugmentOptions
from asrtool.data.data_dir import DataDir, write_data_dir
from asrtool.data.lhotse_audio import file_name, write_audio
from asrtool.data.lhotse_lines import read_lines, write_lines
from asrtool.data.recording import Recording
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import read_scp
from asrtool.io.progress import progress
from asrtool.io.tally import Tally

_KEPT_BY_UTTERANCE = ("text", "utt2lang", "utt2dur")


def recordings_of(data: DataDir) -> list[str]:
    """The recordings that utterances are cut out of, in the order of wav.scp.

    Raises:
        AsrtoolError: an utterance whose recording is not in wav.scp, or one at another speed.
    """
    data.file("wav.scp")
    used = {data.segments[name][0] if name in data.segments else name for name in data.utterances}
    for name in data.utterances:
        if data.recording(name).speed != 1:
            raise AsrtoolError(
                f"{data.path}: {name}: is at another speed; augment {data.path} before its speed is perturbed, so that "
                "alignments can follow"
            )
    return [name for name in data.wav_scp if name in used]


class AugmentedDir:
    """One run of augmentation: the source, the options, and what has been written so far."""

    def __init__(self, source: str | Path, directory: str | Path, options: AugmentOptions) -> None:
        self.data, self.directory, self.options = DataDir.load(source), Path(directory), options
        self.audio, self.state = self.directory.resolve() / "audio", self.directory / ".augment"
        if self.directory.resolve() == self.data.path.resolve():
            raise AsrtoolError(f"{directory}: is the source itself; give another directory")
        if (self.directory / "feats.scp").is_file():
            raise AsrtoolError(f"{directory}/feats.scp: is there already; remove {directory} or give another directory")
        self.recordings = recordings_of(self.data)

    def _check_settings(self, files: dict[str, int]) -> None:
        """The settings of a run that was broken off must be those of this one."""
        names = sorted(path.name for path in self.data.path.iterdir() if path.name in ("wav.scp", "reco2vol"))
        content = hashlib.sha256(b"".join((self.data.path / name).read_bytes() for name in names)).hexdigest()
        now = dataclasses.asdict(self.options) | {"source": content, "files": files}
        now = {key: value for key, value in now.items() if key not in ("musan", "rirs")}  # the corpora may have moved
        text, path = json.dumps(now, indent=1, sort_keys=True) + "\n", self.state / "settings.json"
        if not path.is_file():
            write_text(path, text)
        elif path.read_text() != text:
            before = json.loads(path.read_text())
            other = [key for key in now if json.loads(json.dumps(now[key])) != before.get(key)]
            raise AsrtoolError(
                f"{self.directory}: was begun with other settings ({', '.join(other)}); remove it or give another directory"
            )

    def path(self, name: str, kind: str) -> Path:
        return self.audio / kind / f"{file_name(name)}.{self.options.audio_format}"

    def written(self) -> dict[str, tuple[int, int]]:
        """NAME-KIND of all audio that is there -> where it is recorded: number of the part, and place of the line in it."""
        found = {}
        for number, part in enumerate(self._parts()):
            with open(part, "rb") as file:
                place = 0
                for line in file:
                    try:
                        record = json.loads(line)
                        name, kind = record["recording"], record["kind"]
                    except (ValueError, KeyError, TypeError):  # the end of a job that was broken off, or is being written
                        pass
                    else:
                        if self.path(name, kind).is_file():
                            found[f"{name}-{kind}"] = number, place
                    place += len(line)
        return found

    def _parts(self) -> list[Path]:
        return sorted(self.state.glob("*.jsonl"))

    def _records(self, written: dict[str, tuple[int, int]]) -> Iterator[dict[str, Any]]:
        with ExitStack() as stack:
            files = [stack.enter_context(open(part, "rb")) for part in self._parts()]
            for name, (number, place) in sorted(written.items()):
                files[number].seek(place)
                yield {"id": name} | json.loads(files[number].readline())

    def run(self, job: int, num_jobs: int, max_failed: float) -> None:
        """Writes the audio of the job-th (from 1) of `num_jobs` runs of the recordings, but for what is there already.

        Raises:
            AsrtoolError: other settings than those it was begun with, or more than the share `max_failed` failed.
        """
        if not 1 <= job <= num_jobs:
            raise AsrtoolError(f"{self.directory}: job {job} of {num_jobs}: jobs count from 1 to their number")
        augment = Augmenter(self.options)
        self._check_settings({kind: len(files) for kind, files in augment.files.items()})
        total = len(self.recordings)
        mine = self.recordings[(job - 1) * total // num_jobs : job * total // num_jobs]
        done = self.written()
        missing = [name for name in mine if any(f"{name}-{kind}" not in done for kind in self.options.kinds)]
        tally = Tally("recordings", max_failed)
        tally.done = len(mine) - len(missing)
        self.state.mkdir(parents=True, exist_ok=True)
        with open(self.state / f"{job}-of-{num_jobs}.jsonl", "a", encoding="utf-8") as log:
            log.write("\n")
            for name in progress(missing, len(missing), "recordings"):
                try:
                    for record in self._augment(augment, name, done):
                        log.write(json.dumps(record, ensure_ascii=False) + "\n")
                        log.flush()
                except (AsrtoolError, OSError) as error:
                    if max_failed == 0:
                        raise AsrtoolError(f"{self.data.path}/wav.scp: {name}: {error}") from None
                    tally.failed(name, str(error))
                else:
                    tally.ok()
        if mine:
            tally.close()

    def _augment(self, augment: Augmenter, name: str, done: dict) -> Iterator[dict[str, Any]]:
        volume = self.data.reco2vol.get(name, 1.0)
        samples, rate, _ = Recording.parse(self.data.wav_scp[name], 1.0, volume, f"{self.data.path}/wav.scp: {name}").read()
        for kind in self.options.kinds:
            if f"{name}-{kind}" not in done:
                changed, record = augment(kind, name, samples, rate)
                write_audio(self.path(name, kind), changed, rate)
                yield {"recording": name, "kind": kind} | record

    def collect(self, modify_speaker: bool, max_failed: float) -> int:
        """Writes the files of the data directory; returns its utterances.

        Raises:
            AsrtoolError: more than the share `max_failed` of the recordings are not written.
        """
        done = self.written()
        kinds = self.options.kinds
        wanted = [(name, kind) for name in self.recordings for kind in kinds]
        missing = [(name, kind) for name, kind in wanted if f"{name}-{kind}" not in done]
        if len(missing) > max_failed * len(wanted) or len(missing) == len(wanted):
            name, kind = missing[0]
            raise AsrtoolError(
                f"{self.directory}: {name}: {kind}: no audio of it (nor of {len(missing) - 1} more); run the jobs first"
            )
        tables = self._tables(done, modify_speaker)
        write_lines(self.directory / "augmentation.jsonl", self._records(done))
        write_data_dir(self.directory, tables)
        return len(tables["utt2spk"])

    def _tables(self, done: dict, modify_speaker: bool) -> dict[str, dict[str, str]]:
        source = {
            name: read_scp(self.data.path / name, allow_empty=name == "text")
            for name in (*_KEPT_BY_UTTERANCE, "utt2uniq", "segments", "spk2gender", "reco2dur")
            if (self.data.path / name).is_file()
        }
        tables: dict[str, dict[str, str]] = {name: {} for name in (*source, "utt2spk", "utt2uniq", "wav.scp")}
        for kind in self.options.kinds:
            for utterance, speaker in self.data.utt2spk.items():
                recording, *times = source["segments"][utterance].split() if "segments" in source else [utterance]
                name, reco_name = f"{utterance}-{kind}", f"{recording}-{kind}"
                if reco_name not in done:
                    continue
                speaker_name = f"{speaker}-{kind}" if modify_speaker else speaker
                tables["utt2spk"][name] = speaker_name
                tables["utt2uniq"][name] = source.get("utt2uniq", {}).get(utterance, utterance)
                tables["wav.scp"][reco_name] = str(self.path(recording, kind))
                if times:
                    tables["segments"][name] = " ".join([reco_name, *times])
                for table in _KEPT_BY_UTTERANCE:
                    if utterance in source.get(table, {}):
                        tables[table][name] = source[table][utterance]
                if speaker in source.get("spk2gender", {}):
                    tables["spk2gender"][speaker_name] = source["spk2gender"][speaker]
                if recording in source.get("reco2dur", {}):
                    tables["reco2dur"][reco_name] = source["reco2dur"][recording]
        return {name: table for name, table in tables.items() if table}


def read_augmentation(directory: str | Path) -> dict[str, dict[str, Any]]:
    """Recording of an augmented directory -> what was done to it."""
    return {record["id"]: record for record in read_lines(Path(directory) / "augmentation.jsonl")}
