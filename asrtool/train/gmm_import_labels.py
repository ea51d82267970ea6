"""Phones of a lang directory from others' labels, and frames from times."""

import math
from collections import Counter
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_table import read_scp
from asrtool.train.gmm_import_states import StateFiller
from asrtool.train.gmm_import_times import TimedPhone
from asrtool.train.gmm_lang import GmmLang

SILENT = ("", "sil", "sp", "pau", "silence", "<sil>", "<eps>", "<p:>", "<p>", "_", "h#")
MAX_LISTED = 10
CLOSED_FRAMES = 2.0
"""A pause between two phones that is shorter goes to both; at the end of an utterance to the last phone."""
OVERSHOOT_FRAMES = 5.0
"""Phones may end so much after the features: windows do not reach the end of a recording."""


class PhoneLabels:
    """Label -> phone-id.

    A label is looked up with the position in the word that is known (`AA` is `AA_B` at the beginning), then as it is; silence
    phones in capitals or not. An empty label and the usual names of silence are the optional silence.

    Args:
        phone_map: a file with lines "their-label our-phone"; None for none.

    Attributes:
        unknown: labels that were asked for and are not there, with how often; positions_missing: were they so for lack of
            their position alone?
    """

    def __init__(self, lang: GmmLang, phone_map: Path | None = None) -> None:
        self.lang = lang
        modelled = set(lang.topology.phones)
        self.table = {symbol: phone for symbol, phone in lang.phones.symbol_to_id.items() if phone in modelled}
        if not lang.optional_silence:
            raise AsrtoolError(f"{lang.path}/phones/optional_silence.int: no phone in it; pauses need one")
        self.silence = lang.optional_silence[0]
        self.map = read_scp(phone_map) if phone_map is not None else {}
        self.unknown: Counter[str] = Counter()
        self.positions_missing = False
        self._silence_names = {symbol.lower(): symbol for symbol in map(lang.phones.symbol, lang.silence_phones)}
        for label, ours in self.map.items():
            if not any(ours + suffix in self.table for suffix in ("", "_B")):
                raise AsrtoolError(f"{phone_map}: {label}: '{ours}' is no phone of {lang.path}")

    def __call__(self, label: str, position: str | None) -> int:
        """The phone-id; 0 where there is none, which is noted."""
        ours = self.map.get(label, label).strip()
        for name in (ours + position, ours) if position else (ours,):
            name = name if name in self.table else self._silence_names.get(name.lower(), name)
            if name in self.table:
                return self.table[name]
        if ours.lower() in SILENT:
            return self.silence
        self.unknown[label] += 1
        self.positions_missing |= position is None and ours + "_B" in self.table
        return 0

    def check(self, source: Path) -> None:
        """AsrtoolError that lists the labels that were not found."""
        if not self.unknown:
            return
        names = ", ".join(f"'{label}' ({number})" for label, number in self.unknown.most_common(MAX_LISTED))
        more = f" and {len(self.unknown) - MAX_LISTED} others" if len(self.unknown) > MAX_LISTED else ""
        mend = "give --phone-map, a file with lines 'their-label our-phone'"
        if self.positions_missing:
            mend = "the phones of the lang directory depend on the place in the word: give words too (a tier words, --word-ctm)"
        raise AsrtoolError(f"{source}: {len(self.unknown)} labels are no phones of {self.lang.path}: {names}{more}; {mend}")


def phones_in_frames(
    timed: list[TimedPhone], labels: PhoneLabels, filler: StateFiller, num_frames: int | None, shift_s: float, offset_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Phone-ids int32 [K] and their lengths in frames int64 [K]; pauses between phones are silence.

    Args:
        num_frames: of the utterance; None: as the times say.
        shift_s, offset_s: frame t begins at offset_s + t * shift_s. Kaldi's CTM files have an offset of 0.

    Raises:
        AsrtoolError: phones that overlap, or that go on after the features' end, or too many of them.
    """
    phones, ends, now = [], [], 0.0
    for one in timed:
        start, end = (one.start_s - offset_s) / shift_s, (one.end_s - offset_s) / shift_s
        if not (math.isfinite(start) and math.isfinite(end)) or end < start or start < now - 1:
            raise AsrtoolError(f"the phone '{one.label}' at {one.start_s:.3f} s begins before the one before it has ended")
        if end <= max(now, 0):
            continue
        phone = labels(one.label, one.position)
        if start - now >= CLOSED_FRAMES:
            _append(phones, ends, labels.silence, start, labels.silence)
        elif ends:
            ends[-1] = (now + max(start, now)) / 2
        _append(phones, ends, phone, end, labels.silence)
        now = end
    last = math.floor(now + 0.5) if num_frames is None else num_frames
    if not phones:
        raise AsrtoolError("no phones")
    if now > last + OVERSHOOT_FRAMES:
        raise AsrtoolError(
            f"its phones go on until {now * shift_s + offset_s:.3f} s, the features until {last * shift_s + offset_s:.3f} s "
            f"({last} frames of {shift_s:g} s): another recording, or another frame shift"
        )
    if last - now >= CLOSED_FRAMES:
        _append(phones, ends, labels.silence, last, labels.silence)
    found = np.array(phones, np.int32)
    if not found.all():
        return found, np.zeros(len(found), np.int64)  # unknown labels, which `PhoneLabels.check` reports
    return found, filler.fit_frames(found, np.array(ends), last)


def _append(phones: list[int], ends: list[float], phone: int, end: float, silence: int) -> None:
    """Another phone; silence after silence is one."""
    if phones and phone == silence and phones[-1] == silence:
        ends[-1] = end
    else:
        phones.append(phone)
        ends.append(end)
