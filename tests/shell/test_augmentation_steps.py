"""Speed and volume perturbation from data directories to alignments: the scripts, on Kaldi's five reference recordings."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.data.data_dir import DataDir
from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, write_alignments
from asrtool.loader.table import make_table, read_pdf_alignments


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=120, env=environment)


def test_three_speeds_with_their_alignments(five_recordings):
    commands = [
        "utils/data/perturb_data_dir_speed_3way.sh data/train data/train_sp",
        "utils/data/perturb_data_dir_volume.sh --seed 1 --write-reco2vol vol data/train_sp",
        "utils/data/perturb_data_dir_volume.sh data/train_sp",
        "utils/copy_data_dir.sh data/train_sp data/fbank_sp",
        "steps/make_fbank.sh --nj 1 data/fbank_sp exp/log fbank_sp",
        "steps/compute_cmvn_stats.sh data/fbank_sp",
        "steps/perturb_alignment.sh exp/ali data/train data/fbank_sp exp/ali_sp",
    ]
    for command in commands:
        result = run(five_recordings, command)
        assert result.returncode == 0, result.stderr
        if command.endswith("volume.sh data/train_sp"):
            assert "has volumes already" in result.stdout
    assert sorted(path.name for path in (five_recordings / "data").iterdir()) == ["fbank_sp", "train", "train_sp"]
    data, plain = DataDir.load(five_recordings / "data" / "fbank_sp"), DataDir.load(five_recordings / "data" / "train")
    assert len(data.utterances) == 15 and len((five_recordings / "vol").read_text().splitlines()) == 15
    before, after = read_alignments(five_recordings / "exp" / "ali"), read_alignments(five_recordings / "exp" / "ali_sp")
    model = TransitionModel.read_file(five_recordings / "exp" / "ali_sp" / "final.mdl")
    for name in plain.utterances:
        assert np.array_equal(after[name], before[name])
        for speed in (0.9, 1.1):
            warped, frames = after[f"sp{speed}-{name}"], data.utt2num_frames[f"sp{speed}-{name}"]
            assert len(warped) == frames == pytest.approx(len(before[name]) / speed, abs=2)
            leaves = [row[~model.tid_is_self_loop[row]] for row in (before[name], warped)]
            assert np.array_equal(*leaves)
    assert "15 utterances, 0 left out: none" in (five_recordings / "exp/ali_sp/alignment_summary.txt").read_text()
    pdfs, _ = read_pdf_alignments(five_recordings / "exp" / "ali_sp")
    table = make_table(FeaturePipeline(data, FeatureOptions()), pdfs, "data")
    assert len(table.names) == 15


def test_what_cannot_be_warped_is_named(five_recordings):
    assert run(five_recordings, "utils/data/perturb_data_dir_speed_3way.sh data/train data/sp").returncode == 0
    assert main(["make-features", "fbank", str(five_recordings / "data" / "sp"), str(five_recordings / "fbank_sp")]) == 0
    frames = five_recordings / "data" / "sp" / "utt2num_frames"
    lines = frames.read_text().splitlines()
    wrong = [f"{line.split()[0]} 9999" if line.startswith("sp0.9-1447") else line for line in lines]
    frames.write_text("\n".join(wrong) + "\n")
    alignments = read_alignments(five_recordings / "exp" / "ali")
    short = next(name for name in alignments if name.startswith("3020"))
    write_alignments(five_recordings / "exp/ali/ali.1.gz", {name: row for name, row in alignments.items() if name != short})
    result = run(five_recordings, ". ./path.sh; asrtool warp-alignment --max-failed 0.5 exp/ali data/train data/sp exp/out")
    assert result.returncode == 0, result.stderr
    warnings = [line for line in result.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 4
    assert "WARNING: 3020-030200005: has no alignment in exp/ali" in warnings[0]
    assert "sp0.9-1447-014470007: 9999 frames in data/sp are not 429 frames of 1447-014470007 at speed 0.9" in warnings[1]
    assert "sp1.1-3020-030200005: its original 3020-030200005 has no alignment in exp/ali" in warnings[3]
    summary = (five_recordings / "exp/out/alignment_summary.txt").read_text()
    assert "11 utterances, 4 left out: 3020-030200005 sp0.9-1447-014470007 " in summary
    result = run(five_recordings, "steps/perturb_alignment.sh exp/ali data/train data/sp exp/none")
    assert result.returncode == 1
    assert "4 of 15 utterances failed (allowed: 10%); the first: 3020-030200005" in result.stdout + result.stderr
    assert not (five_recordings / "exp" / "none" / "final.mdl").exists()
    write_alignments(five_recordings / "exp/ali/ali.1.gz", {name: row[:-3] for name, row in alignments.items()})
    result = run(five_recordings, ". ./path.sh; asrtool warp-alignment exp/ali data/train data/sp exp/none")
    assert "323 aligned frames in exp/ali, 326 frames of features in data/train; align data/train again" in result.stderr


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("utils/perturb_data_dir_speed.sh", "0.9 data/absent data/x"),
        ("utils/data/perturb_data_dir_speed.sh", "0.9 data/absent data/x"),
        ("utils/data/perturb_data_dir_speed_3way.sh", "data/absent data/x"),
        ("utils/data/perturb_data_dir_volume.sh", "data/absent"),
        ("utils/combine_data.sh", "data/x data/absent data/absent"),
        ("utils/data/combine_data.sh", "data/x data/absent"),
        ("steps/perturb_alignment.sh", "data/absent data/absent data/absent exp/x"),
    ],
)
def test_usage_and_missing_input(recipe, script, arguments):
    result = run(recipe, script)
    assert result.returncode == 1
    assert "Usage: " in result.stderr and "e.g.: " in result.stderr
    result = run(recipe, f"{script} {arguments}")
    assert result.returncode == 1
    assert "data/absent" in result.stderr and "ERROR" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    result = run(recipe, f"{script} --no-such-option 1 {arguments}")
    assert result.returncode == 1 and "unknown option --no-such-option" in result.stderr


def test_a_factor_that_is_none(five_recordings):
    for factor in ("0", "-0.9", "x"):
        result = run(five_recordings, f"utils/perturb_data_dir_speed.sh {factor} data/train data/x")
        assert result.returncode == 1
        assert result.stderr.strip().endswith(f"found '{factor}'") or "-0.9" in result.stderr
        assert not (five_recordings / "data" / "x").exists()
    result = run(five_recordings, "utils/data/perturb_data_dir_speed_3way.sh data/train data/train")
    assert result.returncode == 1 and "data/train/feats.scp: is there already" in result.stderr
