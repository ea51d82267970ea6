"""Pronunciations in alignments and lattices that Kaldi made: their words, phones and frames are those of its best paths."""

import gzip
import shutil

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, read_text_ints
from asrtool.io.symbols import SymbolTable


@pytest.fixture
def experiment(kaldi_reference, tmp_path):
    directory = tmp_path / "exp"
    directory.mkdir()
    shutil.copy(kaldi_reference / "lattice" / "final.mdl", directory)
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(kaldi_reference / "lattice" / "ref.txt", data / "text")
    utterances = [line.split()[0] for line in (data / "text").read_text().splitlines()]
    (data / "utt2spk").write_text("".join(f"{utterance} {utterance[:4]}\n" for utterance in utterances))
    return directory, data


def read_prons(path):
    """utterance -> (first frame, frames, word, phones)."""
    found = {}
    with gzip.open(path, "rt") as file:
        for line in file:
            utterance, start, frames, word, *phones = line.split()
            found.setdefault(utterance, []).append((int(start), int(frames), int(word), tuple(map(int, phones))))
    return found


def check(prons, alignments, words, kaldi_reference):
    model = TransitionModel.read_file(kaldi_reference / "lattice" / "final.mdl")
    lines = (kaldi_reference / "lang" / "phones" / "align_lexicon.int").read_text().splitlines()
    lexicon = {(int(word), tuple(map(int, phones))) for word, _, *phones in map(str.split, lines)}
    assert set(prons) == set(alignments) and len(prons) == 12
    for utterance, rows in prons.items():
        phones, lengths = model.phone_segments(alignments[utterance])
        assert tuple(phone for *_, own in rows for phone in own) == tuple(phones.tolist())
        assert [word for _, _, word, _ in rows if word] == list(words[utterance])
        assert {(word, own) for _, _, word, own in rows} <= lexicon
        ends = np.cumsum(lengths)
        for (start, frames, _, _), following in zip(rows, [*(row[0] for row in rows[1:]), int(ends[-1])]):
            assert start + frames == following and following in ends


def test_prons_of_lattices(experiment, kaldi_reference):
    lattice = kaldi_reference / "lattice"
    directory, data = experiment
    (directory / "decode").mkdir()
    shutil.copy(lattice / "compact_lat.gz", directory / "decode" / "lat.1.gz")
    # Kaldi's best paths are those at acoustic scale 1 / 12
    assert main(["get-prons", "--lmwt", "12", str(data), str(kaldi_reference / "lang"), str(directory / "decode")]) == 0
    words = {utterance: ids.tolist() for utterance, ids in read_text_ints(lattice / "best_words.int").items()}
    check(read_prons(directory / "decode" / "prons.1.gz"), read_alignments(lattice / "best_ali.txt"), words, kaldi_reference)


def test_prons_of_alignments(experiment, kaldi_reference, capsys):
    lattice = kaldi_reference / "lattice"
    directory, data = experiment
    with gzip.open(directory / "ali.1.gz", "wb") as file:
        file.write((lattice / "ref_ali.txt").read_bytes())
    assert main(["get-prons", str(data), str(kaldi_reference / "lang"), str(directory)]) == 0
    table = SymbolTable.read(kaldi_reference / "lang" / "words.txt")
    words = {line.split()[0]: [table.id(word) for word in line.split()[1:]] for line in (data / "text").read_text().splitlines()}
    check(read_prons(directory / "prons.1.gz"), read_alignments(lattice / "ref_ali.txt"), words, kaldi_reference)
    # a line of text is missing: said, and too much where none may fail
    lines = (data / "text").read_text().splitlines(keepends=True)
    (data / "text").write_text("".join(lines[1:]))
    capsys.readouterr()
    arguments = ["get-prons", "--max-failed", "0", str(data), str(kaldi_reference / "lang"), str(directory)]
    assert main(arguments) == 1
    assert "1447-014470060: no transcript" in capsys.readouterr().err
    assert main(["get-prons", "--job", "2", *arguments[3:]]) == 1
    assert "--job 2:" in capsys.readouterr().err


def test_nbest_to_prons(kaldi_reference, tmp_path):
    lattice, places = kaldi_reference / "lattice", kaldi_reference / "lang" / "phones" / "word_boundary.int"
    best, aligned = tmp_path / "best.gz", tmp_path / "aligned.gz"
    assert main(["lattice-nbest", "--n", "1", "--acoustic-scale", "0.083333", str(lattice / "compact_lat.gz"), str(best)]) == 0
    assert main(["lattice-align-words", str(places), str(lattice / "final.mdl"), str(best), str(aligned)]) == 0
    plain, lengths = tmp_path / "prons.gz", tmp_path / "lengths.gz"
    assert main(["nbest-to-prons", str(lattice / "final.mdl"), str(aligned), str(plain)]) == 0
    command = ["nbest-to-prons", "--print-lengths-per-phone", "true", str(lattice / "final.mdl"), str(aligned), str(lengths)]
    assert main(command) == 0
    alignments = {f"{utterance}-1": tids for utterance, tids in read_alignments(lattice / "best_ali.txt").items()}
    words = {f"{utterance}-1": ids.tolist() for utterance, ids in read_text_ints(lattice / "best_words.int").items()}
    check(read_prons(plain), alignments, words, kaldi_reference)
    with gzip.open(plain, "rt") as first, gzip.open(lengths, "rt") as second:
        for line, longer in zip(first, second, strict=True):
            assert sum(map(int, longer.split()[2].split(","))) == int(line.split()[2])
            assert len(longer.split()[2].split(",")) == len(line.split()) - 4
