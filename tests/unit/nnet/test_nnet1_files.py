"""Our models written for nnet1 and read back; what nnet1 or we do not have; the two commands."""

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.io.kaldi_table import read_matrix_file
from asrtool.nnet.forward import log_posteriors_batch, loglikes
from asrtool.nnet.input import InputOptions
from asrtool.nnet.log_prior import log_prior, prior_of, read_counts
from asrtool.nnet.model_file import ModelBundle, load_model, save_model
from asrtool.nnet.nnet1 import component, read_nnet, write_nnet
from asrtool.nnet.nnet1_export import export_nnet1
from asrtool.nnet.nnet1_import import import_nnet1
from asrtool.nnet.registry import make_model

EVALUATE = runpy.run_path(str(Path(__file__).parents[2] / "numerics" / "nnet1_reference.py"))["evaluate"]
DIM, NUM_PDFS = 3, 5
LSTM = {"num_layers": 2, "num_cells": 6}
SETTINGS = {
    "dnn_sigmoid": {"kind": "dnn", "num_layers": 2, "hidden_dim": 7, "activation": "sigmoid"},
    "dnn_tanh": {"kind": "dnn", "num_layers": 1, "hidden_dim": 7, "activation": "tanh"},
    "dnn_relu": {"kind": "dnn", "num_layers": 2, "hidden_dim": 7, "activation": "relu"},
    "lstm": {"kind": "lstm", **LSTM, "fc_dim": 5, "fc_activation": "relu"},
    "lstm_linear": {"kind": "lstm", **LSTM, "fc_dim": 5, "fc_activation": "linear", "cell_clip": 0.3},
    "lstm_projected": {"kind": "lstm", **LSTM, "fc_dim": 5, "projection_dim": 4, "diff_clip": 2.0},
    "lstmp": {"kind": "lstmp", **LSTM, "projection_dim": 4, "peepholes": True, "cell_clip": 0.3},
}


def make_bundle(settings: dict, stride: int = 1, label_delay: int = 0, features: FeatureOptions | None = None) -> ModelBundle:
    torch.manual_seed(7)
    window = InputOptions(2, 1, stride, label_delay)
    model = make_model(settings, window.width * DIM, NUM_PDFS).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and peepholes are zero at first
            parameter.add_(0.3 * torch.randn_like(parameter))
    return ModelBundle(
        model=model,
        settings=settings,
        features=features or FeatureOptions(cmvn="none", delta_order=0),
        input=window,
        feature_mean_D=torch.tensor([1.0, -1.0, 0.1]),
        feature_scale_D=torch.tensor([2.0, 0.5, 3.0]),
        log_prior_P=log_prior(np.array([10, 0, 5, 3, 90])),
    )


@pytest.fixture
def frames():
    return (2 * np.random.default_rng(1).standard_normal((17, DIM))).astype(np.float32)


def read_back(directory: Path):
    return [*read_nnet(directory / "final.feature_transform"), *read_nnet(directory / "final.nnet")]


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_the_written_network_computes_what_the_model_does(tmp_path, frames, name):
    bundle = make_bundle(SETTINGS[name])
    export_nnet1(bundle, tmp_path / "out")
    expected = EVALUATE(read_back(tmp_path / "out"), frames)
    np.testing.assert_allclose(np.exp(log_posteriors_batch(bundle, [frames])[0]), expected, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_model_comes_back_bit_for_bit(tmp_path, frames, name):
    features = FeatureOptions(cmvn="speaker", norm_vars=True, delta_order=2, delta_window=3)
    bundle = make_bundle(SETTINGS[name], stride=3, label_delay=2, features=features)
    save_model(tmp_path / "m.pt", bundle)
    assert cli.main(["export-nnet1", str(tmp_path / "m.pt"), str(tmp_path / "out")]) == 0
    options = ["--stride", "3", "--label-delay", "2"]
    assert cli.main(["import-nnet1", *options, str(tmp_path / "out"), str(tmp_path / "back.pt")]) == 0
    back = load_model(tmp_path / "back.pt")
    assert (back.features, back.input) == (bundle.features, bundle.input)
    assert back.config == bundle.config
    for key, tensor in bundle.model.state_dict().items():
        assert torch.equal(back.model.state_dict()[key], tensor), key
    assert np.array_equal(log_posteriors_batch(back, [frames])[0], log_posteriors_batch(bundle, [frames])[0])
    np.testing.assert_allclose(loglikes(back, frames), loglikes(bundle, frames), atol=1e-5)


def test_text_has_seven_digits(tmp_path):
    bundle = make_bundle(SETTINGS["lstmp"])
    export_nnet1(bundle, tmp_path / "out", binary=False)
    assert (
        (tmp_path / "out" / "final.nnet").read_text().startswith("<Nnet> \n<LstmProjected> 4 12 \n<CellDim> 6 <LearnRateCoef> 1 ")
    )
    back = import_nnet1(read_back(tmp_path / "out"), bundle.features)
    for key, tensor in bundle.model.state_dict().items():
        torch.testing.assert_close(back.model.state_dict()[key], tensor, rtol=1e-6, atol=0)


def test_priors_are_written_as_counts(tmp_path):
    bundle = make_bundle(SETTINGS["dnn_relu"])
    bundle.log_prior_P = log_prior(np.array([10, 0, 5, 3, 90]), prior_floor=0.02)
    export_nnet1(bundle, tmp_path / "out")
    counts = read_counts(tmp_path / "out" / "ali_train_pdf.counts", NUM_PDFS)
    assert counts[1] == 0
    np.testing.assert_allclose(
        counts / counts.sum(), prior_of(bundle.log_prior_P) / prior_of(bundle.log_prior_P).sum(), rtol=1e-6
    )
    assert log_prior(counts, smoothing=0)[1] == bundle.log_prior_P[1] > 1e19
    with pytest.raises(AsrtoolError, match="counts of 5 pdfs, the network has 4"):
        read_counts(tmp_path / "out" / "ali_train_pdf.counts", 4)


def test_the_commands_say_how_kaldi_makes_the_input(tmp_path, capsys):
    features = FeatureOptions(cmvn="global", norm_vars=True, delta_order=1)
    bundle = make_bundle(SETTINGS["lstm"], stride=3, label_delay=2, features=features)
    bundle.global_cmvn = np.arange(4.0).reshape(2, 2)
    commands = export_nnet1(bundle, tmp_path / "out")
    assert "subsample-feats --n=3 --offset=1 ark:- ark:-" in commands and "--time-shift=2 --no-softmax=true" in commands
    assert "nnet1 skips no frames" in commands and "/out/global_cmvn scp:data/feats.scp ark:-" in commands
    assert np.array_equal(read_matrix_file(tmp_path / "out" / "global_cmvn", np.float64), bundle.global_cmvn)
    assert not (tmp_path / "out" / "cmvn_opts").exists()
    bundle = make_bundle(SETTINGS["lstm"], features=FeatureOptions(cmvn="sliding", delta_order=0, cmn_window=300))
    assert export_nnet1(bundle, tmp_path / "out3").startswith(
        "apply-cmvn-sliding --norm-vars=false --cmn-window=300 --min-cmn-wind"
    )
    commands = export_nnet1(make_bundle(SETTINGS["lstm"], label_delay=2), tmp_path / "out2")
    assert commands.startswith("nnet-forward --time-shift=2 --no-softmax=true") and "#" not in commands


def test_normalisation_that_differs_within_a_window_goes_into_the_first_layer(frames):
    random = np.random.default_rng(3)
    wide = 3 * DIM
    for kind in ("dnn_tanh", "lstmp"):
        bundle = make_bundle(SETTINGS[kind] | {"num_layers": 1})
        bundle.input = InputOptions(1, 1)
        network = _network(bundle, wide)
        transform = [
            component("Splice", wide, DIM, offsets=np.arange(-1, 2, dtype=np.int32)),
            component("AddShift", wide, wide, shift=random.normal(size=wide).astype(np.float32)),
            component("Rescale", wide, wide, scale=random.uniform(0.5, 2, wide).astype(np.float32)),
        ]
        imported = import_nnet1([*transform, *network], bundle.features)
        expected = EVALUATE([*transform, *network], frames)
        np.testing.assert_allclose(np.exp(log_posteriors_batch(imported, [frames])[0]), expected, rtol=2e-5, atol=1e-7)
        for one in transform[1:]:  # the same for each frame: it becomes the model's mean and scale
            for name, array in one.arrays.items():
                one.arrays[name] = np.tile(array[:DIM], 3)
        alike = import_nnet1([*transform, *network], bundle.features)
        assert np.array_equal(alike.feature_mean_D.numpy(), -transform[1].arrays["shift"][:DIM])
        np.testing.assert_allclose(
            np.exp(log_posteriors_batch(alike, [frames])[0]), EVALUATE([*transform, *network], frames), rtol=2e-5, atol=1e-7
        )


def _network(bundle: ModelBundle, input_dim: int):
    from asrtool.nnet.nnet1_export import network_components

    torch.manual_seed(8)
    return network_components(dataclasses.replace(bundle, model=make_model(bundle.settings, input_dim, NUM_PDFS)))


def affine(dim_out, dim_in):
    return component("AffineTransform", dim_out, dim_in, weight=np.ones((dim_out, dim_in)), bias=np.ones(dim_out))


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ([affine(4, 3)], "<AffineTransform>: expected affine transforms with an activation between each two"),
        ([affine(4, 3), component("Sigmoid", 4, 4), affine(5, 4), component("Sigmoid", 5, 5), affine(2, 5)], "all layers alike"),
        ([affine(4, 3), component("Softmax", 4, 4), affine(2, 4)], "<Softmax> between two layers"),
        (
            [affine(2, 3), component("ParametricRelu", 2, 2, alpha=np.ones(2), beta=np.ones(2)), affine(2, 2)],
            "slopes other than 1 and 0",
        ),
        ([component("Splice", 6, 3, offsets=np.array([-2, 0])), affine(4, 6)], r"the frames \[-2, 0\]; only a run of frames"),
        ([component("Splice", 3, 3, offsets=np.array([0]))], "a feature transform without a network"),
    ],
)
def test_networks_that_we_do_not_have(components, message):
    with pytest.raises(AsrtoolError, match=message):
        import_nnet1(components, FeatureOptions())


def test_models_that_nnet1_does_not_have(tmp_path):
    bundle = make_bundle({"kind": "tdnn", "hidden_dim": 4})
    with pytest.raises(AsrtoolError, match=r"a model of kind tdnn .* dnn, lstm, lstmp can"):
        export_nnet1(bundle, tmp_path / "out")
    spliced = make_bundle(SETTINGS["dnn_tanh"], features=FeatureOptions(splice_left=1))
    with pytest.raises(AsrtoolError, match="no nnet1 counterpart"):
        export_nnet1(spliced, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_files_name_the_component(tmp_path):
    write_nnet(tmp_path / "good", [affine(4, 3), component("Sigmoid", 4, 4), affine(2, 4)])
    whole = (tmp_path / "good").read_bytes()
    cases = {
        "cut": (whole[:100], "component 1: .*truncated"),
        "kind": (whole.replace(b"<Sigmoid>", b"<Maxpool>"), "component 2: <Maxpool>: components of this kind cannot be used"),
        "dims": (whole.replace(b"<Sigmoid> \4\4", b"<Sigmoid> \4\5"), "component 2: <Sigmoid> of 5 numbers from 4"),
        "text": (b"nothing", "expected <Nnet>"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(AsrtoolError, match=f"{name}: .*{message}"):
            read_nnet(tmp_path / name)


def test_files_of_older_kaldis(tmp_path):
    old = "<Nnet>\n<LstmProjectedStreams> 1 2\n<CellDim> 1 <ClipGradient> 5\n"
    old += " [\n 1 2\n 3 4\n 5 6\n 7 8 ]\n [\n 1\n 2\n 3\n 4 ]\n [ 1 2 3 4 ]\n [ 1 ]\n [ 2 ]\n [ 3 ]\n [\n 9 ]\n"
    old += "<AddShift> 1 1\n [ 0.5 ]\n</Nnet>\n"
    (tmp_path / "old").write_text(old)
    lstm, shift = read_nnet(tmp_path / "old")
    assert lstm.kind == "LstmProjected" and lstm.scalars == {"CellDim": 1, "ClipGradient": 5.0}
    assert lstm.arrays["peephole_o"] == [3] and lstm.arrays["w_r_m"] == [[9]] and shift.arrays["shift"] == [0.5]


def test_a_directory_without_options_or_counts(tmp_path, capsys):
    bundle = make_bundle(SETTINGS["dnn_sigmoid"])
    export_nnet1(bundle, tmp_path / "out")
    (tmp_path / "out" / "ali_train_pdf.counts").unlink()
    transform = str(tmp_path / "out" / "final.feature_transform")
    arguments = ["--feature-transform", transform, str(tmp_path / "out" / "final.nnet"), str(tmp_path / "m.pt")]
    assert cli.main(["import-nnet1", *arguments]) == 0
    assert "the same for all pdfs" in capsys.readouterr().out
    back = load_model(tmp_path / "m.pt")
    assert back.features == bundle.features
    np.testing.assert_allclose(back.log_prior_P, np.log(1 / NUM_PDFS), rtol=1e-6)
    assert cli.main(["import-nnet1", "--stride", "0", *arguments]) == 1
