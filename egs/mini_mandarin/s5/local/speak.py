"""Speaks one speaker's sentences with espeak-ng: `python local/speak.py PLAN.json OUT`.

espeak-ng repeats its output bit for bit only for the same sequence of calls in a fresh process with the same random seed,
so each speaker is one run of this program. PLAN.json is {voice, pitch, rate, pitch_range, word_gap, quota_s,
seconds_per_sample, utterances: [{pinyin, silence_s}]}. Speaks until quota_s seconds (pauses included) are full, and writes
OUT.pcm (int16, one utterance after the other, trimmed) and, last, OUT.json (the number of samples of each). Uses the
standard library only, to start quickly.
"""

import array
import ctypes
import json
import os
import sys
from pathlib import Path

import espeakng_loader

AUDIO_OUTPUT_SYNCHRONOUS, INITIALIZE_DONT_EXIT, CHARS_UTF8 = 2, 0x8000, 1
PARAMETERS = {"rate": 1, "pitch": 3, "pitch_range": 4, "word_gap": 7}  # espeak_PARAMETER
RANDOM_SEED = 1
TRIM_LEVEL, TRIM_MARGIN = 150, 220  # of 32,768; samples kept around what is louder (10 ms)
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """libespeak-ng through ctypes, with the data that came in the wheel."""

    def __init__(self, plan: dict) -> None:
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.chunks: list[bytes] = []
        self.callback = CALLBACK(self._receive)  # kept: ctypes does not
        data_path = os.fsencode(espeakng_loader.get_data_path())
        rate_hz = self.library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, INITIALIZE_DONT_EXIT)
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
        """int16 samples at 22,050 Hz."""
        self.chunks.clear()
        data = text.encode()
        status = self.library.espeak_Synth(data, len(data) + 1, 0, 0, 0, CHARS_UTF8, None, None)
        samples = array.array("h", b"".join(self.chunks))
        if status != 0 or not samples:
            sys.exit(f"speak.py: espeak-ng said nothing for '{text}' (status {status})")
        return samples

    def _receive(self, samples, count, _events) -> int:
        if samples and count > 0:
            self.chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


def trim(samples: array.array) -> array.array:
    """Without the silence before and after."""
    first, end = _first_loud(samples), len(samples) - _first_loud(samples[::-1])
    return samples[max(0, first - TRIM_MARGIN) : end + TRIM_MARGIN]


def _first_loud(samples: array.array) -> int:
    return next((i for i, value in enumerate(samples) if abs(value) > TRIM_LEVEL), 0)


def main(plan_path: str, out: str) -> None:
    plan = json.loads(Path(plan_path).read_text(encoding="utf-8"))
    espeak = Espeak(plan)
    counts: list[int] = []
    total_s = 0.0
    temporary = Path(f"{out}.pcm.{os.getpid()}")
    with open(temporary, "wb") as file:
        for utterance in plan["utterances"]:
            if total_s >= plan["quota_s"]:
                break
            samples = trim(espeak.speak(utterance["pinyin"]))
            samples.tofile(file)
            counts.append(len(samples))
            total_s += len(samples) * plan["seconds_per_sample"] + utterance["silence_s"]
    os.replace(temporary, f"{out}.pcm")
    temporary = Path(f"{out}.json.{os.getpid()}")
    temporary.write_text(json.dumps(counts))
    os.replace(temporary, f"{out}.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
