"""CMVN over moving windows against frame-by-frame versions of Kaldi's OnlineCmvn and SlidingWindowCmn."""

import numpy as np
import pytest
import torch

from asrtool.cli import main
from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.cmvn import cmvn_stats
from asrtool.feat.online_cmvn import OnlineCmvn, OnlineCmvnOptions, sliding_cmvn
from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
from asrtool.io.config import load_config
from asrtool.io.kaldi_table import MatrixReader
from asrtool.nnet.input import InputOptions
from asrtool.nnet.model_file import ModelBundle, load_model, save_model
from asrtool.nnet.registry import make_model
from asrtool.train.config import TrainConfig

DIM = 5


def random_features(num_frames: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.normal(size=(num_frames, DIM)) * [1, 2, 3, 4, 0.1] + [15, -3, 0, 8, 20]).astype(np.float32)


def normalise(frame: np.ndarray, stats: np.ndarray, norm_vars: bool) -> np.ndarray:
    mean = stats[0, :-1] / stats[0, -1]
    variance = stats[1, :-1] / stats[0, -1] - mean**2
    return (frame - mean) / np.sqrt(np.maximum(variance, 1e-20)) if norm_vars else frame - mean


def online_by_frame(features, options: OnlineCmvnOptions, global_stats, speaker_stats=None) -> np.ndarray:
    """OnlineCmvn::GetFrame and SmoothOnlineCmvnStats, line by line, float64."""
    output = []
    for t, frame in enumerate(features.astype(np.float64)):
        stats = cmvn_stats(features[max(0, t + 1 - options.cmn_window) : t + 1])
        if stats[0, -1] < options.cmn_window and speaker_stats is not None and speaker_stats[0, -1] > 0:
            count = min(options.cmn_window - stats[0, -1], options.speaker_frames, speaker_stats[0, -1])
            stats = stats + count / speaker_stats[0, -1] * speaker_stats
        if stats[0, -1] < options.cmn_window:
            count = min(options.cmn_window - stats[0, -1], options.global_frames)
            stats = stats + count / global_stats[0, -1] * global_stats
        output.append(normalise(frame, stats, options.norm_vars))
    return np.array(output)


def sliding_by_frame(features, window, min_window, center, norm_vars) -> np.ndarray:
    """SlidingWindowCmnInternal, line by line, float64."""
    num_frames, output = len(features), []
    for t, frame in enumerate(features.astype(np.float64)):
        start, end = (t - window // 2, t - window // 2 + window) if center else (t - window, t + 1)
        if start < 0:
            start, end = 0, end - start
        if not center and end > t:
            end = max(t + 1, min_window)
        if end > num_frames:
            start, end = max(start - (end - num_frames), 0), num_frames
        part = features[start:end].astype(np.float64)
        deviation = np.sqrt(np.maximum((part**2).mean(axis=0) - part.mean(axis=0) ** 2, 1e-10)) if norm_vars else 1
        output.append(np.zeros(DIM) if norm_vars and len(part) == 1 else (frame - part.mean(axis=0)) / deviation)
    return np.array(output)


# without global frames the first variance is that of one frame, zero: only means are compared there
ONLINE_CASES = [(sizes, norm_vars) for sizes in [(600, 600, 200), (50, 50, 20), (7, 7, 7)] for norm_vars in (False, True)] + [
    ((50, 30, 0), False),
    ((1, 0, 0), False),
]


@pytest.mark.parametrize(("sizes", "norm_vars"), ONLINE_CASES)
@pytest.mark.parametrize("history", [0, 13, 900])
def test_online_equals_frame_by_frame(sizes, norm_vars, history):
    options = OnlineCmvnOptions(*sizes, norm_vars)
    features, global_stats = random_features(130), cmvn_stats(random_features(3000, 1))
    speaker_stats = cmvn_stats(random_features(history, 2)) if history else None
    result = OnlineCmvn(options, global_stats, speaker_stats)(features)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, online_by_frame(features, options, global_stats, speaker_stats), rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize("blocks", [[1] * 130, [7, 0, 50, 60, 13], [129, 1]])
@pytest.mark.parametrize("sizes", [(600, 600, 200), (20, 10, 5)])
def test_blocks_equal_the_whole_bit_for_bit(blocks, sizes):
    options = OnlineCmvnOptions(*sizes, norm_vars=True)
    features, global_stats = random_features(130), cmvn_stats(random_features(3000, 1))
    speaker_stats = cmvn_stats(random_features(40, 2))
    whole = OnlineCmvn(options, global_stats, speaker_stats)
    stream = OnlineCmvn(options, global_stats, speaker_stats)
    parts = [stream(part) for part in np.split(features, np.cumsum(blocks)[:-1])]
    assert np.array_equal(np.concatenate(parts), whole(features))
    assert np.array_equal(stream.stats, whole.stats)
    np.testing.assert_allclose(whole.stats, speaker_stats + cmvn_stats(features), rtol=1e-12)


@pytest.mark.parametrize("norm_vars", [False, True])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize(("num_frames", "window", "min_window"), [(1, 600, 100), (90, 600, 100), (130, 30, 10), (130, 31, 50)])
def test_sliding_equals_frame_by_frame(num_frames, window, min_window, center, norm_vars):
    features = random_features(num_frames)
    result = sliding_cmvn(features, window, min_window, center, norm_vars)
    np.testing.assert_allclose(result, sliding_by_frame(features, window, min_window, center, norm_vars), rtol=3e-5, atol=3e-5)
    assert result.dtype == np.float32


@pytest.fixture
def features_dir(data_dir):
    out = data_dir.parent / "fbank"
    assert main(f"make-features --compression-method 0 --num-mel-bins=28 fbank {data_dir} {out}".split()) == 0
    assert main(["compute-cmvn-stats", "--global", "true", str(data_dir)]) == 0
    return data_dir


def test_pipeline_online_and_sliding(features_dir):
    data = DataDir.load(features_dir)
    global_stats = sum(cmvn_stats(data.feats[name]) for name in data.utterances)
    small = {"cmn_window": 20, "speaker_frames": 10, "global_frames": 5}
    pipeline = FeaturePipeline(features_dir, FeatureOptions(cmvn="online", delta_order=0, **small))
    np.testing.assert_allclose(pipeline.global_stats, global_stats)
    past = FeaturePipeline(features_dir, FeatureOptions(cmvn="online", delta_order=0, speaker_history=True, **small))
    options = OnlineCmvnOptions(20, 10, 5)
    history = None
    for utterance in ("s2-u1", "s2-u2", "s2-u3"):
        raw = data.feats[utterance]
        np.testing.assert_allclose(pipeline(utterance), online_by_frame(raw, options, global_stats), atol=1e-4)
        np.testing.assert_allclose(past(utterance), online_by_frame(raw, options, global_stats, history), atol=1e-4)
        history = cmvn_stats(raw) + (0 if history is None else history)
    sliding = FeaturePipeline(features_dir, FeatureOptions(cmvn="sliding", delta_order=0, cmn_window=20))
    np.testing.assert_array_equal(sliding("s1-u3"), sliding_cmvn(data.feats["s1-u3"], 20))


def test_copy_features_verb(features_dir):
    ark = features_dir.parent / "copy.ark"
    command = "copy-features --apply-cmvn online --norm-vars true --cmn-window 30 --speaker-frames 30 --global-frames 9 "
    assert main([*command.split(), "--speaker-history", "true", str(features_dir), str(ark)]) == 0
    options = FeatureOptions("online", True, 0, cmn_window=30, speaker_frames=30, global_frames=9, speaker_history=True)
    np.testing.assert_array_equal(MatrixReader(ark)["s3-u2"], FeaturePipeline(features_dir, options)("s3-u2"))


def test_a_saved_model_decodes_with_the_training_sets_statistics(features_dir, tmp_path):
    options = FeatureOptions("online", True, 0, cmn_window=25, speaker_frames=25, global_frames=11)
    training = FeaturePipeline(features_dir, options)
    bundle = ModelBundle(
        make_model({"kind": "dnn", "hidden_dim": 4, "num_layers": 1}, 28, 3), {"kind": "dnn", "hidden_dim": 4, "num_layers": 1},
        options, InputOptions(stride=1), torch.zeros(28), torch.ones(28), np.zeros(3, np.float32),
        global_cmvn=training.global_stats,
    )  # fmt: skip
    save_model(tmp_path / "m.pt", bundle)
    (features_dir / "global_cmvn").unlink()  # the statistics travel in the model
    loaded = load_model(tmp_path / "m.pt")
    assert loaded.features == options
    assert np.array_equal(loaded.pipeline(features_dir)("s1-u1"), training("s1-u1"))


def test_settings_of_a_training_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "model: {kind: dnn, hidden_dim: 4, num_layers: 1}\nfeatures: {cmvn: online, norm_vars: true, cmn_window: 300}\n"
    )
    with pytest.raises(AsrtoolError, match="speaker_frames 600 and cmn_window 300 must be in ascending order"):
        load_config(TrainConfig, path)
    config = load_config(TrainConfig, path, ["features.speaker_frames=300"])
    assert config.features.online == OnlineCmvnOptions(300, 300, 200, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"cmn_window": 0}, "cmn_window and min_cmn_window must be at least 1"), ({"global_frames": 601}, "in ascending order")],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        FeatureOptions("online", **settings)


def test_missing_and_wrong_statistics_are_named(features_dir):
    options = FeatureOptions("online")
    with pytest.raises(AsrtoolError, match="s1-u1: features have 28 dimensions, the CMVN statistics are for 3"):
        FeaturePipeline(features_dir, options, cmvn_stats(np.ones((2, 3))))("s1-u1")
    with pytest.raises(AsrtoolError, match=r"s1-u1: global CMVN statistics .* of no frame"):
        FeaturePipeline(features_dir, options, np.zeros((2, 29)))("s1-u1")
    (features_dir / "global_cmvn").unlink()
    with pytest.raises(AsrtoolError, match=r"global_cmvn: no such file; run asrtool compute-cmvn-stats --global true"):
        FeaturePipeline(features_dir, options)
