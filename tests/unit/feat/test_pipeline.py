"""From wav files to what a model sees: verbs, statistics and the pipeline."""

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.data.data_dir import DataDir
from asrtool.data.validate import validate
from asrtool.errors import AsrtoolError
from asrtool.feat.cmvn import apply_cmvn, cmvn_stats
from asrtool.feat.deltas import add_deltas, splice
from asrtool.feat.extraction_options import FbankOptions
from asrtool.feat.fbank import FeatureExtractor
from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
from asrtool.io.kaldi_table import MatrixReader, read_matrix_file


@pytest.fixture
def features_dir(data_dir):
    """With 28-bin features made by two jobs, uncompressed, and statistics."""
    out = data_dir.parent / "fbank"
    common = f"make-features --nj 2 --compression-method 0 --num-mel-bins=28 fbank {data_dir} {out}"
    for extra in ("--job 2", "--job 1", "--collect true"):
        assert main([*common.split(), *extra.split()]) == 0
    assert main(["compute-cmvn-stats", str(data_dir)]) == 0
    assert main(["compute-cmvn-stats", "--global", "true", str(data_dir)]) == 0
    return data_dir


def test_make_features_completes_the_data_dir(features_dir):
    assert validate(features_dir).errors == []
    data = DataDir.load(features_dir)
    assert data.feats.keys() == data.utterances
    assert data.utt2num_frames == {name: len(matrix) for name, matrix in data.feats.items()}
    assert data.utt2dur["s1-u2"] == 0.4
    assert (features_dir / "frame_shift").read_text() == "0.01\n"
    extractor = FeatureExtractor(FbankOptions(num_mel_bins=28))
    for name, matrix in data.feats.items():
        np.testing.assert_allclose(matrix, extractor([data.audio(name, 16000)])[0], atol=1e-4)


def test_the_same_bytes_again(data_dir):
    contents = []
    for folder in ("a", "b"):
        assert main(["make-features", "mfcc", str(data_dir), str(data_dir.parent / folder)]) == 0
        contents.append((data_dir.parent / folder / "raw_mfcc_train.1.ark").read_bytes())
    assert contents[0] == contents[1]


def test_statistics(features_dir):
    data = DataDir.load(features_dir)
    everything = np.concatenate([data.feats[name] for name in data.utterances])
    np.testing.assert_allclose(read_matrix_file(features_dir / "global_cmvn", np.float64), cmvn_stats(everything), rtol=1e-9)
    speaker = np.concatenate([data.feats[name] for name in data.spk2utt["s2"]])
    np.testing.assert_allclose(data.cmvn["s2"], cmvn_stats(speaker), rtol=1e-9)


@pytest.mark.parametrize("norm_vars", [False, True])
@pytest.mark.parametrize("kind", ["none", "speaker", "utterance", "global"])
def test_pipeline(features_dir, kind, norm_vars):
    pipeline = FeaturePipeline(features_dir, FeatureOptions(cmvn=kind, norm_vars=norm_vars, splice_left=1, splice_right=2))
    data = pipeline.data
    assert pipeline.utterances() == data.utterances
    assert pipeline.dim == 28 * 4 * 3
    for utterance, features in pipeline.items():
        raw = data.feats[utterance]
        stats = {
            "speaker": data.cmvn[data.utt2spk[utterance]],
            "utterance": cmvn_stats(raw),
            "global": read_matrix_file(features_dir / "global_cmvn", np.float64),
        }
        normalised = raw if kind == "none" else apply_cmvn(raw, stats[kind], norm_vars)
        np.testing.assert_array_equal(features, add_deltas(splice(normalised, 1, 2)))
        np.testing.assert_array_equal(pipeline(utterance), features)
        assert features.shape == (pipeline.num_frames(utterance), pipeline.dim)
        assert features.dtype == np.float32


def test_normalised_speakers_have_mean_0_and_variance_1(features_dir):
    pipeline = FeaturePipeline(features_dir, FeatureOptions(norm_vars=True, delta_order=0))
    speaker = np.concatenate([pipeline(name) for name in pipeline.data.spk2utt["s3"]])
    np.testing.assert_allclose(speaker.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(speaker.std(axis=0), 1, atol=1e-3)


def test_copy_features(features_dir):
    ark, scp = features_dir.parent / "copy.ark", features_dir.parent / "copy.scp"
    command = f"copy-features --apply-cmvn speaker --norm-vars true --add-deltas true {features_dir} {ark} {scp}"
    assert main(command.split()) == 0
    pipeline = FeaturePipeline(features_dir, FeatureOptions(norm_vars=True))
    for utterance, features in MatrixReader(scp).items():
        np.testing.assert_array_equal(features, pipeline(utterance))
    text = features_dir.parent / "text.ark"
    assert main(["copy-features", "--text", "true", f"scp:{scp}", str(text)]) == 0
    np.testing.assert_allclose(MatrixReader(text)["s1-u1"], pipeline("s1-u1"), rtol=1e-6)


def test_global_statistics_of_another_directory(features_dir):
    stats = cmvn_stats(np.full((2, 28), 3.0))
    pipeline = FeaturePipeline(features_dir, FeatureOptions(cmvn="global", delta_order=0), stats)
    np.testing.assert_allclose(pipeline("s1-u1"), pipeline.data.feats["s1-u1"] - 3, atol=1e-5)


def test_options_out_of_range():
    with pytest.raises(ValueError, match="delta_window"):
        FeatureOptions(delta_window=0)


def test_what_is_missing_is_named(features_dir, edit):
    content = (features_dir / "cmvn.scp").read_text()
    (features_dir / "cmvn.scp").write_text(content[content.index("s2 ") :])
    with pytest.raises(AsrtoolError, match=r"cmvn\.scp: s1-u1: speaker 's1' is not in it; run steps/compute_cmvn_stats"):
        FeaturePipeline(features_dir)("s1-u1")
    with pytest.raises(AsrtoolError, match=r"feats\.scp: s9-u9: not in this table"):
        FeaturePipeline(features_dir)("s9-u9")
    with pytest.raises(AsrtoolError, match="features have 28 dimensions, the CMVN statistics are for 3"):
        FeaturePipeline(features_dir, FeatureOptions(cmvn="global"), cmvn_stats(np.ones((2, 3))))("s1-u1")
    (features_dir / "global_cmvn").unlink()
    with pytest.raises(AsrtoolError, match=r"global_cmvn: no such file; run asrtool compute-cmvn-stats --global true"):
        FeaturePipeline(features_dir, FeatureOptions(cmvn="global"))
    (features_dir / "cmvn.scp").unlink()
    with pytest.raises(AsrtoolError, match=r"cmvn\.scp: no such file; run steps/compute_cmvn_stats\.sh first"):
        FeaturePipeline(features_dir)("s1-u1")
