"""LibriSpeech's local/: data directories of trees with faults, the dictionary, readers held out, the results page."""

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from asrtool.errors import AsrtoolError
from asrtool.lang.dictionary import Dictionary

SPEAKERS = "; comment\n14   | F | train-clean-360  | 25.03 | Kristin\n16 | M | train-clean-360 | 25.11 | Alys\n"
TEXTS = {"14-208-0000": "THE DOG", "14-208-0001": "IT'S A DOG", "16-122-0000": "A HOUSE"}


def load(name: str) -> ModuleType:
    path = Path(__file__).resolve().parents[3] / f"egs/librispeech/s5/local/{name}.py"
    spec = importlib.util.spec_from_file_location(f"librispeech_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


data_prep, prepare_dict, hold_out, page = map(load, ("data_prep", "prepare_dict", "hold_out_readers", "results_page"))


def table(path: Path) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())


@pytest.fixture
def part(tmp_path) -> Path:
    """LibriSpeech/dev-clean with three utterances of two readers."""
    root = tmp_path / "LibriSpeech"
    for utterance, text in TEXTS.items():
        speaker, chapter, _ = utterance.split("-")
        folder = root / "dev-clean" / speaker / chapter
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{utterance}.flac", np.zeros(8000), 16000, subtype="PCM_16")
        with open(folder / f"{speaker}-{chapter}.trans.txt", "a") as file:
            file.write(f"{utterance} {text}\n")
    (root / "SPEAKERS.TXT").write_text(SPEAKERS)
    return root / "dev-clean"


@pytest.fixture
def transcript(part) -> Path:
    return part / "14/208/14-208.trans.txt"


def prepare(part: Path, max_failed: float = 1.0, max_utterances: int = 0) -> Path:
    data = part.parent.parent / "data"
    data_prep.prepare(part, data, max_failed, max_utterances)
    return data


def problems(data: Path) -> str:
    return (data / "problems.txt").read_text()


def test_a_sound_part(part, capsys):
    data = prepare(part, 0.0)
    assert table(data / "text") == TEXTS
    assert list(table(data / "wav.scp")) == sorted(TEXTS)
    assert table(data / "wav.scp")["16-122-0000"] == str(part / "16/122/16-122-0000.flac")
    assert table(data / "utt2spk")["14-208-0001"] == "14-208"
    assert table(data / "spk2utt")["14-208"] == "14-208-0000 14-208-0001"
    assert table(data / "spk2gender") == {"14-208": "f", "16-122": "m"}
    assert set(table(data / "utt2dur").values()) == {"0.500"}
    assert problems(data) == ""
    assert "3 utterances, 2 chapters of 2 speakers; 0 left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("14-208-0000 THE DOG\n14-208-0001\n", "14-208-0001: no text"),
        ("14-208-0000 THE DOG\n", "14-208-0001: not in"),
        ("14-208-0000 THE DOG\n14-208-0001 A DOG\n14-208-0001 A CAT\n", "14-208-0001: stands twice, with different texts"),
        ("14-208-0000 THE DOG\n14-209-0001 A DOG\n", "14-209-0001: not an utterance of this chapter"),
        ("14-208-0000 THE DOG\nA DOG\n", "A: not an utterance of this chapter"),
        ("14-208-0000 THE DOG\n14-208-0001 A DOG\n14-208-0002 A CAT\n", "14-208-0002.flac: no such file"),
    ],
)
def test_what_a_transcript_lacks_is_left_out_and_told(part, transcript, lines, why):
    transcript.write_text(lines)
    data = prepare(part)
    assert "14-208-0000" in table(data / "text")
    assert any(line.startswith("left out: ") and why in line for line in problems(data).splitlines())
    assert (
        set(table(data / "text")) == set(table(data / "wav.scp")) == set(table(data / "utt2spk")) == set(table(data / "utt2dur"))
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty file"), (b"RIFF" + bytes(40), "not a flac file"), (b"fLaC", "not a flac file")],
)
def test_files_that_are_no_flac(part, content, why):
    (part / "14/208/14-208-0001.flac").write_bytes(content)
    data = prepare(part)
    assert why in problems(data) and "14-208-0001" not in table(data / "text")


def test_another_sampling_rate(part):
    soundfile.write(part / "14/208/14-208-0001.flac", np.zeros(8000), 8000, subtype="PCM_16")
    assert "8000 Hz and 1 channel(s), expected 16000 and 1" in problems(prepare(part))


def test_lower_case_blank_lines_and_doubles_are_mended(part, transcript):
    transcript.write_text("14-208-0000 the dog\n\n14-208-0001 IT'S  A DOG\n14-208-0001 IT'S A DOG\n")
    (part / "14/.DS_Store").touch()
    (part / "notes").mkdir()
    data = prepare(part, 0.0)
    assert table(data / "text") == TEXTS
    for told in ("text made upper case", "empty line", "with the same text", "not a chapter's folder", "not a speaker's folder"):
        assert told in problems(data)


def test_a_chapter_without_transcript(part, transcript):
    transcript.unlink()
    data = prepare(part)
    assert list(table(data / "text")) == ["16-122-0000"] and problems(data).count("14-208.trans.txt: no such file") == 2


def test_text_that_is_not_utf8(part, transcript):
    transcript.write_bytes(b"14-208-0000 THE DOG\n14-208-0001 CAF\xe9\n")
    assert "14-208-0001: text is not UTF-8" in problems(prepare(part))


def test_too_much_left_out(part, transcript):
    transcript.write_text("14-208-0000 THE DOG\n")
    with pytest.raises(AsrtoolError, match=r"1 of 3 utterances cannot be used \(allowed: 1%\), see .*problems.txt"):
        prepare(part, 0.01)


def test_utterances_are_taken_evenly(part):
    assert list(table(prepare(part, 0.0, 2) / "text")) == ["14-208-0000", "14-208-0001"]


def test_speakers_file(part):
    speakers = part.parent / "SPEAKERS.TXT"
    speakers.write_text(SPEAKERS.replace("16 |", "17 |"))
    with pytest.raises(AsrtoolError, match=r"SPEAKERS.TXT: 16: missing"):
        prepare(part)
    speakers.write_text("14 | X | dev-clean\n")
    with pytest.raises(AsrtoolError, match=r"line 1: expected .speaker \| F or M"):
        prepare(part)
    speakers.unlink()
    with pytest.raises(AsrtoolError, match="every archive has it"):
        prepare(part)


def test_no_part_and_an_empty_one(tmp_path):
    with pytest.raises(AsrtoolError, match="no such directory; --corpus names"):
        data_prep.prepare(tmp_path / "x", tmp_path / "data", 1.0, 0)
    (tmp_path / "SPEAKERS.TXT").write_text(SPEAKERS)
    (tmp_path / "x").mkdir()
    with pytest.raises(AsrtoolError, match="no utterances with flac file and text"):
        data_prep.prepare(tmp_path / "x", tmp_path / "data", 1.0, 0)


@pytest.fixture
def lexicon(tmp_path) -> Path:
    path = tmp_path / "librispeech-lexicon.txt"
    path.write_text("A\tAH0\nA  EY1\nDOG D AO1 G\nDOG D AO1 G\n\n")
    (tmp_path / "librispeech-vocab.txt").write_text("A\nDOG\nDOGS\n")
    return path


def make_dict(lexicon: Path, g2p: Path | None = None) -> Path:
    directory = lexicon.parent / "dict"
    prepare_dict.prepare(lexicon, lexicon.parent / "librispeech-vocab.txt", directory, g2p)
    return directory


def test_dictionary_with_the_groups_of_kaldis_recipe(lexicon):
    directory = make_dict(lexicon)
    dictionary = Dictionary.load(directory)
    assert [entry.word for entry in dictionary.entries] == ["!SIL", "<SPOKEN_NOISE>", "<UNK>", "A", "A", "DOG"]
    assert dictionary.nonsilence_phones == [["AH", "AH0"], ["AO", "AO1"], ["D"], ["EY", "EY1"], ["G"]]
    assert dictionary.extra_questions == [["SIL", "SPN"], ["AH", "AO", "D", "EY", "G"], ["AH0"], ["AO1", "EY1"]]
    assert (directory / "words_without_pronunciation.txt").read_text() == "DOGS\n"


def test_dictionary_with_guessed_pronunciations(lexicon, tmp_path, capsys):
    (tmp_path / "guessed").write_text("DOGS 0.9 D AO1 G Z\nCAT 0.9 K AE1 T\n")
    directory = make_dict(lexicon, tmp_path / "guessed")
    assert "DOGS D AO1 G Z\n" in (directory / "lexicon.txt").read_text()
    assert "CAT" not in (directory / "lexicon.txt").read_text()  # not of the vocabulary
    assert (directory / "words_without_pronunciation.txt").read_text() == ""
    assert "7 pronunciations (1 by G2P)" in capsys.readouterr().err


def test_unknown_words_are_counted(tmp_path, capsys):
    (tmp_path / "text").write_text("u1 A DOG\nu2 A CAT A CAT\n")
    prepare_dict.report_unknown(tmp_path / "text", {"A", "DOG"})
    assert "2 of 6 words (33.33 %) not in the lexicon: CAT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("A AH0\nDOG\n", "line 2: DOG: no phones"),
        ("A 7\n", "'7' is no ARPAbet phone"),
        ("A SIL\n", "'SIL' is no ARPAbet"),
        ("", "empty"),
    ],
)
def test_bad_lexicons(lexicon, content, why):
    lexicon.write_text(content)
    with pytest.raises(AsrtoolError, match=why):
        make_dict(lexicon)


def test_lexicon_missing_or_not_utf8(lexicon):
    lexicon.write_bytes(b"A AH0\nCAF\xe9 K\n")
    with pytest.raises(AsrtoolError, match="not UTF-8 at byte 9"):
        make_dict(lexicon)
    lexicon.unlink()
    with pytest.raises(AsrtoolError, match="no such file; --lm-dir names"):
        make_dict(lexicon)


def test_readers_are_held_out_whole(tmp_path):
    data = tmp_path / "train"
    data.mkdir()
    names = [f"{reader}-{chapter}-{number:04d}" for reader in range(10, 20) for chapter in (1, 2) for number in range(5)]
    (data / "utt2spk").write_text("".join(f"{name} {name.rpartition('-')[0]}\n" for name in names))
    arguments = ["0.15", "1", str(data), str(tmp_path / "tr"), str(tmp_path / "cv")]
    assert hold_out.main(arguments) == 0
    train, valid = ((tmp_path / name).read_text().split() for name in ("tr", "cv"))
    assert len(valid) == 4 and sorted(train + valid) == sorted({name.rpartition("-")[0] for name in names})
    assert not {speaker[:2] for speaker in train} & {speaker[:2] for speaker in valid}
    before = (tmp_path / "cv").read_text()
    assert hold_out.main(arguments) == 0 and (tmp_path / "cv").read_text() == before


def test_readers_one_always_stays_in_training():
    assert len(hold_out.choose_readers(Counter({"1": 9, "2": 9}), 0.9, 1)) == 1
    with pytest.raises(AsrtoolError, match="two at least"):
        hold_out.choose_readers(Counter({"1": 9}), 0.1, 1)
    with pytest.raises(AsrtoolError, match="between 0 and 1"):
        hold_out.choose_readers(Counter({"1": 9, "2": 9}), 1.0, 1)


def record(system: str, dataset: str, value: float) -> dict:
    counts = {"errors": 1, "total": 2, "ins": 0, "del": 0, "sub": 1}
    return {"system": system, "set": dataset, "metric": "wer", "value": value, "command": "", "commit": "", "seed": 1, **counts}


RESULTS = [
    record("tri4b_tgsmall", "test_clean", 13.0),
    record("tri4b_tgsmall_best", "test_clean", 12.9),
    record("dnn_ema_fglarge", "test_clean", 7.0),
    record("dnn_ema", "test_clean", 9.0),
]


def test_kaldis_figures_stand_below_ours():
    lines = page.error_table(RESULTS, ["dev_clean", "test_clean"], "100")
    assert lines[0] == "| system | LM | dev_clean | test_clean |"
    assert lines[2] == "| tri4b | tgsmall | - | 13.00 (12.90) |"
    assert lines[3] == "| *Kaldi's tri4b, 100 h* | tgsmall | 11.69 | 12.64 |"
    assert lines[7] == "| dnn_ema | fglarge | - | 7.00 |"
    assert lines[8:] == [line for line in lines if "p-norm DNN" in line] and len(lines) == 12


def test_every_published_figure_is_a_rate():
    for parts, count in (("mini", 0), ("100", 8), ("460", 8), ("960", 12)):
        published = page.read_published(page.PUBLISHED, parts)
        assert len(published) == count
        assert all(4 < float(value) < 36 for figures in published.values() for value in figures.values())


def test_page_gets_both_sections_once(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps(RESULTS))
    made = tmp_path / "RESULTS.md"
    made.write_text("# LibriSpeech\n\ntable\n\n## All results\n\nlist\n")
    compared = tmp_path / "compare/RESULTS.md"
    compared.parent.mkdir()
    compared.write_text("# Title\n\n## DNN\n\n| algorithm |\n\n![x](figures/x.png)\n\n## How they were made\n\ncommand\n")
    arguments = ["--compare", str(compared), "--parts", "100", "--sets", "test_clean", str(results), str(made)]
    assert page.main(arguments) == 0
    once = made.read_text()
    assert "### DNN\n\n| algorithm |" in once and "![x](compare/figures/x.png)" in once and "command" not in once
    assert once.index(page.HEADING) < once.index(page.COMPARISON) < once.index("## All results\n\nlist")
    assert page.main(arguments) == 0 and made.read_text() == once
    made.write_text("another page\n")
    with pytest.raises(AsrtoolError, match="is it what asrtool make-results wrote"):
        page.main(arguments)
    with pytest.raises(AsrtoolError, match="no such file"):
        page.extend(tmp_path / "x.md", RESULTS, ["test_clean"], "100", None)
