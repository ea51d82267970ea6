"""Speaks one speaker's sentences with espeak-ng: `python local/speak.py PLAN.json OUT`.

espeak-ng repeats its output bit for bit only for the same sequence of calls in a fresh process with the same random seed,
so each speaker is one run of this program. PLAN.json is {voice, pitch, rate, pitch_range, word_gap, quota_s,
seconds_per_sample, utterances: [{pinyin, silence_s}]}. Speaks until quota_s seconds (pauses included) are full, and writes
OUT.pcm (int16, one utterance after the other, trimmed), OUT.phones (JSON: for each utterance [name, first sample, sample after
the last] of each of its phones) and, last, OUT.json (the number of samples of each). Uses the standard library only, to start
quickly.
"""

import array
import ctypes
import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import espeakng_loader

AUDIO_OUTPUT_SYNCHRONOUS, CHARS_UTF8 = 2, 1
INITIALIZE_PHONEME_EVENTS, INITIALIZE_DONT_EXIT = 1, 0x8000
EVENT_END, EVENT_PHONEME = 0, 7  # espeak_EVENT_TYPE
PARAMETERS = {"rate": 1, "pitch": 3, "pitch_range": 4, "word_gap": 7}  # espeak_PARAMETER
RANDOM_SEED = 1
TRIM_LEVEL, TRIM_MARGIN = 150, 220  # of 32,768; samples kept around what is louder (10 ms)
# espeak-ng is silent before these for a time that only the rate decides, and says that they begin after it: it is their closure
PLOSIVES = ("p", "ph", "t", "th", "k", "kh", "ts", "tsh", "tS;", "tS;h")
PLOSIVE_FIRST = "ta1"

Phone = tuple[str, int, int]
"""Its name in espeak-ng (stress marks left out), its first sample and that after its last."""


class Event(ctypes.Structure):
    """espeak_EVENT; `name` is that of a phoneme event, ended by a zero where it has fewer than 8 bytes."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Event))


class Espeak:
    """libespeak-ng through ctypes, with the data that came in the wheel."""

    def __init__(self, plan: dict) -> None:
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.chunks: list[bytes] = []
        self.events: list[tuple[int, str]] = []  # (sample, name) of phones and pauses
        self.callback = CALLBACK(self._receive)  # kept: ctypes does not
        data_path = os.fsencode(espeakng_loader.get_data_path())
        rate_hz = self.library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, INITIALIZE_DONT_EXIT | INITIALIZE_PHONEME_EVENTS
        )
        if rate_hz != 22050:
            sys.exit(f"speak.py: espeak-ng did not start with its data in {data_path!r} (it answered {rate_hz})")
        # initialising has seeded the noise in breathy voices with the time of day
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(RANDOM_SEED))
        self.library.espeak_SetSynthCallback(self.callback)
        if self.library.espeak_SetVoiceByName(plan["voice"].encode()) != 0:
            sys.exit(f"speak.py: espeak-ng has no voice {plan['voice']}")
        for name, number in PARAMETERS.items():
            self.library.espeak_SetParameter(number, plan[name], 0)

    def speak(self, text: str) -> array.array:
        """int16 samples at 22,050 Hz; what was spoken when is then in `events`."""
        self.chunks.clear()
        self.events.clear()
        data = text.encode()
        status = self.library.espeak_Synth(data, len(data) + 1, 0, 0, 0, CHARS_UTF8, None, None)
        samples = array.array("h", b"".join(self.chunks))
        if status != 0 or not samples:
            sys.exit(f"speak.py: espeak-ng said nothing for '{text}' (status {status})")
        return samples

    def closure(self) -> int:
        """Samples of a plosive's closure; speaks, so that what is spoken after it would have other noise."""
        self.speak(PLOSIVE_FIRST)
        return self.events[0][0]

    def _receive(self, samples, count, events) -> int:
        if samples and count > 0:
            self.chunks.append(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type != EVENT_END:
            if events[index].type == EVENT_PHONEME:
                self.events.append((events[index].sample, events[index].name.decode("utf-8", "replace")))
            index += 1
        return 0


def trim(samples: array.array) -> tuple[array.array, int]:
    """Without the silence before and after; and how many samples were cut off before."""
    first, end = _first_loud(samples), len(samples) - _first_loud(samples[::-1])
    begin = max(0, first - TRIM_MARGIN)
    return samples[begin : end + TRIM_MARGIN], begin


def phones_of(events: list[tuple[int, str]], closure: int) -> list[Phone]:
    """The phones of an utterance, pauses left out (their names begin with _); a plosive begins with its closure."""
    phones: list[Phone] = []
    for (sample, name), (end, _) in pairwise(events):
        if not name.startswith("_"):
            plain = name.lstrip("',")
            phones.append((plain, sample - closure * (plain in PLOSIVES), end))
    following = [start for _, start, _ in phones[1:]]
    return [(name, start, min(end, after)) for (name, start, end), after in zip(phones, [*following, phones[-1][2]])]


def _first_loud(samples: array.array) -> int:
    return next((i for i, value in enumerate(samples) if abs(value) > TRIM_LEVEL), 0)


def main(plan_path: str, out: str) -> None:
    plan = json.loads(Path(plan_path).read_text(encoding="utf-8"))
    espeak = Espeak(plan)
    counts: list[int] = []
    spoken: list[tuple[int, list[tuple[int, str]]]] = []  # (samples cut off, events)
    total_s = 0.0
    temporary = Path(f"{out}.pcm.{os.getpid()}")
    with open(temporary, "wb") as file:
        for utterance in plan["utterances"]:
            if total_s >= plan["quota_s"]:
                break
            samples, cut = trim(espeak.speak(utterance["pinyin"]))
            spoken.append((cut, espeak.events.copy()))
            samples.tofile(file)
            counts.append(len(samples))
            total_s += len(samples) * plan["seconds_per_sample"] + utterance["silence_s"]
    os.replace(temporary, f"{out}.pcm")
    closure = espeak.closure()
    rows = [[(name, start - cut, end - cut) for name, start, end in phones_of(events, closure)] for cut, events in spoken]
    for suffix, value in (("phones", rows), ("json", counts)):
        temporary = Path(f"{out}.{suffix}.{os.getpid()}")
        temporary.write_text(json.dumps(value))
        os.replace(temporary, f"{out}.{suffix}")


if __name__ == "__main__":
    main(*sys.argv[1:])
