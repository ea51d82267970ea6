"""A small data directory, whole and sound, for each test to damage."""

import numpy as np
import pytest

from asrtool.io.audio import write_wav

TEXTS = ["天 气", "play some music", "one two"]


@pytest.fixture
def data_dir(tmp_path):
    """Three speakers of three utterances each, 0.3 to 0.5 s of noise at 16 kHz."""
    path = tmp_path / "data" / "train"
    (tmp_path / "wav").mkdir()
    path.mkdir(parents=True)
    random = np.random.default_rng(0)
    tables = {"utt2spk": [], "wav.scp": [], "text": [], "spk2utt": []}
    for speaker in ("s1", "s2", "s3"):
        names = [f"{speaker}-u{number}" for number in (1, 2, 3)]
        tables["spk2utt"].append(f"{speaker} {' '.join(names)}")
        for number, name in enumerate(names):
            wav = tmp_path / "wav" / f"{name}.wav"
            write_wav(str(wav), random.normal(size=4800 + 1600 * number) * 1000, 16000)
            tables["utt2spk"].append(f"{name} {speaker}")
            tables["wav.scp"].append(f"{name} {wav}")
            tables["text"].append(f"{name} {TEXTS[number]}")
    for name, lines in tables.items():
        (path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def edit(path, old, new):
    """Replaces text that must be there."""
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")


@pytest.fixture(name="edit")
def edit_fixture():
    return edit
