"""steps/get_ctm.sh and the commands that write CTM files."""

import shutil
import subprocess

import pytest

from asrtool.cli import main


def run(recipe, *command):
    return subprocess.run(command, cwd=recipe, capture_output=True, text=True, timeout=100)


@pytest.fixture
def decoding(recipe, kaldi_reference):
    """data/dev, lang and exp/mono/decode_dev of the twelve utterances, each the second half of a recording."""
    lattice, decode = kaldi_reference / "lattice", recipe / "exp" / "mono" / "decode_dev"
    decode.mkdir(parents=True)
    shutil.copy(lattice / "final.mdl", decode.parent)
    shutil.copy(lattice / "compact_lat.gz", decode / "lat.1.gz")
    (recipe / "lang").symlink_to(kaldi_reference / "lang")
    utterances = [line.split()[0] for line in (lattice / "ref.txt").read_text().splitlines()]
    data = recipe / "data" / "dev"
    data.mkdir(parents=True)
    (data / "utt2spk").write_text("".join(f"{utterance} {utterance[:4]}\n" for utterance in utterances))
    (data / "segments").write_text("".join(f"{utterance} reco{utterance[:4]} 100.5 104.5\n" for utterance in utterances))
    return data, decode, utterances


def test_usage_and_missing_files(recipe, decoding):
    result = run(recipe, "steps/get_ctm.sh", "data/dev")
    assert result.returncode == 1 and "e.g.: steps/get_ctm.sh" in result.stderr
    (decoding[1].parent / "final.mdl").unlink()
    result = run(recipe, "steps/get_ctm.sh", "data/dev", "lang", "exp/mono/decode_dev")
    assert result.returncode == 1
    assert "neither final.mdl nor ../final.mdl" in (decoding[1] / "scoring" / "log" / "get_ctm.log").read_text()


def test_times_in_recordings(recipe, decoding, kaldi_reference):
    data, decode, utterances = decoding
    command = ["steps/get_ctm.sh", "--min-lmwt", "11", "--max-lmwt", "12", "data/dev", "lang", "exp/mono/decode_dev"]
    assert run(recipe, *command).returncode == 0
    lines = (decode / "score_12" / "dev.ctm").read_text().splitlines()
    assert (decode / "score_11" / "dev.ctm").is_file() and not (decode / "score_10").exists()
    assert lines[:3] == ["reco1447 1 101.05 0.39 HE", "reco1447 1 101.44 0.36 LIKES", "reco1447 1 101.80 0.52 CAKE"]
    recordings = sorted({name[:4] for name in utterances})
    (data / "reco2file_and_channel").write_text("".join(f"reco{name} file{name} A\n" for name in recordings))
    assert run(recipe, *command, "--cmd").returncode == 1
    assert run(recipe, command[0], "--confidence", "true", *command[1:]).returncode == 0
    with_confidence = (decode / "score_12" / "dev.ctm").read_text().splitlines()
    assert with_confidence[0] == "file1447 A 101.05 0.39 HE 1.00"
    assert run(recipe, command[0], "--use-segments", "false", "--print-silence", "true", *command[1:]).returncode == 0
    assert (
        (decode / "score_12" / "dev.ctm")
        .read_text()
        .startswith("1447-014470060 1 0.00 0.55 <eps>\n1447-014470060 1 0.55 0.39 HE\n")
    )


def test_what_fails_is_named(decoding, recipe, capsys, tmp_path):
    data, decode, utterances = decoding
    arguments = [str(data), str(recipe / "lang"), str(decode), "--min-lmwt", "10", "--max-lmwt", "10"]
    (data / "segments").write_text(f"{utterances[0]} reco 0 1\n")
    assert main(["get-ctm", *arguments]) == 1
    error = capsys.readouterr().err
    assert f"{utterances[1]}: {data}/segments: {utterances[1]}: not in it" in error and "11 of 12 utterances failed" in error
    (data / "segments").unlink()
    (data / "utt2spk").write_text((data / "utt2spk").read_text() + "z z\n")
    assert main(["get-ctm", *arguments]) == 0
    assert f"z: no lattice in {decode}" in capsys.readouterr().err
    assert main(["get-ctm", *arguments, "--min-lmwt", "11"]) == 1
    assert "expected 0 < min <= max" in capsys.readouterr().err
    assert main(["get-ctm", str(data), str(tmp_path), str(decode)]) == 1
    assert "neither word_boundary.int nor align_lexicon.int" in capsys.readouterr().err


def test_convert_ctm(tmp_path, capsys):
    """The example of Kaldi's utils/convert_ctm.pl."""
    segments, channels, ctm, out = (tmp_path / name for name in ("segments", "reco2file_and_channel", "in.ctm", "out.ctm"))
    segments.write_text("utt reco 10.0 20.0\n")
    channels.write_text("reco file A\n")
    ctm.write_text("utt 1 8.0 1.0 word 0.5\n")
    arguments = ["convert-ctm", str(segments), str(channels), str(ctm), str(out)]
    assert main(arguments) == 0 and out.read_text() == "file A 18.00 1.00 word 0.50\n"
    ctm.write_text("utt 1 8.0 1.0 word\nother 1 0 1 word\n")
    assert main(arguments) == 1 and "segments: other: not in it" in capsys.readouterr().err
    assert main([*arguments, "--skip-unknown", "true"]) == 0 and out.read_text() == "file A 18.00 1.00 word\n"
    ctm.write_text("utt 1 soon 1.0 word\n")
    assert main(arguments) == 1 and "in.ctm: line 1: expected 'utterance channel begin" in capsys.readouterr().err
    ctm.write_text("")
    assert main(arguments) == 1 and "no line that could be converted" in capsys.readouterr().err
    channels.write_text("reco file\n")
    assert main(arguments) == 1 and "reco: expected 'recording file channel', found 'file'" in capsys.readouterr().err


def test_verbs_on_lattices(kaldi_reference, tmp_path, capsys):
    lattice, phones = kaldi_reference / "lattice", kaldi_reference / "lang" / "phones"
    aligned, ctm = tmp_path / "aligned.gz", tmp_path / "out.ctm"
    align = [
        "lattice-align-words",
        str(phones / "word_boundary.int"),
        str(lattice / "final.mdl"),
        str(lattice / "compact_lat.gz"),
    ]
    assert main([*align, str(aligned)]) == 0 and "0 lattices end within a word" in capsys.readouterr().err
    words = str(lattice / "words.txt")
    assert main(["nbest-to-ctm", "--word-symbol-table", words, "--frame-shift", "0.005", str(aligned), str(ctm)]) == 0
    assert ctm.read_text().startswith("1447-014470060 1 0.275 0.195 HE\n")
    best = tmp_path / "best.txt"
    best.write_text(
        "".join(line for line in (lattice / "best_words.int").read_text().splitlines(True) if not line.startswith("6010"))
    )
    command = ["lattice-to-ctm-conf", "--acoustic-scale", "0.083333", "--decode-mbr", "false", str(aligned), str(best), str(ctm)]
    assert main(command) == 1 and "not in" in capsys.readouterr().err
    assert main([*command, "--max-failed", "0.2"]) == 0
    assert [line.split()[4] for line in ctm.read_text().splitlines()] == best.read_text().replace("-", "").split()[1:4] + [
        word for line in best.read_text().splitlines()[1:] for word in line.split()[1:]
    ]
    phone_lattices = tmp_path / "phones.txt"
    command = ["lattice-align-phones", "--replace-output-symbols", "true", *align[2:], f"ark,t:{phone_lattices}"]
    assert main(command) == 0 and phone_lattices.read_text().startswith("1447-014470060 \n0\t1\t1\t")
    outputs = [str(tmp_path / name) for name in ("words", "risk", "sausage", "times")]
    assert main(["lattice-mbr-decode", "--acoustic-scale", "0.083333", *align[3:], *outputs]) == 0
    words, risk, sausage, times = ((tmp_path / name).read_text().splitlines() for name in ("words", "risk", "sausage", "times"))
    assert words[0] == "1447-014470060 1000 1264 319" and float(risk[1].split()[1]) == pytest.approx(1.7885, abs=1e-3)
    assert sausage[0].startswith("1447-014470060 [ 0 1 ] [ 1000 1 ]") and times[0].count(";") == 6
    assert (
        main(["lattice-align-words", *align[1:2], str(kaldi_reference / "gmm" / "chain_tree" / "final.mdl"), *align[3:], "x"])
        == 1
    )
    assert "made with another model" in capsys.readouterr().err
