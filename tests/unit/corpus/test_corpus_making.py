"""mini_mandarin's corpus end to end, tiny: same seed, same bytes; resumed after a kill; data directories; errors."""

import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest

pytest.importorskip("espeakng_loader", reason="espeakng-loader speaks the corpus: pip install 'asrtool[synthesis]'")
TINY = ["--hours", "0.004", "--train-speakers", "2", "--held-out-speakers", "2", "--lm-sentences", "200"]
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def recipe(repository) -> Path:
    return repository / "egs" / "mini_mandarin" / "s5"


def run(recipe: Path, program: str, *arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, f"local/{program}", *map(str, arguments)]
    return subprocess.run(command, cwd=recipe, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def corpus(recipe, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "nj2"
    done = run(recipe, "make_corpus.py", *TINY, "--nj", 2, path)
    assert done.returncode == 0, done.stderr
    return path


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def table(path: Path) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines())


def test_killed_and_resumed_with_another_nj_gives_the_same_bytes(recipe, corpus, tmp_path):
    path = tmp_path / "killed"
    command = [sys.executable, "local/make_corpus.py", *TINY, "--nj", "1", str(path)]
    process = subprocess.Popen(command, cwd=recipe, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 100
    while not list(path.glob("test/wav/test*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = run(recipe, "make_corpus.py", *TINY, "--nj", 1, path)
    assert done.returncode == 0, done.stderr
    assert contents(path) == contents(corpus)


def test_a_second_start_does_nothing(recipe, corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    done = run(recipe, "make_corpus.py", *TINY, corpus)
    assert done.returncode == 0
    assert "is there already" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_recordings_are_16_khz_mono_with_plausible_speech(corpus):
    for split in SPLITS:
        rows = [line.split("\t") for line in (corpus / split / "utterances.tsv").read_text().splitlines()[1:]]
        text = table(corpus / split / "text")
        assert [row[0] for row in rows] == list(text)
        for utterance, speaker, duration_s, *_ in rows:
            with wave.open(str(corpus / split / "wav" / speaker / f"{utterance}.wav")) as file:
                assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
                assert file.getnframes() / 16000 == pytest.approx(float(duration_s), abs=1e-4)
        characters = sum(len(words.replace(" ", "")) for words in text.values())
        speech_s = sum(float(row[2]) - 0.5 for row in rows)
        assert 3.0 < characters / speech_s < 7.0  # syllables a second


def test_hours_are_as_asked(corpus):
    stats = json.loads((corpus / "stats.json").read_text())
    assert 0.004 <= stats["train"]["hours"] < 0.007
    for split in ("valid", "test"):
        assert 0.02 <= stats[split]["hours"] < 0.024
    assert stats["words_of_the_grammar"] >= 600


def test_splits_share_neither_sentences_nor_speakers(corpus):
    said = {split: {text.replace(" ", "") for text in table(corpus / split / "text").values()} for split in SPLITS}
    voices = {
        split: {line.split("\t", 1)[1] for line in (corpus / split / "speakers.tsv").read_text().splitlines()[1:]}
        for split in SPLITS
    }
    extra = {line.replace(" ", "") for line in (corpus / "lm_text").read_text(encoding="utf-8").splitlines()}
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not said[one] & said[other]
        assert not voices[one] & voices[other]
    assert not extra & (said["valid"] | said["test"])


def test_data_directories(recipe, corpus, tmp_path):
    done = run(recipe, "prepare_data.py", corpus, tmp_path)
    assert done.returncode == 0, done.stderr
    words = set((tmp_path / "local/words.txt").read_text(encoding="utf-8").split())
    for split in SPLITS:
        tables = {name: table(tmp_path / split / name) for name in ("wav.scp", "text", "utt2spk", "spk2utt")}
        for read in tables.values():
            assert list(read) == sorted(read)
        assert set(tables["wav.scp"]) == set(tables["text"]) == set(tables["utt2spk"])
        assert all(Path(path).is_file() for path in tables["wav.scp"].values())
        assert all(utterance.startswith(f"{speaker}-") for utterance, speaker in tables["utt2spk"].items())
        pairs = {utterance: speaker for speaker, line in tables["spk2utt"].items() for utterance in line.split()}
        assert pairs == tables["utt2spk"]
        assert {word for line in tables["text"].values() for word in line.split()} <= words
    train = (tmp_path / "local/lm/train.txt").read_text(encoding="utf-8").splitlines()
    assert len(train) == 200 + len(table(tmp_path / "train/text"))


def test_errors_are_one_line(recipe, corpus, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear\n")
    (tmp_path / "copy").mkdir()
    for name in ("stats.json", "train/text"):
        (tmp_path / "copy" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "copy" / name).write_bytes((corpus / name).read_bytes())
    for program, arguments, message in [
        ("make_corpus.py", [*TINY, "--seed", 2, corpus], "the corpus has seed 1, not 2"),
        ("make_corpus.py", ["--hours", 0, tmp_path / "x"], "--hours 0.0: expected more than 0"),
        ("make_corpus.py", ["--nj", 0, tmp_path / "x"], "--nj, --train-speakers and --held-out-speakers are at least 1"),
        ("make_corpus.py", [*TINY, tmp_path / "mine"], "not empty and no corpus of ours"),
        ("prepare_data.py", [tmp_path / "mine", tmp_path / "data"], "no finished corpus"),
        ("prepare_data.py", [tmp_path / "copy", tmp_path / "data"], "train/text: train01-0001: no file"),
    ]:
        done = run(recipe, program, *arguments)
        assert done.returncode == 1
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_missing_espeakng_loader_gives_the_pip_command(recipe, tmp_path):
    """A site-packages of links to all packages but espeakng_loader would be slow: hide it from find_spec instead."""
    code = (
        "import sys; sys.path.insert(0, 'local'); sys.modules['espeakng_loader'] = None\n"
        "import importlib.util as u; old = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'espeakng_loader' else old(name, *a)\n"
        "import make_corpus\n"
        f"make_corpus.main([*{TINY!r}, {str(tmp_path / 'c')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=recipe, capture_output=True, text=True, timeout=60)
    assert "AsrtoolError: the package espeakng-loader, which speaks, is missing: pip install" in done.stderr
    assert not (tmp_path / "c" / "stats.json").exists()
