"""AISHELL-1's local/: data directories, the dictionary, the speakers' archives, and bad input."""

import shutil
import subprocess
import sys
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

TRANSCRIPTS = "transcript/aishell_transcript_v0.8.txt"


@pytest.fixture(scope="module")
def recipe(repository) -> Path:
    return repository / "egs" / "aishell" / "s5"


def run(recipe: Path, program: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, f"local/{program}", *map(str, arguments)]
    return subprocess.run(command, cwd=recipe, capture_output=True, text=True, timeout=60)


def table(path: Path) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())


def write_wav(path: Path, rate: int = 16000, samples: int = 4000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.zeros(samples, "<i2").tobytes())


@pytest.fixture
def corpus(tmp_path) -> Path:
    """A directory that holds data_aishell/ with two utterances a split."""
    root = tmp_path / "corpora" / "data_aishell"
    lines = []
    for split, speaker in (("train", "S0002"), ("dev", "S0724"), ("test", "S0764")):
        for number in (122, 123):
            name = f"BAC009{speaker}W{number:04d}"
            write_wav(root / "wav" / split / speaker / f"{name}.wav")
            lines.append(f"{name} 而 对 楼市")
    (root / "transcript").mkdir()
    (root / TRANSCRIPTS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root.parent


def test_data_directories(recipe, corpus, tmp_path):
    result = run(recipe, "data_prep.py", corpus, tmp_path / "data")
    assert result.returncode == 0, result.stderr
    assert table(tmp_path / "data/train/utt2spk") == {"BAC009S0002W0122": "S0002", "BAC009S0002W0123": "S0002"}
    assert table(tmp_path / "data/dev/spk2utt") == {"S0724": "BAC009S0724W0122 BAC009S0724W0123"}
    assert table(tmp_path / "data/test/text")["BAC009S0764W0122"] == "而 对 楼市"
    assert (tmp_path / "data/local/left_out.txt").read_text() == ""
    assert "train: 2 utterances of 1 speakers (official corpus: 120098)" in result.stderr


def test_flac_and_full_width_and_carriage_returns(recipe, corpus, tmp_path):
    speaker = corpus / "data_aishell/wav/train/S0002"
    shutil.rmtree(speaker)
    speaker.mkdir()
    for number in (122, 123):
        soundfile.write(speaker / f"BAC009S0002W0{number}.flac", np.zeros(4000, np.int16), 16000)
    transcripts = corpus / "data_aishell" / TRANSCRIPTS
    content = transcripts.read_text(encoding="utf-8").replace("S0002W0122 而 对 楼市", "S0002W0122\t而　Ｇｐｓ  ９ ")
    transcripts.write_bytes(("\ufeff" + content.replace("\n", "\r\n")).encode())
    assert run(recipe, "data_prep.py", corpus, tmp_path / "data").returncode == 0
    assert table(tmp_path / "data/train/text") == {"BAC009S0002W0122": "而 GPS 9", "BAC009S0002W0123": "而 对 楼市"}
    assert table(tmp_path / "data/train/wav.scp")["BAC009S0002W0122"].endswith("S0002/BAC009S0002W0122.flac")


def test_too_much_that_cannot_be_used(recipe, corpus, tmp_path):
    (corpus / "data_aishell/wav/dev/S0724/BAC009S0724W0123.wav").unlink()
    result = run(recipe, "data_prep.py", corpus, tmp_path / "data")
    assert result.returncode == 1 and "16.7 % cannot be used" in result.stderr and "raise --max-left-out" in result.stderr
    assert table(tmp_path / "data/local/left_out.txt") == {"BAC009S0724W0123": "transcript without recording"}
    assert run(recipe, "data_prep.py", "--max-left-out", 0.2, corpus, tmp_path / "data").returncode == 0


def test_recordings_that_stand_twice_or_elsewhere(recipe, corpus, tmp_path):
    wav = corpus / "data_aishell/wav"
    write_wav(wav / "dev/S0724/BAC009S0999W0001.wav")
    write_wav(wav / "test/S0002/BAC009S0002W0122.wav")
    write_wav(wav / "test/S0764/BAC009S0764W0200.wav", samples=100)
    with open(corpus / "data_aishell" / TRANSCRIPTS, "a", encoding="utf-8") as file:
        file.write("BAC009S0764W0200 对\n")
    assert run(recipe, "data_prep.py", "--max-left-out", 0.5, corpus, tmp_path / "data").returncode == 0
    assert table(tmp_path / "data/local/left_out.txt") == {
        "BAC009S0999W0001": "the name does not hold the speaker's (S0724)",
        "BAC009S0002W0122": "recorded twice: wav/train/S0002/BAC009S0002W0122.wav is taken",
        "BAC009S0764W0200": "recording: shorter than 0.1 s",
    }
    assert "BAC009S0002W0122" in table(tmp_path / "data/train/text")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: shutil.rmtree(root / "wav/dev"), "wav/dev: no such directory; --corpus names the directory above"),
        (lambda root: (root / TRANSCRIPTS).unlink(), "v0.8.txt: no such file; is the corpus complete?"),
        (lambda root: (root / TRANSCRIPTS).write_bytes(b"BAC \xff\n"), "not UTF-8 at byte 4"),
        (lambda root: (root / TRANSCRIPTS).write_text("\n"), "no transcripts"),
        (lambda root: shutil.rmtree(root / "wav/test/S0764"), "cannot be used"),
    ],
)
def test_a_damaged_corpus(recipe, corpus, tmp_path, damage, message):
    damage(corpus / "data_aishell")
    result = run(recipe, "data_prep.py", corpus, tmp_path / "data")
    assert result.returncode == 1 and message in result.stderr and "Traceback" not in result.stderr


def test_speakers_that_are_still_packed(recipe, corpus, tmp_path):
    wav = corpus / "data_aishell/wav"
    with tarfile.open(wav / "S0002.tar.gz", "w:gz") as archive:
        archive.add(wav / "train/S0002", "train/S0002")
    shutil.rmtree(wav / "train")
    result = run(recipe, "data_prep.py", corpus, tmp_path / "data")
    assert result.returncode == 1 and "archives are not unpacked: run.sh --download true" in result.stderr
    assert run(recipe, "unpack_speakers.py", wav).returncode == 0
    assert not (wav / "S0002.tar.gz").exists() and (wav / "train/S0002/BAC009S0002W0122.wav").is_file()
    assert run(recipe, "unpack_speakers.py", wav).returncode == 0
    (wav / "S0003.tar.gz").write_bytes(b"no archive")
    result = run(recipe, "unpack_speakers.py", wav)
    assert result.returncode == 1 and "S0003.tar.gz: cannot be unpacked" in result.stderr


LEXICON = """SIL sil
<SPOKEN_NOISE> sil
楼市 l ou2 sh ix4
对 d ui4
对 d ui5
对对 d ui4 d ui4
而 er2
Ｇ j i4

杜 d u4
听歌 t ing1 g e1
"""


@pytest.fixture
def lexicon(tmp_path) -> Path:
    path = tmp_path / "lexicon.txt"
    path.write_text(LEXICON, encoding="utf-8")
    return path


def prepared(recipe, lexicon: Path, text: str, *options) -> tuple[Path, subprocess.CompletedProcess]:
    transcript = lexicon.parent / "text"
    transcript.write_text(text, encoding="utf-8")
    return lexicon.parent / "dict", run(recipe, "prepare_dict.py", *options, lexicon, transcript, lexicon.parent / "dict")


def test_dictionary(recipe, lexicon):
    dictionary, result = prepared(recipe, lexicon, "u1 而 对 楼市\n")
    assert result.returncode == 0, result.stderr
    assert (dictionary / "silence_phones.txt").read_text() == "sil\n" == (dictionary / "optional_silence.txt").read_text()
    sets = (dictionary / "nonsilence_phones.txt").read_text().splitlines()
    assert "ui4 ui5" in sets and "d" in sets and "er2" in sets
    questions = (dictionary / "extra_questions.txt").read_text().splitlines()
    assert questions[0] == "sil" and "d g j l sh t" in questions and "i4 ix4 u4 ui4" in questions and "ui4 ui5" in questions
    entries = (dictionary / "lexicon.txt").read_text(encoding="utf-8").splitlines()
    assert entries[0] == "<SPOKEN_NOISE> sil" and "G j i4" in entries and "对 d ui5" in entries and len(entries) == 9
    assert "0 of 3 words" in result.stderr


@pytest.mark.parametrize(
    ("choice", "split", "added", "left"),
    [
        ("split", {"听歌对": "听歌 对", "度楼市": "度 楼市"}, {"听 t ing1", "度 d u4"}, 1),
        ("pronounce", {}, {"听 t ing1", "听歌对 t ing1 g e1 d ui4", "度楼市 d u4 l ou2 sh ix4"}, 1),
        ("unknown", {}, {}, 4),
    ],
)
def test_words_that_are_not_in_the_lexicon(recipe, lexicon, choice, split, added, left):
    """听 stands in a word only, 度 has the syllable of 杜; 喂 has none that the lexicon knows."""
    dictionary, result = prepared(recipe, lexicon, "u1 听歌对 度楼市 听 而\nu2 喂 听\n", "--oov", choice)
    assert result.returncode == 0, result.stderr
    assert table(dictionary / "split.txt") == split if split else (dictionary / "split.txt").read_text() == ""
    entries = set((dictionary / "lexicon.txt").read_text(encoding="utf-8").splitlines())
    assert len(entries) == 9 + len(added) and set(added) <= entries
    assert "5 of 6 words" in result.stderr and f"{left} left as <SPOKEN_NOISE>" in result.stderr
    assert table(dictionary / "oov.txt")["听"] == "2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "0 silence phones"),
        ("SIL sil\n<SPOKEN_NOISE> spn\n对 d ui4\n", "2 silence phones (sil spn)"),
        ("SIL sil\n对\n", "line 2: 对: no phones"),
        ("SIL sil\n对 d ui44\n", "line 2: 对: 'ui44' is no phone"),
        ("SIL sil\n", "no words"),
        (b"SIL sil\n\xff d\n", "not UTF-8 at byte 8"),
    ],
)
def test_a_damaged_lexicon(recipe, tmp_path, content, message):
    path = tmp_path / "lexicon.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    _, result = prepared(recipe, path, "u1 对\n")
    assert result.returncode == 1 and message in result.stderr and "Traceback" not in result.stderr


def test_no_lexicon(recipe, tmp_path):
    result = run(recipe, "prepare_dict.py", tmp_path / "lexicon.txt", tmp_path / "text", tmp_path / "dict")
    assert result.returncode == 1 and "resource_aishell.tgz" in result.stderr
