"""steps/make_fbank.sh, make_mfcc.sh, compute_cmvn_stats.sh and the data scripts of utils/."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asrtool.data.data_dir import DataDir, write_spk2utt
from asrtool.io.audio import write_wav


@pytest.fixture
def recipe(tmp_path, repository) -> Path:
    """A recipe directory with data/train of two speakers, two utterances each."""
    for name in ("steps", "utils", "conf"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "path.sh").write_text(f"export PATH={Path(sys.executable).parent}:$PATH LC_ALL=C.UTF-8\n")
    data = tmp_path / "data" / "train"
    data.mkdir(parents=True)
    utt2spk = {f"{speaker}-{number}": speaker for speaker in ("a", "b") for number in (1, 2)}
    random = np.random.default_rng(0)
    for name in utt2spk:
        write_wav(str(data / f"{name}.wav"), random.normal(size=8000) * 1000, 16000)
    (data / "utt2spk").write_text("".join(f"{name} {speaker}\n" for name, speaker in utt2spk.items()))
    (data / "wav.scp").write_text("".join(f"{name} cat {data}/{name}.wav |\n" for name in utt2spk))
    (data / "text").write_text("".join(f"{name} x\n" for name in utt2spk))
    write_spk2utt(data / "spk2utt", utt2spk)
    return tmp_path


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=120, env=environment)


def test_features_and_statistics_by_jobs(recipe):
    result = run(
        recipe, "steps/make_fbank.sh --nj 2 data/train exp/log fbank && steps/compute_cmvn_stats.sh data/train exp/log fbank"
    )
    assert result.returncode == 0, result.stderr
    data = DataDir.load(recipe / "data" / "train")
    assert data.feats["b-2"].shape == (48, 28)
    assert data.cmvn.keys() == ["a", "b"]
    assert data.utt2num_frames == dict.fromkeys(data.utterances, 48)
    assert "# Ended (code 0)" in (recipe / "exp/log/make_fbank.2.log").read_text()
    assert (recipe / "fbank/raw_fbank_train.2.ark").is_file()
    result = run(
        recipe, "utils/validate_data_dir.sh data/train && utils/split_data.sh data/train 2 && utils/fix_data_dir.sh data/train"
    )
    assert result.returncode == 0, result.stderr
    assert DataDir.load(recipe / "data/train/split2/2").feats.keys() == ["b-1", "b-2"]
    result = run(recipe, "utils/subset_data_dir.sh --per-spk 1 data/train data/part")
    assert result.returncode == 0, result.stderr
    assert DataDir.load(recipe / "data" / "part").feats.keys() == ["a-1", "b-1"]


def test_a_killed_step_goes_on_with_the_jobs_that_are_left(recipe):
    """The second job's recording is missing at first: the first job's part stays, unless it would be made of something else."""
    (recipe / "data/train/b-1.wav").rename(recipe / "away.wav")
    assert run(recipe, "steps/make_fbank.sh --nj 2 data/train exp/log fbank").returncode != 0
    part = recipe / "fbank/raw_fbank_train.1.ark"
    made = part.stat().st_ino
    (recipe / "away.wav").rename(recipe / "data/train/b-1.wav")
    result = run(recipe, "steps/make_fbank.sh --nj 2 data/train exp/log fbank")
    assert result.returncode == 0, result.stderr
    assert "is there already" in (recipe / "exp/log/make_fbank.1.log").read_text() and part.stat().st_ino == made
    assert len(DataDir.load(recipe / "data/train").feats.keys()) == 4
    assert not list((recipe / "fbank").glob("*.done"))
    (recipe / "fbank/raw_fbank_train.1.done").write_text("made of something else")
    assert run(recipe, "steps/make_fbank.sh --nj 2 data/train exp/log fbank").returncode == 0
    assert part.stat().st_ino != made  # a finished step makes all anew


def test_a_failed_job_fails_the_step(recipe):
    (recipe / "data/train/b-1.wav").unlink()
    result = run(recipe, "steps/make_mfcc.sh --nj 2 data/train exp/log mfcc")
    assert result.returncode == 1
    assert "b-1" in result.stdout + result.stderr
    assert not (recipe / "data/train/feats.scp").exists()


@pytest.mark.parametrize(
    "script",
    [
        "steps/make_fbank.sh",
        "steps/make_mfcc.sh",
        "steps/compute_cmvn_stats.sh",
        "utils/validate_data_dir.sh",
        "utils/fix_data_dir.sh",
        "utils/split_data.sh",
        "utils/subset_data_dir.sh",
    ],
)
def test_usage_and_missing_input(recipe, script):
    result = run(recipe, script)
    assert result.returncode == 1
    assert "Usage: " in result.stderr and "e.g.: " in result.stderr
    extra = {"utils/split_data.sh": "2", "utils/subset_data_dir.sh": "--first 1 data/absent data/x"}.get(script, "")
    result = run(recipe, f"{script} data/absent {extra}" if "--first" not in extra else f"{script} {extra}")
    assert result.returncode == 1
    assert "data/absent" in result.stderr and "ERROR" in result.stderr
