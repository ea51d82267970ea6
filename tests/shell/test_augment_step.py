"""From a data directory to features and alignments of its noisy copies: steps/augment_data_dir.sh and what comes after it."""

import os
import subprocess
from pathlib import Path

import lhotse_toy
import numpy as np
import pytest

from asrtool.data.data_dir import DataDir
from asrtool.io.alignment import read_alignments

pytest.importorskip("lhotse", reason="the extra lhotse is not installed")


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=120, env=environment)


def test_from_noise_to_alignments(five_recordings):
    recipe = five_recordings
    corpora = f"--musan {lhotse_toy.make_musan(recipe)} --rirs {lhotse_toy.make_rirs(recipe)}"
    for command in (
        f"steps/augment_data_dir.sh --nj 2 {corpora} --kinds 'reverb babble' --babble-snrs -2:3 data/train data/noisy",
        "utils/combine_data.sh data/train_aug data/train data/noisy",
        "steps/make_fbank.sh --nj 1 data/train_aug",
        "steps/perturb_alignment.sh exp/ali data/train data/train_aug exp/ali_aug",
    ):
        result = run(recipe, command)
        assert result.returncode == 0, result.stderr
    before, after = read_alignments(recipe / "exp" / "ali"), read_alignments(recipe / "exp" / "ali_aug")
    assert len(after) == 15
    for name, alignment in before.items():
        for copy in (name, f"{name}-reverb", f"{name}-babble"):
            assert np.array_equal(after[copy], alignment)
    feats = DataDir.load(recipe / "data" / "train_aug").feats
    assert all(np.abs(feats[f"{name}-babble"] - feats[name]).mean() > 0.05 for name in before)


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
