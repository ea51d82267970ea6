"""ONNX files of every registered model, run by onnxruntime and compared with the model in float32."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import asrtool.nnet
from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.nnet.export_onnx import BUILDERS, check_onnx, export_onnx
from asrtool.nnet.forward import loglikes
from asrtool.nnet.input import InputOptions
from asrtool.nnet.log_prior import log_prior
from asrtool.nnet.model_file import ModelBundle, save_model
from asrtool.nnet.registry import MODELS, make_model

DIM, NUM_PDFS = 12, 6
LSTM = {"num_layers": 2, "num_cells": 7}
CLDNN = {"num_maps": 3, "filter1": [3, 2], "filter2": [2, 2], "reduction_dim": 6, "num_cells": 5, "projection_dim": 4}
SETTINGS = {
    "dnn": {"kind": "dnn", "num_layers": 3, "hidden_dim": 9, "activation": "relu"},
    "lstm": {"kind": "lstm", **LSTM, "fc_dim": 5, "fc_activation": "sigmoid", "cell_clip": 0.4},
    "lstm_linear": {"kind": "lstm", **LSTM, "fc_dim": 5, "fc_activation": "linear", "cell_clip": 0.0},
    "lstmp": {"kind": "lstmp", **LSTM, "projection_dim": 4, "peepholes": True, "cell_clip": 0.4},
    "tdnn": {"kind": "tdnn", "hidden_dim": 9, "offsets": [[-2, -1, 0, 1], [-3, 2], [0]]},
    "cldnn": {"kind": "cldnn", **CLDNN, "window_frames": 4, "delta_order": 1, "pool": 3, "num_fc_layers": 2, "fc_dim": 7},
}


def make_bundle(settings: dict, label_delay: int = 1) -> ModelBundle:
    torch.manual_seed(7)
    window = InputOptions(2, 1, 2, label_delay)
    model = make_model(settings, window.width * DIM, NUM_PDFS).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and peepholes are zero at first
            parameter.add_(0.3 * torch.randn_like(parameter))
    return ModelBundle(
        model=model,
        settings=settings,
        features=FeatureOptions(cmvn="speaker", norm_vars=True, delta_order=1),
        input=window,
        feature_mean_D=torch.linspace(-1, 1, DIM),
        feature_scale_D=torch.linspace(0.5, 2, DIM),
        log_prior_P=log_prior(np.arange(NUM_PDFS)),
        global_cmvn=np.ones((2, 5)),
        info={"epoch": 2.0, "weights": [1]},
    )


def chunked(session, x: np.ndarray, cuts: tuple[int, ...]) -> np.ndarray:
    """Runs chunk after chunk with the state carried over."""
    state = {one.name: np.zeros([len(x), *one.shape[1:]], np.float32) for one in session.get_inputs() if one.name != "x"}
    outputs = []
    for chunk in np.split(x, cuts, axis=1):
        output, *after = session.run(None, {"x": chunk, **state})
        state = dict(zip(state, after, strict=True))
        outputs.append(output)
    return np.concatenate(outputs, 1)


def expected_outputs(bundle: ModelBundle, x: np.ndarray, output: str) -> np.ndarray:
    width = bundle.input.width
    normalised = (torch.from_numpy(x) - bundle.feature_mean_D.repeat(width)) * bundle.feature_scale_D.repeat(width)
    with torch.inference_mode():
        logits, _ = bundle.model(normalised, bundle.model.initial_state(len(x)))
    scores = {"logits": logits, "log_posteriors": logits.log_softmax(-1)}
    scores["loglikes"] = scores["log_posteriors"] - torch.from_numpy(bundle.log_prior_P)
    return scores[output].numpy()


def noise(bundle: ModelBundle, windows: int = 23) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((3, windows, bundle.model.input_dim)).astype(np.float32)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_chunks_in_onnxruntime_equal_the_whole_utterance_in_torch(tmp_path, name):
    bundle = make_bundle(SETTINGS[name])
    export_onnx(bundle, tmp_path / "m.onnx")
    session, x = onnxruntime.InferenceSession(tmp_path / "m.onnx"), noise(bundle)
    for cuts in ((), (7, 8, 20), tuple(range(1, 23))):
        np.testing.assert_allclose(chunked(session, x, cuts), expected_outputs(bundle, x, "loglikes"), rtol=1e-5, atol=1e-5)
    assert check_onnx(bundle, tmp_path / "m.onnx") < 1e-5


def test_every_registered_model_can_be_exported():
    assert {one["kind"] for one in SETTINGS.values()} == set(MODELS) == set(BUILDERS)


@pytest.mark.parametrize("output", ["log_posteriors", "logits"])
def test_other_outputs_and_a_fixed_chunk(tmp_path, output):
    bundle = make_bundle(SETTINGS["lstmp"])
    export_onnx(bundle, tmp_path / "m.onnx", chunk_windows=4, output=output)
    session, x = onnxruntime.InferenceSession(tmp_path / "m.onnx"), noise(bundle, 12)
    assert [one.name for one in session.get_outputs()] == [output, *(f"next_state_{number}" for number in range(4))]
    assert session.get_inputs()[0].shape == ["batch", 4, bundle.model.input_dim]
    np.testing.assert_allclose(chunked(session, x, (4, 8)), expected_outputs(bundle, x, output), rtol=1e-5, atol=1e-5)


def test_state_and_metadata_say_what_a_user_needs(tmp_path):
    bundle = make_bundle(SETTINGS["tdnn"])
    export_onnx(bundle, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    assert [(one.name, one.shape) for one in session.get_inputs()] == [
        ("x", ["batch", "windows", 48]),
        ("state_0", ["batch", 3, 48]),
        ("state_1", ["batch", 5, 9]),
    ]
    told = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert told["input"] == {"left": 2, "right": 1, "stride": 2, "label_delay": 1}
    assert told["features"]["norm_vars"] is True and told["features"]["delta_order"] == 1
    assert (told["kind"], told["feature_dim"], told["num_pdfs"], told["output"]) == ("tdnn", DIM, NUM_PDFS, "loglikes")
    np.testing.assert_array_equal(np.float32(told["log_prior"]), bundle.log_prior_P)
    assert told["global_cmvn"] == [[1.0] * 5] * 2 and told["info"] == {"epoch": 2.0}


def test_the_example_in_the_documentation(tmp_path, monkeypatch, repository):
    bundle = make_bundle(SETTINGS["lstm"])
    features = np.random.default_rng(2).standard_normal((31, DIM)).astype(np.float32)
    monkeypatch.chdir(tmp_path)
    export_onnx(bundle, "lstm.onnx")
    np.save("features.npy", features)
    page = (repository / "docs" / "export.md").read_text(encoding="utf-8")
    Path("example.py").write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    found = runpy.run_path("example.py")["loglikes"]
    np.testing.assert_allclose(found, loglikes(bundle, features), rtol=1e-5, atol=1e-5)


def test_the_command(tmp_path, capsys, monkeypatch):
    save_model(tmp_path / "m.pt", make_bundle(SETTINGS["dnn"]))
    arguments = ["export-onnx", "--output", "log-posteriors", str(tmp_path / "m.pt"), str(tmp_path / "m.onnx")]
    assert cli.main(arguments) == 0
    assert "largest difference between onnxruntime and the model" in capsys.readouterr().err
    assert cli.main([*arguments, "--chunk-windows", "0"]) == 1
    monkeypatch.setattr("asrtool.nnet.export_onnx.BUILDERS", {"lstm": None})
    assert cli.main(arguments) == 1
    assert "models of kind dnn have no ONNX export; lstm have" in capsys.readouterr().err


@pytest.mark.parametrize(("package", "status"), [("onnx", 1), ("onnxruntime", 0)])
def test_a_missing_package_is_named(tmp_path, capsys, monkeypatch, package, status):
    save_model(tmp_path / "m.pt", make_bundle(SETTINGS["dnn"]))
    monkeypatch.setitem(sys.modules, package, None)
    for name in ("export_onnx", "onnx_graph"):
        monkeypatch.setattr(asrtool.nnet, name, getattr(asrtool.nnet, name))  # to have it back afterwards
        monkeypatch.delitem(sys.modules, f"asrtool.nnet.{name}")
    assert cli.main(["export-onnx", str(tmp_path / "m.pt"), str(tmp_path / "m.onnx")]) == status
    assert f"the package {package} is not installed" in capsys.readouterr().err
    assert (tmp_path / "m.onnx").exists() == (status == 0)


def test_a_file_that_computes_something_else_is_refused(tmp_path, capsys, monkeypatch):
    save_model(tmp_path / "m.pt", make_bundle(SETTINGS["dnn"]))
    monkeypatch.setattr("asrtool.nnet.export_onnx.check_onnx", lambda *_: 0.5)
    assert cli.main(["export-onnx", str(tmp_path / "m.pt"), str(tmp_path / "m.onnx")]) == 1
    assert "onnxruntime gives other outputs" in capsys.readouterr().err
    with pytest.raises(AsrtoolError, match="no ONNX export"):
        bundle = make_bundle(SETTINGS["dnn"])
        bundle.settings = {"kind": "gru"}
        export_onnx(bundle, tmp_path / "m.onnx")
