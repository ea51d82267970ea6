"""nnet1 files that Kaldi wrote: bytes in and out, and our models' outputs against nnet-forward's."""

import gzip
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from asrtool.feat.pipeline import FeatureOptions
from asrtool.io.kaldi_table import MatrixReader
from asrtool.nnet.forward import log_posteriors_batch
from asrtool.nnet.input import InputOptions, utterance_windows
from asrtool.nnet.nnet1 import read_nnet, write_nnet
from asrtool.nnet.nnet1_export import network_components
from asrtool.nnet.nnet1_import import import_nnet1

EVALUATE = runpy.run_path(str(Path(__file__).with_name("nnet1_reference.py")))["evaluate"]
AS_THEY_ARE = FeatureOptions(cmvn="none", delta_order=0)
FILES = ["dnn.nnet", "dnn.nnet.txt", "lstmp.nnet", "lstmp.nnet.txt", "splice5.feature_transform"]


@pytest.fixture(scope="module")
def folder(kaldi_reference) -> Path:
    return kaldi_reference / "nnet1"


@pytest.fixture(scope="module")
def features(folder) -> dict[str, np.ndarray]:
    return dict(MatrixReader(str(folder / "feats.ark")).items())


def outputs(folder, name, tmp_path) -> dict[str, np.ndarray]:
    """What nnet-forward gave."""
    path = tmp_path / "out.txt"
    path.write_bytes(gzip.decompress((folder / f"{name}.txt.gz").read_bytes()))
    return dict(MatrixReader(str(path)).items())


def components(folder, name, suffix=""):
    transform = read_nnet(folder / "splice5.feature_transform") if name == "dnn" else []
    return transform + read_nnet(folder / f"{name}.nnet{suffix}")


@pytest.mark.parametrize("name", FILES)
def test_what_is_read_is_written_byte_for_byte(folder, tmp_path, name):
    write_nnet(tmp_path / "nnet", read_nnet(folder / name), binary=name.endswith(".nnet"))
    assert (tmp_path / "nnet").read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", ["dnn", "lstmp"])
def test_the_float64_twin_agrees_with_kaldi(folder, features, tmp_path, name):
    for utterance, expected in outputs(folder, f"{name}.posteriors", tmp_path).items():
        found = EVALUATE(components(folder, name), features[utterance])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", ["", ".txt"])
@pytest.mark.parametrize(("name", "tolerance"), [("dnn", 3e-6), ("lstmp", 3e-7)])
def test_imported_models_give_kaldis_outputs(folder, features, tmp_path, name, tolerance, suffix):
    bundle = import_nnet1(components(folder, name, suffix), AS_THEY_ARE)
    assert bundle.input == (InputOptions(5, 5) if name == "dnn" else InputOptions())
    before_softmax = outputs(folder, f"{name}.pre_softmax", tmp_path)
    for utterance, expected in outputs(folder, f"{name}.posteriors", tmp_path).items():
        x = utterance_windows(bundle.normalise(features[utterance]), bundle.input)
        with torch.inference_mode():
            logits, _ = bundle.model(x.unsqueeze(0), bundle.model.initial_state(1))
        assert np.abs(logits[0].numpy() - before_softmax[utterance]).max() < tolerance
        (found,) = log_posteriors_batch(bundle, [features[utterance]])
        assert np.abs(np.exp(found) - expected).max() < 1e-6


@pytest.mark.parametrize("name", ["dnn", "lstmp"])
def test_a_kaldi_network_comes_back_as_kaldi_wrote_it(folder, tmp_path, name):
    bundle = import_nnet1(components(folder, name), AS_THEY_ARE)
    for suffix, binary in (("", True), (".txt", False)):
        write_nnet(tmp_path / "nnet", network_components(bundle), binary)
        assert (tmp_path / "nnet").read_bytes() == (folder / f"{name}.nnet{suffix}").read_bytes()


def test_a_label_delay_is_nnet1s_time_shift(folder, features):
    delayed = import_nnet1(components(folder, "lstmp"), AS_THEY_ARE, label_delay=5)
    matrix = next(iter(features.values()))
    longer = np.concatenate([matrix, matrix[-1:].repeat(5, 0)])
    expected = np.log(EVALUATE(components(folder, "lstmp"), longer))[5:]
    np.testing.assert_allclose(log_posteriors_batch(delayed, [matrix])[0], expected, atol=2e-6)
