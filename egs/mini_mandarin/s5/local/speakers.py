"""The synthetic speakers: espeak-ng variant x pitch x rate x pitch range x vocal tract, disjoint between the splits."""

import random
from dataclasses import asdict, dataclass

# Variants of espeak-ng that speak Mandarin intelligibly (whispering, croaking, robots and heavy clipping left out).
# Half of the variants of valid and test occur in training too, with other settings; the other half are new voices.
TRAIN_VARIANTS = """
    f1 f3 f4 f5 linda aunty Annie steph grandma m1 m2 m3 m4 m5 m7 m8 adam ed paul pablo max Denis travis john kaukovalta
    robert Andy Michael"""
VALID_VARIANTS = "belinda m6 f3 norbert steph Alex m5 grandma"
TEST_VARIANTS = "f2 Lee linda m3 victor adam f5 benjamin"
VARIANTS = {"train": TRAIN_VARIANTS.split(), "valid": VALID_VARIANTS.split(), "test": TEST_VARIANTS.split()}
# espeak-ng's scales: pitch and range 0..99 (50 is the voice's own), rate in words a minute. A Mandarin syllable is short:
# 175 gives about 3.8 syllables a second, 240 about 5.3.
PITCH, RATE, PITCH_RANGE, WORD_GAP_10MS = (32, 72), (178, 242), (60, 99), (0, 2)
# Formants and pitch together are moved by this factor (the recording is resampled).
VOCAL_TRACT_SCALE = (0.92, 1.08)
ESPEAK_RATE_HZ = 22050


@dataclass(frozen=True)
class Speaker:
    """One voice. `resample_down` stands against 320 (22,050 -> 16,000 Hz is 320 / 441), so 441 leaves the voice as it is."""

    name: str
    variant: str
    pitch: int
    rate: int
    pitch_range: int
    word_gap: int
    resample_down: int

    @classmethod
    def header(cls) -> str:
        return "\t".join(cls.__dataclass_fields__)

    def row(self) -> str:
        return "\t".join(map(str, asdict(self).values()))


def make_speakers(split: str, count: int, seed: int) -> list[Speaker]:
    """`count` speakers named <split>01, ...; a split's speakers depend on its name, `count` and `seed` only."""
    generator = random.Random(f"speakers {split} {seed}")
    speakers = []
    for index in range(count):
        if index % len(VARIANTS[split]) == 0 and (index or split == "train"):
            order = generator.sample(VARIANTS[split], len(VARIANTS[split]))
        elif index == 0:
            order = VARIANTS[split]  # the held-out sets start with the voices as listed: female, male, seen and unseen
        speakers.append(
            Speaker(
                name=f"{split}{index + 1:0{max(2, len(str(count)))}d}",
                variant=order[index % len(order)],
                pitch=generator.randint(*PITCH),
                rate=generator.randint(*RATE),
                pitch_range=generator.randint(*PITCH_RANGE),
                word_gap=generator.randint(*WORD_GAP_10MS),
                resample_down=round(441 / generator.uniform(*VOCAL_TRACT_SCALE)),
            )
        )
    return speakers
