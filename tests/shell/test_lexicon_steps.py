"""steps/get_prons.sh, utils/dict_dir_add_pronprobs.sh, steps/train_g2p.sh and steps/apply_g2p.sh."""

import gzip
import shutil
import subprocess

WORDS = ["cat", "dog", "cot", "cod", "tog", "toad", "goat", "coat", "dot", "tack", "cage"]
SOUNDS = {"a": "AE", "o": "AA", "c": "K", "k": "", "e": "", "g": "G", "t": "T", "d": "D"}


def run(recipe, *command):
    return subprocess.run(command, cwd=recipe, capture_output=True, text=True, timeout=100)


def test_pronunciation_probabilities(recipe, kaldi_reference):
    lattice, lang = kaldi_reference / "lattice", kaldi_reference / "lang"
    exp, data = recipe / "exp", recipe / "data"
    exp.mkdir()
    data.mkdir()
    shutil.copy(lattice / "final.mdl", exp)
    shutil.copy(lattice / "ref.txt", data / "text")
    utterances = [line.split()[0] for line in (data / "text").read_text().splitlines()]
    (data / "utt2spk").write_text("".join(f"{utterance} {utterance[:4]}\n" for utterance in utterances))
    (recipe / "lang").symlink_to(lang)
    result = run(recipe, "steps/get_prons.sh", "data", "lang")
    assert result.returncode == 1 and "e.g.: steps/get_prons.sh" in result.stderr
    result = run(recipe, "steps/get_prons.sh", "data", "lang", "exp")
    assert result.returncode == 1 and "neither ali.*.gz nor lat.*.gz" in result.stderr
    lines = (lattice / "ref_ali.txt").read_text().splitlines(keepends=True)
    for job, part in ((1, lines[:6]), (2, lines[6:])):  # a job for each file
        with gzip.open(exp / f"ali.{job}.gz", "wt") as file:
            file.writelines(part)
    assert run(recipe, "steps/get_prons.sh", "data", "lang", "exp").returncode == 0
    assert (exp / "prons.2.gz").is_file() and "6 utterances done" in (exp / "log" / "get_prons.1.log").read_text()
    counts = [line.split() for line in (exp / "pron_counts_nowb.txt").read_text().splitlines()]
    words = sum(len(line.split()) - 1 for line in (data / "text").read_text().splitlines())
    assert sum(int(line[0]) for line in counts if line[1] != "<eps>") == words and counts[0][1:] == ["<eps>", "SIL"]

    result = run(recipe, "utils/dict_dir_add_pronprobs.sh", "lang/dict", "dictp")
    assert result.returncode == 1 and "e.g.: utils/dict_dir_add_pronprobs.sh" in result.stderr
    files = [f"exp/{name}_counts_nowb.txt" for name in ("pron", "sil", "pron_bigram")]
    result = run(recipe, "utils/dict_dir_add_pronprobs.sh", "lang/dict", *files, "dictp")
    assert result.returncode == 0 and "2861 pronunciations" in result.stderr
    spoken = next(
        line for line in (recipe / "dictp" / "lexiconp_silprob.txt").read_text().splitlines() if line.startswith("DRINK ")
    )
    assert len(spoken.split()) == 5 + 5 and (recipe / "dictp" / "silprob.txt").read_text().startswith("<s> 0.")
    result = run(recipe, "utils/prepare_lang.sh", "dictp", "<UNK>", "tmp", "langp")
    assert result.returncode == 0 and (recipe / "langp" / "words.txt").read_bytes() == (lang / "words.txt").read_bytes()


def test_g2p(recipe):
    dictionary = recipe / "dict"
    dictionary.mkdir()
    entries = [f"{word} {' '.join(SOUNDS[letter] for letter in word if SOUNDS[letter])}\n" for word in WORDS]
    (dictionary / "lexicon.txt").write_text("".join(["<UNK> SPN\n", *entries]))
    (dictionary / "nonsilence_phones.txt").write_text("AE\nAA\nK\nG\nT\nD\n")
    (dictionary / "silence_phones.txt").write_text("SIL\nSPN\n")
    (dictionary / "optional_silence.txt").write_text("SIL\n")
    (recipe / "words").write_text("doc\nzoo\n")
    for step in ("train_g2p", "apply_g2p"):
        result = run(recipe, f"steps/{step}.sh", "dict")
        assert result.returncode == 1 and f"e.g.: steps/{step}.sh" in result.stderr
    result = run(recipe, "steps/apply_g2p.sh", "words", "exp/g2p", "exp/oov")
    assert result.returncode == 1 and "exp/g2p/g2p.arpa.gz: no such file" in result.stderr
    result = run(recipe, "steps/train_g2p.sh", "--held-out", "0.2", "--order", "3", "dict", "exp/g2p")
    assert result.returncode == 0 and "held-out words: phone error rate" in result.stderr
    result = run(recipe, "steps/apply_g2p.sh", "--var-counts", "2", "--var-mass", "0.01", "words", "exp/g2p", "exp/oov")
    assert result.returncode == 0 and "1 pronunciations; 1 words without one" in result.stderr
    word, share, *phones = (recipe / "exp" / "oov" / "lexicon.lex").read_text().split()
    assert word == "doc" and 0.0 < float(share) <= 1.0 and phones == ["D", "AA", "K"]
    assert (recipe / "exp" / "oov" / "missing_words.txt").read_text() == "zoo\n"
