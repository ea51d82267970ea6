"""lhotse manifests of a data directory: recordings, supervisions, cuts, features."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from asrtool.data.data_dir import DataDir
from asrtool.data.lhotse_lines import write_lines
from asrtool.data.lhotse_rows import CARRIED_BY_RECORDING, CARRIED_BY_SPEAKER, CARRIED_BY_UTTERANCE, KALDI, carried_lines
from asrtool.errors import AsrtoolError
from asrtool.io.audio import read_header, read_wav_and_rate
from asrtool.io.kaldi_table import read_scp
from asrtool.io.progress import progress
from asrtool.io.tally import Tally

_CARRIED = CARRIED_BY_UTTERANCE + CARRIED_BY_SPEAKER + CARRIED_BY_RECORDING


@dataclass
class Exporter:
    """Makes manifests' lines of a data directory, one by one.

    Attributes:
        rate: the sampling rate in Hz of what is read by commands, whose lengths are then taken from reco2dur (or utt2dur,
            without segments); None runs the commands.
        max_failed: the share of recordings and of utterances that may be left out.
    """

    data: DataDir
    rate: int | None = None
    max_failed: float = 0.0
    sizes: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # recording -> rate, samples at its speed, channels

    def __post_init__(self) -> None:
        data = self.data
        data.file("wav.scp")
        names = (*_CARRIED, "spk2gender", "utt2lang")
        self.tables = {name: read_scp(data.path / name) for name in names if (data.path / name).is_file()}
        self.segments = read_scp(data.path / "segments") if data.segments else {}

    def recordings(self) -> Iterator[dict[str, Any]]:
        """One for each entry of wav.scp."""
        tally = Tally("recordings", self.max_failed)
        for name in progress(self.data.wav_scp, len(self.data.wav_scp), "recordings"):
            try:
                self.sizes[name] = self._size(name)
            except (AsrtoolError, OSError) as error:
                if self.max_failed == 0:
                    raise AsrtoolError(f"{self.data.path}/wav.scp: {name}: {error}") from None
                tally.failed(name, str(error))
                continue
            tally.ok()
            yield self._recording(name)
        tally.close()

    def _size(self, name: str) -> tuple[int, int, int]:
        entry = self.data.wav_scp[name].strip()
        if entry.endswith("|"):
            rate, samples, channels = self._size_of_command(name, entry)
        else:
            rate, channels, samples = read_header(entry)
        if samples == 0:
            raise AsrtoolError(f"{entry}: holds no samples; leave it out")
        return rate, _at_speed(samples, self.data.reco2speed.get(name, 1.0)), channels

    def _size_of_command(self, name: str, entry: str) -> tuple[int, int, int]:
        durations = self.tables.get("reco2dur") or ({} if self.segments else self.tables.get("utt2dur", {}))
        if self.rate is not None and name in durations:
            speed = self.data.reco2speed.get(name, 1.0)
            try:
                return self.rate, round(float(durations[name]) * speed * self.rate), 1
            except (ValueError, OverflowError):
                raise AsrtoolError(f"expected its seconds, found '{durations[name][:40]}'") from None
        samples, rate = read_wav_and_rate(entry, self.rate)
        return rate, len(samples), 1

    def _recording(self, name: str) -> dict[str, Any]:
        entry = self.data.wav_scp[name].strip()
        rate, samples, channels = self.sizes[name]
        piped = entry.endswith("|")
        source = {
            "type": "command" if piped else "file",
            "channels": list(range(channels)),
            "source": entry[:-1].rstrip() if piped else entry,
        }
        item = {
            "id": name,
            "sources": [source],
            "sampling_rate": rate,
            "num_samples": samples,
            "duration": samples / rate,
            "channel_ids": list(range(channels)),
        }
        factors = (("Speed", self.data.reco2speed), ("Volume", self.data.reco2vol))
        transforms = [{"name": kind, "kwargs": {"factor": table[name]}} for kind, table in factors if table.get(name, 1.0) != 1.0]
        return item | ({"transforms": transforms} if transforms else {})

    def supervisions(self) -> Iterator[dict[str, Any]]:
        """One for each utterance, in the order of utt2spk; after `recordings`."""
        tally = Tally("utterances", self.max_failed)
        for name in self.data.utterances:
            try:
                supervision = self._supervision(name)
            except AsrtoolError as error:
                if tally.max_failed == 0:
                    raise AsrtoolError(f"{self.data.path}: {name}: {error}") from None
                tally.failed(name, str(error))
                continue
            tally.ok()
            yield supervision
        tally.close()

    def supervisions_again(self) -> Iterator[dict[str, Any]]:
        """The same without a word on those that are left out."""
        for name in self.data.utterances:
            with suppress(AsrtoolError):
                yield self._supervision(name)

    def _supervision(self, name: str) -> dict[str, Any]:
        recording, start_s, end_s = self.data.segments.get(name, (name, 0.0, -1.0))
        if self.segments and name not in self.data.segments:
            raise AsrtoolError("not in segments; run utils/fix_data_dir.sh")
        if recording not in self.sizes:
            raise AsrtoolError(f"its recording '{recording}' is not in wav.scp, or cannot be read")
        rate, samples, _ = self.sizes[recording]
        end_s = samples / rate if end_s < 0 else min(end_s, samples / rate)
        if end_s <= start_s:
            raise AsrtoolError(f"its segment begins after the end of '{recording}' ({samples / rate:.3f} s); mend segments")
        speaker = self.data.utt2spk[name]
        item = {
            "id": name,
            "recording_id": recording,
            "start": start_s,
            "duration": round(end_s - start_s, 9),
            "channel": 0,
            "text": self.data.text.lines.get(name),
            "language": self.tables.get("utt2lang", {}).get(name),
            "speaker": speaker,
            "gender": self.tables.get("spk2gender", {}).get(speaker),
        }
        carried = {"segments": self.segments[name]} if self.segments else {}
        carried |= carried_lines(CARRIED_BY_UTTERANCE, name, self.tables)
        carried |= carried_lines(CARRIED_BY_SPEAKER, speaker, self.tables)
        carried |= carried_lines(CARRIED_BY_RECORDING, recording, self.tables)
        return {key: value for key, value in item.items() if value is not None} | {"custom": {KALDI: carried}}

    def cuts(self) -> Iterator[dict[str, Any]]:
        """One for each utterance, with its recording and supervision; features are not attached: see `export_features`."""
        for supervision in self.supervisions_again():
            yield {
                "id": supervision["id"],
                "start": supervision["start"],
                "duration": supervision["duration"],
                "channel": 0,
                "supervisions": [supervision | {"start": 0.0}],
                "recording": self._recording(supervision["recording_id"]),
                "type": "MonoCut",
            }


def _at_speed(num_samples: int, speed: float) -> int:
    """As many as lhotse reckons."""
    rounding = ROUND_HALF_UP if speed >= 1.0 else ROUND_HALF_DOWN
    return int(Decimal(round(num_samples / speed, ndigits=8)).quantize(Decimal(0), rounding=rounding))


def export(
    data_dir: str | Path,
    out_dir: str | Path,
    rate: int | None = None,
    feature_type: str = "kaldi-fbank",
    max_failed: float = 0.0,
) -> dict[str, int]:
    """Writes recordings, supervisions, cuts and, where there is feats.scp, features .jsonl.gz; returns how many of each.

    Raises:
        AsrtoolError: no wav.scp, or more recordings or utterances that do not fit than allowed.
    """
    data, out_dir = DataDir.load(data_dir), Path(out_dir)
    exporter = Exporter(data, rate, max_failed)
    counts = {"recordings": write_lines(out_dir / "recordings.jsonl.gz", exporter.recordings())}
    counts["supervisions"] = write_lines(out_dir / "supervisions.jsonl.gz", exporter.supervisions())
    counts["cuts"] = write_lines(out_dir / "cuts.jsonl.gz", exporter.cuts())
    if (data.path / "feats.scp").is_file():
        from asrtool.data.lhotse_features import export_features

        rates = {name: size[0] for name, size in exporter.sizes.items()}
        lines = export_features(data, exporter.supervisions_again(), rates, feature_type)
        counts["features"] = write_lines(out_dir / "features.jsonl.gz", lines)
    return counts
