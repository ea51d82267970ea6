import numpy as np
import pytest
import torch

from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.nnet.forward import loglikes, loglikes_batch
from asrtool.nnet.input import InputOptions
from asrtool.nnet.log_prior import log_prior
from asrtool.nnet.model_file import ModelBundle, load_model, save_model
from asrtool.nnet.registry import make_model

NUM_PDFS, DIM = 4, 2


def make_bundle(kind: str = "lstm", stride: int = 3, label_delay: int = 0) -> ModelBundle:
    torch.manual_seed(5)
    sizes = {"lstm": {"num_cells": 6, "fc_dim": 5}, "dnn": {"num_layers": 2, "hidden_dim": 6}}[kind]
    settings = {"kind": kind, **sizes}
    window = InputOptions(1, 1, stride, label_delay)
    return ModelBundle(
        model=make_model(settings, 3 * DIM, NUM_PDFS).eval(),
        settings=settings,
        features=FeatureOptions(cmvn="none", delta_order=0),
        input=window,
        feature_mean_D=torch.tensor([1.0, -1.0]),
        feature_scale_D=torch.tensor([2.0, 0.5]),
        log_prior_P=log_prior(np.array([10, 0, 5, 3])),
        info={"epoch": 1.5},
    )


@pytest.fixture
def features():
    return np.random.default_rng(1).standard_normal((10, DIM)).astype(np.float32)


def test_log_prior_by_hand():
    expected = np.log(np.array([10.5, 0.5, 5.5, 3.5]) / 20.0)
    np.testing.assert_allclose(log_prior(np.array([10, 0, 5, 3])), expected, rtol=1e-6)
    floored = log_prior(np.array([10, 0, 5, 3]), prior_floor=0.1)
    assert floored[1] == np.float32(np.sqrt(np.finfo(np.float32).max))
    np.testing.assert_allclose(floored[[0, 2, 3]], expected[[0, 2, 3]], rtol=1e-6)


def test_a_saved_model_comes_back_whole(tmp_path, features):
    bundle = make_bundle(label_delay=1)
    bundle.global_cmvn = np.ones((2, DIM + 1))
    save_model(tmp_path / "m.pt", bundle)
    loaded = load_model(tmp_path / "m.pt")
    assert np.array_equal(loglikes(loaded, features), loglikes(bundle, features))
    assert (loaded.settings, loaded.features, loaded.input, loaded.info) == (
        bundle.settings,
        bundle.features,
        bundle.input,
        bundle.info,
    )
    assert np.array_equal(loaded.global_cmvn, bundle.global_cmvn)
    assert not loaded.model.training


def test_given_weights_replace_the_models_own(tmp_path):
    bundle = make_bundle()
    weights = {name: torch.full_like(tensor, 0.25) for name, tensor in bundle.model.state_dict().items()}
    save_model(tmp_path / "m.pt", bundle, weights)
    assert all((tensor == 0.25).all() for tensor in load_model(tmp_path / "m.pt").model.state_dict().values())


@pytest.mark.parametrize("kind", ["lstm", "dnn"])
@pytest.mark.parametrize(("stride", "delay"), [(3, 0), (3, 2), (1, 0), (2, 1)])
@pytest.mark.parametrize("num_frames", [1, 2, 9, 10])
def test_loglikes_by_hand(features, kind, stride, delay, num_frames):
    bundle = make_bundle(kind, stride, delay)
    frames = (torch.from_numpy(features[:num_frames]) - bundle.feature_mean_D) * bundle.feature_scale_D
    outputs = -(-num_frames // stride)
    rows = [
        torch.cat([frames[min(max(stride * k + stride // 2 + offset, 0), num_frames - 1)] for offset in (-1, 0, 1)])
        for k in range(outputs + delay)
    ]
    logits, _ = bundle.model(torch.stack(rows).unsqueeze(0), bundle.model.initial_state(1))
    scores = (torch.log_softmax(logits[0], -1) - torch.from_numpy(bundle.log_prior_P)).detach().numpy()
    expected = np.stack([scores[t // stride + delay] for t in range(num_frames)])
    result = loglikes(bundle, features[:num_frames])
    assert result.dtype == np.float32 and result.shape == (num_frames, NUM_PDFS)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_batches_equal_single_utterances(features):
    bundle = make_bundle(label_delay=1)
    items = [(str(length), features[:length]) for length in (10, 3, 7, 0, 8)]
    batched = {}
    for batch in (items[:3], items[3:]):
        names = [name for name, _ in batch]
        batched |= zip(names, loglikes_batch(bundle, [matrix for _, matrix in batch], names), strict=True)
    assert list(batched) == ["10", "3", "7", "0", "8"]
    for name, matrix in items:
        np.testing.assert_allclose(batched[name], loglikes(bundle, matrix), rtol=1e-5, atol=1e-6)
        assert batched[name].shape == (len(matrix), NUM_PDFS)


def test_features_of_another_dimension_name_the_utterance():
    with pytest.raises(AsrtoolError, match=r"utt1: features of shape \(4, 3\), the model takes 2 dimensions"):
        loglikes_batch(make_bundle(), [np.zeros((4, 3), np.float32)], ["utt1"])


def test_files_that_are_no_models(tmp_path):
    save_model(tmp_path / "m.pt", make_bundle())
    (tmp_path / "cut.pt").write_bytes((tmp_path / "m.pt").read_bytes()[:900])
    (tmp_path / "text.pt").write_text("weights")
    torch.save({"format": "something else"}, tmp_path / "other.pt")
    for name, message in [
        ("cut.pt", "truncated"),
        ("text.pt", "truncated"),
        ("other.pt", "not a model file of this version"),
        ("none.pt", "no such"),
    ]:
        with pytest.raises(AsrtoolError, match=rf"{name}: .*{message}"):
            load_model(tmp_path / name)


def test_nnet_info_prints_sizes_and_input(tmp_path, capsys):
    save_model(tmp_path / "m.pt", make_bundle())
    assert cli.main(["nnet-info", str(tmp_path / "m.pt")]) == 0
    printed = capsys.readouterr().out
    assert '"num_pdfs": 4' in printed and '"stride": 3' in printed and '"epoch": 1.5' in printed
    (tmp_path / "bad.pt").write_text("x")
    assert cli.main(["nnet-info", str(tmp_path / "bad.pt")]) == 1
    assert "bad.pt: not a model file" in capsys.readouterr().err
