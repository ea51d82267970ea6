"""A data directory of lhotse manifests: recordings and supervisions, or cuts.

Manifests are read line by line; what stays in memory are the tables that are written.
"""

import math
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrtool.data.data_dir import write_data_dir
from asrtool.data.lhotse_lines import read_lines
from asrtool.data.lhotse_rows import KALDI, Row, gender_table, recording_tables, seconds, utterance_tables
from asrtool.data.lhotse_sound import Sound, as_sound, mark_of
from asrtool.errors import AsrtoolError
from asrtool.io.tally import Tally

_MEND_AUDIO = "say --materialise true to write its audio"


@dataclass(frozen=True)
class ImportOptions:
    """How ids and audio are treated.

    Attributes:
        prefix_speaker: utterances whose id does not begin with their speaker's get it, and a hyphen, before it.
        replace_whitespace: what is put in place of white space in ids; None makes it an error.
        materialise: audio that a data directory cannot name is written into it.
        audio_format: of that audio, wav or flac.
        rate: sampling rate in Hz that all recordings must have; with materialise those of another are resampled.
        max_failed: share of the utterances that may be left out.
    """

    prefix_speaker: bool = False
    replace_whitespace: str | None = None
    materialise: bool = False
    audio_format: str = "flac"
    rate: int | None = None
    max_failed: float = 0.0


@dataclass
class Importer:
    """Collects utterances and writes them."""

    directory: Path
    options: ImportOptions = field(default_factory=ImportOptions)

    def __post_init__(self) -> None:
        self.sounds: dict[str, Sound] = {}
        self.refused: dict[str, tuple[int, str]] = {}  # recording -> mark, why a data directory cannot hold it
        self.rows: dict[str, Row] = {}
        self.tally = Tally("utterances", self.options.max_failed)

    def read_manifests(self, recordings: str | Path, supervisions: str | Path) -> None:
        """Recordings in memory as table entries, then the supervisions."""
        for number, recording in enumerate(read_lines(recordings), 1):
            with _Named(recordings, number, recording):
                self._sound(recording, recording)
        for number, supervision in enumerate(read_lines(supervisions), 1):
            with _Named(supervisions, number, supervision):
                self._try(supervision["id"], supervision["recording_id"], supervision, 0.0, None)

    def read_cuts(self, path: str | Path) -> None:
        """Every supervision of a cut is an utterance; a cut without any is one itself."""
        for number, cut in enumerate(read_lines(path), 1):
            with _Named(path, number, cut):
                self._cut(cut)

    def _cut(self, cut: dict[str, Any]) -> None:
        if "type" not in cut:
            raise AsrtoolError("is not a cut; give recordings and supervisions with --recordings and --supervisions")
        if cut["type"] == "MixedCut":
            name, offset_s = cut["id"], 0.0
            supervisions = [
                supervision | {"start": supervision["start"] + track.get("offset", 0.0)}
                for track in cut["tracks"]
                for supervision in track["cut"].get("supervisions") or []
            ]
            channel, duration_s = 0, None
            self._sound({"id": name}, cut)
        elif not cut.get("recording"):
            raise AsrtoolError("has no recording, and a data directory needs one")
        else:
            name, offset_s = cut["recording"]["id"], cut["start"]
            supervisions, channel, duration_s = cut.get("supervisions") or [], cut["channel"], cut["duration"]
            self._sound(cut["recording"], cut["recording"])
        for supervision in supervisions:
            self._try(supervision["id"], name, supervision, offset_s, None)
        if not supervisions:
            whole = {"id": cut["id"], "start": 0.0, "duration": duration_s, "channel": channel}
            self._try(cut["id"], name, whole, offset_s, duration_s)

    def _sound(self, recording: dict[str, Any], item: dict[str, Any]) -> None:
        """Makes a recording known; `item`, itself or a mixed cut, is what its audio is of."""
        name, mark = recording["id"], mark_of(item)
        known = self.sounds[name].mark if name in self.sounds else self.refused[name][0] if name in self.refused else None
        if known is not None:
            if known != mark:
                raise AsrtoolError("a recording of this id came before with other content; give each its own id")
            return
        try:
            if item is not recording:
                raise AsrtoolError("a data directory cannot hold a mixed or padded cut")
            sound = as_sound(recording)
            if self.options.rate not in (None, sound.rate):
                raise AsrtoolError(f"its sampling rate is {sound.rate} Hz, not {self.options.rate}")
            self.sounds[name] = sound
        except AsrtoolError as error:
            if not self.options.materialise:
                self.refused[name] = mark, f"{error}; {_MEND_AUDIO}"
                return
            from asrtool.data.lhotse_audio import materialise

            folder = self.directory / "audio"
            self.sounds[name] = materialise(item, folder, self.options.audio_format, self.options.rate, mark)

    def _try(self, name: str, recording: str, supervision: dict, offset_s: float, duration_s: float | None) -> None:
        try:
            for row in self._rows(recording, supervision, offset_s, duration_s):
                before = self.rows.setdefault(row.name, row)
                if before is not row:
                    if before != row:
                        raise AsrtoolError(
                            f"an utterance '{row.name}' came before with other content; give supervisions ids of their own"
                        )
                    continue
                self.tally.ok()
        except AsrtoolError as error:
            if self.options.max_failed == 0:
                raise
            self.tally.failed(str(name), str(error))

    def _rows(self, recording: str, supervision: dict, offset_s: float, duration_s: float | None) -> Iterator[Row]:
        if recording in self.refused:
            raise AsrtoolError(f"recording '{recording}': {self.refused[recording][1]}")
        if recording not in self.sounds:
            raise AsrtoolError(f"its recording '{recording}' is not in the manifest of recordings")
        sound = self.sounds[recording]
        if duration_s is None:
            duration_s = supervision["duration"] if supervision["duration"] is not None else sound.duration_s
        start_s = max(0.0, round(offset_s + supervision["start"], 9))
        end_s = min(sound.duration_s, round(offset_s + supervision["start"] + duration_s, 9))
        if not (math.isfinite(offset_s + supervision["start"] + duration_s) and end_s - start_s >= 0.5 / sound.rate):
            raise AsrtoolError(f"nothing of it is in its recording of {sound.duration_s:.3f} s")
        channels = supervision.get("channel", 0)
        channels = channels if isinstance(channels, list) else [channels]
        if set(channels) - set(sound.entries):
            raise AsrtoolError(f"its recording has no channel {min(set(channels) - set(sound.entries))}")
        for channel in channels:
            yield self._row(recording, sound, supervision, start_s, end_s, channel, len(channels) > 1)

    def _row(
        self, recording: str, sound: Sound, supervision: dict, start_s: float, end_s: float, channel: int, several: bool
    ) -> Row:
        own = self._kaldi_id(str(supervision["id"]), "id") + (f"-{channel}" if several else "")
        speaker = supervision.get("speaker")
        speaker = own if speaker in (None, "") else self._kaldi_id(str(speaker), "speaker")
        name = f"{speaker}-{own}" if self.options.prefix_speaker and not own.startswith(speaker) else own
        recording_id = self._kaldi_id(recording, "recording") + (f"_{channel}" if len(sound.entries) > 1 else "")
        carried = (supervision.get("custom") or {}).get(KALDI)
        return Row(
            name,
            own,
            sys.intern(recording),
            channel,
            sys.intern(recording_id),
            start_s,
            end_s,
            sys.intern(speaker),
            _one_line(supervision.get("text")),
            _interned(supervision.get("language")),
            _interned(supervision.get("gender")),
            carried if isinstance(carried, dict) else None,
        )

    def _kaldi_id(self, text: str, what: str) -> str:
        if len(text.split()) == 1 and text == text.strip():
            return text
        if self.options.replace_whitespace is None or not text.strip():
            raise AsrtoolError(f"{what} '{text}': an id must be one word; say --replace-whitespace _")
        return re.sub(r"\s", self.options.replace_whitespace, text.strip())

    def write(self, features: Iterable[dict[str, Any]] | None = None) -> int:
        """Writes the data directory; returns its utterances.

        Raises:
            AsrtoolError: too many utterances failed, or the directory has features already.
        """
        self.tally.close()
        rows = self.rows
        tables = utterance_tables(rows) | recording_tables(rows, self.sounds)
        genders, why = gender_table(rows)
        if genders:
            tables["spk2gender"] = genders
        notes = [why] if why else []
        rates = sorted({self.sounds[row.recording].rate for row in rows.values()})
        if len(rates) > 1:
            notes.append(f"sampling rates of {', '.join(map(str, rates))} Hz; --rate R with --materialise true makes them one")
        without_text = len(rows) - len(tables.get("text", ()))
        if 0 < without_text < len(rows):
            notes.append(f"{without_text} utterances have no text; utils/fix_data_dir.sh takes them out")
        unlike = [row.name for row in rows.values() if not row.name.startswith(row.speaker)]
        if unlike:
            notes.append(f"{len(unlike)} utterances, {unlike[0]} first, do not begin with their speaker; see --prefix-speaker")
        frame_shift_s = None
        if features is not None:
            from asrtool.data.lhotse_features import import_features

            frame_shift_s, more = import_features(features, rows, self.directory)
            tables |= more
        else:
            for name in ("cmvn.scp", "vad.scp", "trans.scp"):
                tables.pop(name, None)
        for note in notes:
            print(f"WARNING: {self.directory}: {note}", file=sys.stderr)
        write_data_dir(self.directory, tables)
        if frame_shift_s is not None:
            (self.directory / "frame_shift").write_text(f"{seconds(frame_shift_s)}\n")
        return len(rows)


def import_manifests(
    directory: Path,
    options: ImportOptions,
    cuts: Path | None = None,
    recordings: Path | None = None,
    supervisions: Path | None = None,
    features: str | None = None,
) -> int:
    """Writes a data directory of cuts, or of recordings and supervisions; returns its utterances.

    Args:
        features: a manifest of features, "cuts" for those attached to the cuts, or None.

    Raises:
        AsrtoolError: a damaged manifest, or one that a data directory cannot hold (see `ImportOptions`).
    """
    if (directory / "feats.scp").is_file():
        raise AsrtoolError(f"{directory}/feats.scp: is there already; remove {directory} or give another directory")
    importer = Importer(directory, options)
    if cuts is not None:
        importer.read_cuts(cuts)
    else:
        importer.read_manifests(recordings, supervisions)
    if features == "cuts":
        if cuts is None:
            raise AsrtoolError("--features cuts: there are no cuts; name the manifest of features")
        return importer.write(cut["features"] for cut in read_lines(cuts) if cut.get("features"))
    return importer.write(None if features is None else read_lines(features))


class _Named:
    """Turns what a line of a manifest lacks into one line that names it."""

    def __init__(self, path: str | Path, number: int, item: dict[str, Any]) -> None:
        self.path, self.number, self.item = path, number, item

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, _trace: Any) -> None:
        where = f"{self.path}: line {self.number}: {self.item.get('id', '?')}"
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | ArithmeticError):
            what = f"lacks {error}" if isinstance(error, KeyError) else f"has a field of another kind ({error})"
            raise AsrtoolError(f"{where}: {what}; is it lhotse's?") from None
        if isinstance(error, AsrtoolError):
            raise AsrtoolError(f"{where}: {error}") from None


def _interned(text: Any) -> str | None:
    return None if text is None else sys.intern(str(text))


def _one_line(text: str | None) -> str | None:
    return None if text is None else " ".join(text.splitlines()).strip() if len(text.splitlines()) > 1 else text.strip()
