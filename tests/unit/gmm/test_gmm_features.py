"""The features of an experiment directory: its options, final.mat, transforms of speakers."""

import numpy as np
import pytest

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.cmvn import apply_cmvn
from asrtool.feat.deltas import add_deltas, splice
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.gmm.feature_options import parse_feature_options, read_feature_options, write_feature_options
from asrtool.gmm.features import GmmFeatures, apply_transform, open_features
from asrtool.io.kaldi_table import MatrixWriter, write_matrix_file

DIM = 13


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    random = np.random.default_rng(0)
    with MatrixWriter(path / "feats.ark", path / "feats.scp", None) as writer:
        for name, length in (("s1-u1", 9), ("s1-u2", 4), ("s2-u1", 7)):
            writer.write(name, random.standard_normal((length, DIM)).astype(np.float32))
    (path / "utt2num_frames").write_text("s1-u1 9\ns1-u2 4\ns2-u1 7\n")
    (path / "utt2spk").write_text("s1-u1 s1\ns1-u2 s1\ns2-u1 s2\n")
    with MatrixWriter(path / "cmvn.ark", path / "cmvn.scp", None) as writer:
        for speaker in ("s1", "s2"):
            writer.write(speaker, np.concatenate([random.standard_normal((2, DIM)), [[5.0], [0.0]]], axis=1))
    return DataDir.load(path)


def test_kaldis_directories(data, kaldi_reference):
    features = open_features(data, kaldi_reference / "gmm" / "tri2b")
    assert (features.pipeline.dim, features.dim, features.num_frames("s1-u2")) == (91, 40, 4)
    normalised = apply_cmvn(data.feats["s1-u1"], data.cmvn["s1"])
    expected = splice(normalised, 3, 3).astype(np.float64) @ features.matrix.astype(np.float64).T
    np.testing.assert_allclose(features("s1-u1"), expected, rtol=1e-4, atol=1e-4)
    assert features.utterances() == ["s1-u1", "s1-u2", "s2-u1"]
    deltas = open_features(data, kaldi_reference / "gmm" / "tri1")
    assert deltas.dim == 39 and deltas.matrix is None
    np.testing.assert_array_equal(deltas("s1-u1"), add_deltas(normalised))


def test_transforms_of_speakers(data):
    random = np.random.default_rng(1)
    matrix = random.standard_normal((3, DIM + 1))
    transforms = {"s1": random.standard_normal((3, 4)), "s9": np.eye(3)}
    plain = GmmFeatures(FeaturePipeline(data, parse_feature_options(splice_opts="--left-context=0 --right-context=0")), matrix)
    adapted = plain.with_speaker_transforms(transforms)
    base = apply_cmvn(data.feats["s1-u1"], data.cmvn["s1"]) @ matrix[:, :-1].T + matrix[:, -1]
    np.testing.assert_allclose(plain("s1-u1"), base, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(adapted.base("s1-u1"), plain("s1-u1"))
    expected = base @ transforms["s1"][:, :3].T + transforms["s1"][:, 3]
    np.testing.assert_allclose(adapted("s1-u1"), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(adapted("s2-u1"), plain("s2-u1"))
    with pytest.raises(AsrtoolError, match="s1-u1: speaker 's1': features have 3 dimensions, the transform is for 9"):
        plain.with_speaker_transforms({"s1": np.eye(9)})("s1-u1")


def test_a_matrix_for_other_features(data, tmp_path):
    directory = tmp_path / "exp"
    directory.mkdir()
    write_feature_options(directory, "", splice_opts="--left-context=1 --right-context=1")
    write_matrix_file(directory / "final.mat", np.zeros((4, 91), dtype=np.float32))
    with pytest.raises(AsrtoolError, match=r"final.mat: takes features of 91 dimensions, those of .* have 39 after splicing"):
        open_features(data, directory)
    (directory / "final.mat").write_bytes(b"\0BFM \4")
    with pytest.raises(AsrtoolError, match=r"final.mat"):
        open_features(data, directory)
    with pytest.raises(ValueError, match="the transform is for 91"):
        apply_transform(np.zeros((2, 39), dtype=np.float32), np.zeros((4, 91), dtype=np.float32))


def test_options_that_a_directory_keeps(tmp_path):
    write_feature_options(tmp_path, "--norm-vars=true", splice_opts="")
    (tmp_path / "final.mat").write_text("")
    options = read_feature_options(tmp_path)
    assert (options.norm_vars, options.delta_order, options.splice_left, options.splice_right) == (True, 0, 4, 4)
    write_feature_options(tmp_path, "", "--delta-order=1")
    assert not (tmp_path / "final.mat").exists() and not (tmp_path / "splice_opts").exists()
    options = read_feature_options(tmp_path)
    assert (options.norm_vars, options.delta_order, options.splice_left) == (False, 1, 0)
    (tmp_path / "splice_opts").write_text("--left-context=two\n")
    (tmp_path / "final.mat").write_text("")
    with pytest.raises(AsrtoolError, match=r"splice_opts: '--left-context=two': only --left-context and --right-context"):
        read_feature_options(tmp_path)
