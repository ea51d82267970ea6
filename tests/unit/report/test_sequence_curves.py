"""Curves of sequence training from its records."""

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.report.experiment import Experiment
from asrtool.report.sequence_curves import draw_sequence_curves, sequence_curves


def experiment(tmp_path, criterion="smbr", sequence=True) -> Experiment:
    train, valid = [], []
    for number in range(1, 5):
        record = {"epoch": number / 2, "loss": 0.5 - 0.01 * number, "targets": 100, "frames": 300, "fer": 0.4}
        if sequence:
            record |= {
                "lattices": 8.0, "failed": 2.0, "missing_numerator": 4.0, "outer_frames": 400.0, "rejected_frames": 4.0 * number,
                "lattice_staleness_mean": 3.0, "lattice_staleness_max": 7.0, "silence_share_mean": 0.25, "depth_mean": 30.0,
            }  # fmt: skip
        train.append(record)
    for epoch in (0, 1, 2):
        for model in ("single", "ema"):
            record = {"epoch": epoch, "model": model, "loss": 2.0, "fer": 0.5, "frames": 90, "targets": 30}
            if sequence:
                record |= {"sequence_loss": 0.6 - 0.1 * epoch, "silence_share": 0.3}
                record |= {"wer": 0.6 - 0.02 * epoch, "insertions": 5, "words": 50} if model == "single" else {}
            valid.append(record)
    valid.append({**valid[-2], "wer": float("nan")})  # the second epoch done again, without a word error rate
    return Experiment(tmp_path, str(tmp_path), {"sequence": {"criterion": criterion}}, records={"train": train, "valid": valid})


def test_curves(tmp_path):
    curves = sequence_curves(experiment(tmp_path))
    assert set(curves) == {
        *("loss", "held_out", "wer", "insertions", "fer", "staleness", "staleness_max", "silence", "held_out_silence"),
        *("failed", "missing", "rejected", "depth"),
    }
    np.testing.assert_allclose(curves["held_out"], [[0, 1, 2], [0.6, 0.5, 0.4]])
    np.testing.assert_allclose(curves["wer"], [[0, 1], [60, 58]])  # what is not a number is left out
    np.testing.assert_allclose(curves["insertions"][1], 10)
    np.testing.assert_allclose(curves["missing"][1], 50)
    np.testing.assert_allclose(curves["failed"][1], 20)
    np.testing.assert_allclose(curves["rejected"], [[0.5, 1, 1.5, 2], [1, 2, 3, 4]])
    np.testing.assert_allclose(curves["loss"][1], [0.49, 0.48, 0.47, 0.46])


def test_pictures_of_one_and_of_two_criteria(tmp_path):
    smbr, mmi = experiment(tmp_path), experiment(tmp_path, "mmi")
    for name, found in (("one", {"smbr": smbr}), ("two", {"smbr": smbr, "mmi": mmi})):
        draw_sequence_curves(tmp_path / f"{name}.png", found, "title")
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()


def test_a_training_of_another_kind(tmp_path):
    with pytest.raises(AsrtoolError, match=r"no record of sequence training in metrics\.jsonl"):
        draw_sequence_curves(tmp_path / "x.png", {"ce": experiment(tmp_path, sequence=False)}, "title")
