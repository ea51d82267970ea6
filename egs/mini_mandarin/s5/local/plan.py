"""What will be said by whom: the sentences of the splits and of the LM text, all from one seed."""

import random
from dataclasses import dataclass

from grammar import Grammar
from speakers import ESPEAK_RATE_HZ, Speaker, make_speakers

SPLITS = ("test", "valid", "train")  # in the order in which they choose their sentences
HELD_OUT_SHARE, MIN_HELD_OUT_HOURS = 0.12, 0.02
SILENCE_S = (0.1, 0.4)
SHORTEST_S = 1.45  # of a speaker's utterances on average, at the very least: sets how many sentences are kept ready
EXTRA_SENTENCES = 6


@dataclass(frozen=True)
class Settings:
    """What decides every byte of a corpus (with the word lists and the programs). clean: no rooms and no noise but the
    microphone's; the same is said at the same times."""

    hours: float = 2.5
    seed: int = 1
    train_speakers: int = 40
    held_out_speakers: int = 6
    lm_sentences: int = 60000
    clean: bool = False

    def split_hours(self, split: str) -> float:
        return self.hours if split == "train" else max(MIN_HELD_OUT_HOURS, HELD_OUT_SHARE * self.hours)

    def num_speakers(self, split: str) -> int:
        return self.train_speakers if split == "train" else self.held_out_speakers

    def quota_s(self, split: str) -> float:
        return self.split_hours(split) * 3600.0 / self.num_speakers(split)


@dataclass(frozen=True)
class Planned:
    """One utterance: its words and the seconds of silence before and after."""

    name: str
    words: list[str]
    before_s: float
    after_s: float


Plan = dict[str, dict[Speaker, list[Planned]]]  # split -> speaker -> utterances


def make_plan(grammar: Grammar, settings: Settings) -> Plan:
    """Every sentence occurs once in the whole plan, so that no sentence of test or valid is in train."""
    said: set[str] = set()
    plan: Plan = {}
    for split in SPLITS:
        generator = random.Random(f"sentences {split} {settings.seed}")
        speakers = make_speakers(split, settings.num_speakers(split), settings.seed)
        per_speaker = int(settings.quota_s(split) / SHORTEST_S) + EXTRA_SENTENCES
        plan[split] = {}
        for speaker in speakers:
            utterances = []
            while len(utterances) < per_speaker:
                words = grammar.sentence(generator)
                if (sentence := "".join(words)) in said:
                    continue
                said.add(sentence)
                silences = [round(generator.uniform(*SILENCE_S), 3) for _ in range(2)]
                utterances.append(Planned(f"{speaker.name}-{len(utterances) + 1:04d}", words, *silences))
            plan[split][speaker] = utterances
    return plan


def lm_text(grammar: Grammar, settings: Settings, plan: Plan) -> list[str]:
    """Further sentences, as often as the grammar has them, without those planned for test and valid."""
    held_out = {
        "".join(utterance.words) for split in ("test", "valid") for planned in plan[split].values() for utterance in planned
    }
    generator = random.Random(f"lm text {settings.seed}")
    lines: list[str] = []
    while len(lines) < settings.lm_sentences:
        words = grammar.sentence(generator)
        if "".join(words) not in held_out:
            lines.append(" ".join(words))
    return lines


def pinyin(words: list[str]) -> str:
    """As the lexicon has it: each word by itself, tones as digits (the neutral tone is 5), `v` for the u with dots.

    The syllables of a word are joined: espeak-ng then speaks it in one breath.
    """
    from pypinyin import Style, lazy_pinyin  # not above: its tables take long to load

    return " ".join("".join(lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True)) for word in words)


def speaking_plan(speaker: Speaker, utterances: list[Planned], quota_s: float) -> dict:
    """What speak.py reads."""
    return {
        "voice": f"cmn-latn-pinyin+{speaker.variant}",
        "pitch": speaker.pitch,
        "rate": speaker.rate,
        "pitch_range": speaker.pitch_range,
        "word_gap": speaker.word_gap,
        "quota_s": quota_s,
        "seconds_per_sample": 441 / speaker.resample_down / ESPEAK_RATE_HZ,
        "utterances": [
            {"pinyin": pinyin(utterance.words), "silence_s": utterance.before_s + utterance.after_s} for utterance in utterances
        ],
    }
