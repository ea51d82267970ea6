"""speechocean762's local/: data directories, the dictionary against Kaldi's, and bad input."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def recipe(repository) -> Path:
    return repository / "egs" / "speechocean762" / "s5"


def run(recipe: Path, program: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, f"local/{program}", *map(str, arguments)]
    return subprocess.run(command, cwd=recipe, capture_output=True, text=True, timeout=60)


def table(path: Path) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())


def write_half(root: Path, half: str, speakers: list[str]) -> None:
    """Two utterances a speaker, empty recordings."""
    files: dict[str, list[str]] = {"text": [], "wav.scp": [], "utt2spk": [], "spk2gender": []}
    for speaker in speakers:
        files["spk2gender"].append(f"{speaker}\tf")
        for number in (17, 9):
            utterance = f"{speaker.zfill(5)}{number:04d}"
            wav = f"WAVE/SPEAKER{speaker}/{utterance}.WAV"
            (root / wav).parent.mkdir(parents=True, exist_ok=True)
            (root / wav).touch()
            files["text"].append(f"{utterance}\tWE  CALL IT BEAR")
            files["wav.scp"].append(f"{utterance}\t{wav}")
            files["utt2spk"].append(f"{utterance} {speaker}")
    (root / half).mkdir()
    for name, lines in files.items():
        (root / half / name).write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def corpus(recipe, tmp_path) -> Path:
    """A directory that holds a corpus with all 125 speakers and no sound."""
    root = tmp_path / "speechocean762"
    (root / "resource").mkdir(parents=True)
    (root / "resource" / "lexicon.txt").write_text("BEAR\tB EH1 R\n")
    speakers = [name for split in ("train", "dev", "devtest") for name in (recipe / f"local/spk_{split}.txt").read_text().split()]
    write_half(root, "train", speakers)
    return tmp_path


@pytest.mark.parametrize("split", ["train", "dev", "devtest"])
def test_speaker_lists_are_those_of_the_reference(recipe, kaldi_reference, split):
    ours = (recipe / f"local/spk_{split}.txt").read_text().split()
    assert ours == (kaldi_reference / f"spk_{split}.txt").read_text().split()


def test_data_directories_by_speaker(recipe, corpus):
    done = run(recipe, "data_prep.py", corpus, corpus / "data")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (corpus / "data").iterdir()) == ["dev", "devtest", "train"]
    speakers = {}
    for split, count in (("train", 105), ("dev", 10), ("devtest", 10)):
        tables = {name: table(corpus / "data" / split / name) for name in ("wav.scp", "text", "utt2spk", "spk2utt", "spk2gender")}
        assert all(list(read) == sorted(read) for read in tables.values())
        assert len(tables["spk2utt"]) == len(tables["spk2gender"]) == count
        assert set(tables["wav.scp"]) == set(tables["text"]) == set(tables["utt2spk"])
        assert all(utterance.startswith(f"{speaker}-") for utterance, speaker in tables["utt2spk"].items())
        assert set(tables["text"].values()) == {"WE CALL IT BEAR"}
        assert all(Path(path).is_file() for path in tables["wav.scp"].values())
        for speaker, line in tables["spk2utt"].items():
            assert line.split() == sorted(line.split())
            assert {tables["utt2spk"][utterance] for utterance in line.split()} == {speaker}
        speakers[split] = set(tables["spk2utt"])
    assert (
        not speakers["train"] & speakers["dev"] | speakers["train"] & speakers["devtest"] | speakers["dev"] & speakers["devtest"]
    )


def test_the_official_test_half_is_taken_when_it_is_there(recipe, corpus):
    write_half(corpus / "speechocean762", "test", ["0003", "0009"])
    done = run(recipe, "data_prep.py", corpus, corpus / "data")
    assert done.returncode == 0, done.stderr
    assert list(table(corpus / "data/test/spk2utt")) == ["0003", "0009"]
    assert next(iter(table(corpus / "data/test/utt2spk"))) == "0003-000030009"


def test_utterances_are_those_that_kaldi_aligned(recipe, speech_data, kaldi_reference, tmp_path):
    """The lists of the corpus as it is kept compressed, with empty files for the recordings."""
    root = tmp_path / "speechocean762"
    for name in ("train", "resource"):
        (root / name).mkdir(parents=True)
        for path in (speech_data / "speechocean762" / name).iterdir():
            (root / name / path.name).write_bytes(path.read_bytes())
    for wav in table(root / "train" / "wav.scp").values():
        (root / wav).parent.mkdir(parents=True, exist_ok=True)
        (root / wav).touch()
    done = run(recipe, "data_prep.py", tmp_path, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    ours = list(table(tmp_path / "data/train/utt2spk"))
    assert len(ours) == 2100
    with gzip.open(kaldi_reference / "gmm/tri3b_ali/ali_first300.text.gz", "rt") as file:
        assert [line.split()[0] for line in file] == ours[:300]
    known = {name for split in ("dev", "devtest") for name in table(tmp_path / "data" / split / "utt2spk")} | set(ours)
    assert {path.stem for path in (kaldi_reference / "wav").glob("*.wav")} <= known

    done = run(recipe, "prepare_dict.py", tmp_path, tmp_path / "dict")
    assert done.returncode == 0, done.stderr
    reference = {path.name: path.read_bytes() for path in (kaldi_reference / "lang/dict").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "dict").iterdir()} == reference
    assert len(reference["lexicon.txt"].splitlines()) == 2859 + 2


def damage(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


BAD_CORPORA = {
    "no corpus": (lambda root: root.rename(root.with_name("elsewhere")), r"speechocean762/train: no such directory"),
    "no text": (lambda root: (root / "train/text").unlink(), "train/text: no such file; is the corpus complete?"),
    "missing wav": (
        lambda root: (root / "WAVE/SPEAKER0001/000010009.WAV").unlink(),
        "train/wav.scp: 000010009: no file",
    ),
    "empty transcript": (
        lambda root: damage(root / "train/text", "000010017\tWE  CALL IT BEAR", "000010017\t"),
        "train/text: 000010017: nothing follows the key",
    ),
    "blank line": (lambda root: damage(root / "train/text", "\n", "\n\n"), "train/text: line 2: nothing follows the key"),
    "key twice": (
        lambda root: damage(root / "train/wav.scp", "000010017\t", "000010009\t"),
        "train/wav.scp: 000010009: stands twice",
    ),
    "not in utt2spk": (
        lambda root: damage(root / "train/utt2spk", "000010017 0001\n", ""),
        "train/text: 000010017: not in utt2spk",
    ),
    "no transcript": (
        lambda root: damage(root / "train/text", "000010017\tWE  CALL IT BEAR\n", ""),
        "train/text: 000010017: missing, but utt2spk has it",
    ),
    "no gender": (
        lambda root: damage(root / "train/spk2gender", "0001\tf\n", ""),
        "train/spk2gender: 0001: missing, but 00001",
    ),
    "speaker missing": (
        lambda root: [damage(root / "train/utt2spk", f"0000100{n} 0001", f"0000100{n} 0005") for n in ("17", "09")],
        "train/utt2spk: speaker 0001 of local/spk_train.txt has no utterance",
    ),
    "not UTF-8": (lambda root: (root / "train/text").write_bytes(b"000010017\t\xff\n"), "train/text: not UTF-8 at byte 10"),
    "speaker in both halves": (
        lambda root: write_half(root, "test", ["0001"]),
        "test/utt2spk: speaker 0001 is in train too",
    ),
}


@pytest.mark.parametrize("case", BAD_CORPORA)
def test_bad_corpora_are_named_in_one_line(recipe, corpus, case):
    spoil, message = BAD_CORPORA[case]
    spoil(corpus / "speechocean762")
    done = run(recipe, "data_prep.py", corpus, corpus / "data")
    errors = [line for line in done.stderr.splitlines() if "ERROR" in line]
    assert done.returncode == 1
    assert len(errors) == 1 and message in errors[0], done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("BEAR", "lexicon.txt: BEAR: no phones"),
        ("BEAR\tB EH9 R", "lexicon.txt: BEAR: 'EH9' is no ARPAbet phone; mend line 1"),
        ("BEAR\tB EH1 R", "lexicon.txt: 3 phones without stress marks, expected 39"),
    ],
)
def test_bad_lexica_are_named_in_one_line(recipe, corpus, line, message):
    (corpus / "speechocean762/resource/lexicon.txt").write_text(f"{line}\n")
    done = run(recipe, "prepare_dict.py", corpus, corpus / "dict")
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
