"""From a data directory to features and alignments of its noisy copies: steps/augment_data_dir.sh and what comes after it."""

import os
import shutil
import subprocess
from pathlib import Path

import lhotse_toy
import numpy as np
import pytest

from asrtool.cli import main
from asrtool.data.data_dir import DataDir, write_spk2utt
from asrtool.hmm.transition_model import TransitionModel
from asrtool.hmm.warp_alignment import warp_alignment
from asrtool.io.alignment import read_alignments, write_alignments

pytest.importorskip("lhotse", reason="the extra lhotse is not installed")


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=120, env=environment)


def test_from_noise_to_alignments(recipe, repository, kaldi_reference):
    (recipe / "conf").symlink_to(repository / "conf")
    data = recipe / "data" / "train"
    data.mkdir(parents=True)
    wavs = {path.stem: path for path in sorted((kaldi_reference / "wav").glob("*.wav"))}
    utt2spk = {name: name.split("-")[0] for name in wavs}
    for file, table in (("utt2spk", utt2spk), ("wav.scp", wavs), ("text", dict.fromkeys(wavs, "WORD"))):
        (data / file).write_text("".join(f"{name} {value}\n" for name, value in table.items()))
    write_spk2utt(data / "spk2utt", utt2spk)
    assert main(["make-features", "fbank", str(data), str(recipe / "fbank")]) == 0
    source, ali = kaldi_reference / "gmm" / "tri3b_ali", recipe / "exp" / "ali"
    ali.mkdir(parents=True)
    for name in ("final.mdl", "tree", "phones.txt", "cmvn_opts"):
        shutil.copyfile(source / name, ali / name)
    model = TransitionModel.read_file(ali / "final.mdl")
    frames = DataDir.load(data).utt2num_frames
    kaldis = list(read_alignments(source / "ali.1.gz").values())
    write_alignments(ali / "ali.1.gz", {name: warp_alignment(kaldis[k], frames[name], model) for k, name in enumerate(wavs)})
    corpora = f"--musan {lhotse_toy.make_musan(recipe)} --rirs {lhotse_toy.make_rirs(recipe)}"
    for command in (
        f"steps/augment_data_dir.sh --nj 2 {corpora} --kinds 'reverb babble' --babble-snrs -2:3 data/train data/noisy",
        "utils/combine_data.sh data/train_aug data/train data/noisy",
        "steps/make_fbank.sh --nj 1 data/train_aug",
        "steps/perturb_alignment.sh exp/ali data/train data/train_aug exp/ali_aug",
    ):
        result = run(recipe, command)
        assert result.returncode == 0, result.stderr
    before, after = read_alignments(ali), read_alignments(recipe / "exp" / "ali_aug")
    assert len(after) == 15
    for name, alignment in before.items():
        for copy in (name, f"{name}-reverb", f"{name}-babble"):
            assert np.array_equal(after[copy], alignment)
    feats = DataDir.load(recipe / "data" / "train_aug").feats
    assert all(np.abs(feats[f"{name}-babble"] - feats[name]).mean() > 0.05 for name in wavs)


def test_usage_and_missing_input(recipe):
    script = "steps/augment_data_dir.sh"
    result = run(recipe, script)
    assert result.returncode == 1 and "Usage: " in result.stderr and "e.g.: " in result.stderr
    for arguments, said in (
        ("data/absent data/x", "data/absent/wav.scp: no such file"),
        ("--no-such-option 1 data/absent data/x", "unknown option --no-such-option"),
    ):
        result = run(recipe, f"{script} {arguments}")
        assert result.returncode == 1 and said in result.stderr and len(result.stderr.strip().splitlines()) == 1
    (recipe / "data" / "train").mkdir(parents=True)
    (recipe / "data" / "train" / "wav.scp").write_text("a b\n")
    result = run(recipe, f"{script} data/train data/x")
    assert "neither --musan DIR nor --rirs DIR is given" in result.stderr and result.returncode == 1
    assert not (recipe / "data" / "x").exists()
