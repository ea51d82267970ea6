"""The Recognizer against the verbs, one after the other, on wave files, graph and transition model that Kaldi's tools wrote."""

import shutil

import numpy as np
import pytest
import torch

from asrtool.cli import main
from asrtool.decoder.beam_search import BeamSearchOptions
from asrtool.decoder.recognizer import Recognizer
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.fst.csr import CsrGraph
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.audio import read_wav
from asrtool.io.kaldi_table import MatrixReader
from asrtool.lattice.compact import CompactLattice
from asrtool.nnet.input import InputOptions
from asrtool.nnet.model_file import ModelBundle, save_model
from asrtool.nnet.registry import make_model

CONF = "--num-mel-bins=28\n--snip-edges=false\n"
SEARCH = BeamSearchOptions(beam=13.0, max_active=2000, acoustic_scale=0.1)


@pytest.fixture(scope="module")
def experiment(kaldi_reference, tmp_path_factory):
    """A network with random weights (so that the test needs no training), its graph, and five recordings as a data directory."""
    root, source = tmp_path_factory.mktemp("recognizer"), kaldi_reference / "lattice"
    shutil.copytree(kaldi_reference / "lang" / "phones", root / "graph" / "phones")
    CsrGraph.from_fst_file(source / "HCLG.fst.gz").write_fst_file(root / "graph" / "HCLG.fst")
    shutil.copy(source / "words.txt", root / "graph" / "words.txt")
    shutil.copy(source / "final.mdl", root / "final.mdl")
    (root / "fbank.conf").write_text(CONF)
    (root / "data").mkdir()
    waves = sorted((kaldi_reference / "wav").glob("*.wav"))
    (root / "data" / "wav.scp").write_text("".join(f"{wave.stem} {wave}\n" for wave in waves))
    (root / "data" / "utt2spk").write_text("".join(f"{wave.stem} {wave.stem}\n" for wave in waves))
    num_pdfs = TransitionModel.read_file(root / "final.mdl").num_pdfs
    torch.manual_seed(1)
    settings, features = {"kind": "dnn", "num_layers": 1, "hidden_dim": 32}, FeatureOptions(norm_vars=True)
    model = make_model(settings, 84, num_pdfs)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    window = InputOptions(left=0, right=0)
    priors = np.zeros(num_pdfs, np.float32)
    bundle = ModelBundle(model.eval(), settings, features, window, torch.zeros(84), torch.ones(84), priors)
    save_model(root / "final_ema.pt", bundle)
    assert main(["make-features", "--config", str(root / "fbank.conf"), "--compression-method", "0", "fbank",
                 str(root / "data"), str(root / "fbank")]) == 0  # fmt: skip
    assert main(["compute-cmvn-stats", str(root / "data")]) == 0
    return root, waves


@pytest.fixture(scope="module")
def recognizer(experiment):
    root, _ = experiment
    return Recognizer(root / "graph", root / "final_ema.pt", fbank=root / "fbank.conf", options=SEARCH)


def test_files_samples_and_features_give_the_words_that_the_verbs_give(experiment, recognizer, tmp_path):
    root, waves = experiment
    options = ["--max-active", "2000", "--acoustic-scale", "0.1", "--lattice", "false"]
    assert main(["decode-nnet", *options, "--transition-model", str(root / "final.mdl"), str(root / "graph"), str(root / "data"),
                 str(root / "final_ema.pt"), str(tmp_path / "decode")]) == 0  # fmt: skip
    lines = (tmp_path / "decode" / "hyp.txt").read_text().splitlines()
    expected = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert len(expected) == 5 and any(expected.values())
    features = MatrixReader(f"scp:{root}/data/feats.scp")
    for wave, batched in zip(waves, recognizer.decode_batch(waves, num_threads=2), strict=True):
        samples = read_wav(str(wave), 16000)
        found = [recognizer.decode(kind) for kind in (wave, samples.astype(np.int16), samples / 32768, features[wave.stem])]
        assert {result.text for result in [*found, batched]} == {expected[wave.stem]}
        assert len({result.acoustic_cost for result in found}) == 1


def test_words_lie_where_the_alignment_has_them(experiment, recognizer):
    _, waves = experiment
    for wave in waves:
        plain = recognizer.decode(wave)
        assert len(plain.transition_ids) == len(recognizer.features(wave))
        ends = [word.start_s + word.duration_s for word in plain.words]
        assert all(end <= word.start_s + 1e-9 for end, word in zip(ends, plain.words[1:]))
        assert not ends or ends[-1] <= 0.01 * len(plain.transition_ids) + 1e-9
        sure = recognizer.decode(wave, confidences=True, lattice=True)
        assert sure.text == plain.text and isinstance(sure.lattice, CompactLattice) and plain.lattice is None
        assert sure.graph_cost == pytest.approx(plain.graph_cost, abs=1e-3)
        assert all(0 < word.confidence <= 1 + 1e-6 for word in sure.words) and all(word.confidence == 1 for word in plain.words)


def test_a_speakers_statistics_count(experiment, recognizer):
    _, waves = experiment
    stats = recognizer.cmvn_stats(waves[:3])
    assert stats[0, -1] == sum(len(recognizer.features(wave)) for wave in waves[:3])
    own, of_speaker = recognizer.loglikes(waves[0]), recognizer.loglikes(waves[0], stats)
    assert own.shape == of_speaker.shape and np.abs(own - of_speaker).max() > 0.1
    assert np.array_equal(own, recognizer.loglikes(waves[0], recognizer.cmvn_stats(waves[:1])))


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ("no.wav", "no.wav"),
        (np.zeros(50, np.int16), "shorter than one frame"),
        (np.full(16000, 300.0), "between -1 and 1"),
        (np.full(16000, np.nan), "between -1 and 1"),
        (np.zeros((2, 3, 4)), "one channel"),
        (np.zeros((50, 13), np.float32), "13 dimensions"),
    ],
)
def test_bad_audio_is_one_clear_line(recognizer, audio, message):
    stats = None if not isinstance(audio, np.ndarray) or audio.shape != (50, 13) else np.ones((2, 29))
    with pytest.raises(AsrtoolError, match=message) as error:
        recognizer.decode(audio, stats)
    assert "\n" not in str(error.value)
    [outcome] = recognizer.decode_batch([audio])
    assert isinstance(outcome, AsrtoolError)


def test_without_settings_of_features_only_features_are_decoded(experiment):
    root, waves = experiment
    recognizer = Recognizer(root / "graph", root / "final_ema.pt", options=SEARCH)
    with pytest.raises(AsrtoolError, match="fbank="):
        recognizer.decode(waves[0])
    features = np.zeros((30, 28), np.float32) + np.arange(30, dtype=np.float32)[:, None]
    assert recognizer.decode(features).transition_ids.shape == (30,)
