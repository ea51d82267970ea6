"""Alignment with a network on a corpus of known alignment, and priors from its posteriors."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
from asrtool.io.alignment import read_alignments
from asrtool.loader.table import read_pdf_alignments
from asrtool.nnet.forward import log_posteriors_batch, loglikes
from asrtool.nnet.input import InputOptions, utterance_windows
from asrtool.nnet.log_prior import divergence, log_prior, prior_of, read_counts
from asrtool.nnet.model_file import ModelBundle, load_model, save_model
from asrtool.nnet.registry import make_model
from asrtool.train.align_data import AlignDataOptions
from asrtool.train.align_nnet import align_nnet, find_model, network_scores
from asrtool.train.align_pass import AlignOptions
from asrtool.train.gmm_deltas import DeltasOptions, train_deltas
from asrtool.train.gmm_mono import MonoOptions, train_mono
from asrtool.train.gmm_run import RunOptions

TOY = runpy.run_path(str(Path(__file__).with_name("test_gmm_training.py")))
OPTIONS = AlignDataOptions(AlignOptions(beam=20, retry_beam=60), RunOptions())
FEATURES = FeatureOptions(cmvn="none", delta_order=0)
RESULTS = ("ali.1.gz", "ali_train_pdf.counts", "alignment_summary.txt", "final.mdl", "tree", "phones.txt", "num_jobs")


def train(data: Path, alignments: Path, kind: str) -> ModelBundle:
    """A few steps on whole utterances; the LSTM sees one window in two, and answers one window late."""
    torch.manual_seed(1)
    window = InputOptions(1, 1) if kind == "dnn" else InputOptions(1, 1, stride=2, label_delay=1)
    sizes = {"dnn": {"num_layers": 1, "hidden_dim": 64}, "lstm": {"num_layers": 1, "num_cells": 48, "fc_dim": 48}}[kind]
    settings, pipeline = {"kind": kind, **sizes}, FeaturePipeline(data, FEATURES)
    tid_to_pdf = TOY["read_model"](alignments / "final.mdl")[0].tid_to_pdf
    pdfs = {utterance: tid_to_pdf[row] for utterance, row in read_alignments(alignments).items()}
    counts = np.bincount(np.concatenate(list(pdfs.values())))
    model = make_model(settings, window.width * pipeline.dim, len(counts))
    scale = torch.full((pipeline.dim,), 0.25)
    bundle = ModelBundle(model, settings, FEATURES, window, torch.zeros(pipeline.dim), scale, log_prior(counts))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    inputs, targets = [], []
    for utterance, pdf in pdfs.items():
        inputs.append(utterance_windows(bundle.normalise(pipeline(utterance)), window))
        wanted = np.full(len(inputs[-1]), -1)
        wanted[window.label_delay :] = pdf[np.minimum(np.arange(0, len(pdf), window.stride) + window.stride // 2, len(pdf) - 1)]
        targets.append(torch.from_numpy(wanted))
    x = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True)
    y = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-1)
    for _ in range(30):
        logits, _ = model(x, model.initial_state(len(x)))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    return bundle


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("nnet")
    lang = TOY["write_lang"](root)
    truth = TOY["write_data"](root / "data")
    train_mono(root / "data", lang, root / "mono", MonoOptions(TOY["SCHEDULE"], TOY["RUN"]))
    for kind in ("dnn", "lstm"):
        save_model(root / kind / "final.pt", train(root / "data", root / "mono", kind))
    return root, truth


def run(root: Path, directory: Path, kind: str = "dnn", options: AlignDataOptions = OPTIONS):
    return align_nnet(root / "data", root / "lang", root / kind, directory, options, root / "mono")


@pytest.mark.parametrize("kind", ["dnn", "lstm"])
def test_the_true_phones_are_found(corpus, tmp_path, kind):
    root, truth = corpus
    report = run(root, tmp_path / "ali", kind)
    assert (report.aligned, report.failed) == (60, [])
    assert TOY["frame_accuracy"](tmp_path / "ali", truth) > 0.9
    for name in RESULTS:
        assert (tmp_path / "ali" / name).is_file(), name
    lines = (tmp_path / "ali" / "alignment_summary.txt").read_text().splitlines()
    assert lines[0].startswith("aligned 60 utterances, 0 retried, 0 failed, ") and lines[1] == "not aligned: none"
    assert lines[3].startswith("silence: ")
    total = sum(len(row) for row in read_alignments(tmp_path / "ali").values())
    num_pdfs = load_model(root / kind / "final.pt").model.num_pdfs
    assert read_counts(tmp_path / "ali" / "ali_train_pdf.counts", num_pdfs).sum() == total + 0.5 * num_pdfs


def test_the_command_and_the_steps_that_take_its_alignments(corpus, tmp_path, capsys):
    root, truth = corpus
    paths = [str(root / "data"), str(root / "lang"), str(root / "dnn" / "final.pt"), str(tmp_path / "ali")]
    assert (
        cli.main(["align-nnet", "--nj", "2", "--beam", "20", "--retry-beam", "60", "--ali-dir", str(root / "mono"), *paths]) == 0
    )
    assert "aligned 60 utterances" in capsys.readouterr().err
    pdfs, num_pdfs = read_pdf_alignments(tmp_path / "ali")
    assert len(pdfs) == 60 and num_pdfs == load_model(root / "dnn" / "final.pt").model.num_pdfs
    schedule = replace(TOY["SCHEDULE"], num_iters=2, max_iter_inc=1, realign_iters=())
    train_deltas(root / "data", root / "lang", tmp_path / "ali", tmp_path / "tri", DeltasOptions(40, schedule, run=TOY["RUN"]))
    assert TOY["frame_accuracy"](tmp_path / "tri", truth) > 0.85


def test_threads_and_batches_do_not_change_the_results(corpus, tmp_path, monkeypatch):
    root, _ = corpus
    monkeypatch.setattr("asrtool.train.align_pass.GROUP_FRAMES", 700)
    run(root, tmp_path / "one", "lstm")
    run(root, tmp_path / "three", "lstm", replace(OPTIONS, run=RunOptions(num_threads=3)))
    assert [(tmp_path / "one" / name).read_bytes() for name in RESULTS] == [
        (tmp_path / "three" / name).read_bytes() for name in RESULTS
    ]
    bundle, pipeline = load_model(root / "lstm" / "final.pt"), FeaturePipeline(root / "data", FEATURES)
    frames = [pipeline(utterance) for utterance in pipeline.utterances()[:20]]
    wanted = [np.array([index % 5, 7]) for index in range(len(frames))]
    found = dict(network_scores(bundle)(frames, wanted))
    for index, (matrix, pdf_ids) in enumerate(zip(frames, wanted)):
        np.testing.assert_allclose(found[index], loglikes(bundle, matrix)[:, pdf_ids].T, rtol=1e-4, atol=1e-4)


def test_utterances_that_fail_are_listed(corpus, tmp_path):
    root, _ = corpus
    data = tmp_path / "data"
    data.mkdir()
    for path in (root / "data").iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    first, *others = (data / "text").read_text().splitlines(keepends=True)
    name = first.split()[0]
    (data / "text").write_text(f"{name} {' '.join(['dad'] * 80)}\n" + "".join(others))
    report = align_nnet(data, root / "lang", root / "dnn" / "final.pt", tmp_path / "ali", OPTIONS, root / "mono")
    assert report.failed == [name] and report.aligned == 59
    assert f"not aligned: {name}" in (tmp_path / "ali" / "alignment_summary.txt").read_text().splitlines()
    assert name not in read_alignments(tmp_path / "ali")
    with pytest.raises(AsrtoolError, match=rf"1 of 60 utterances could not be aligned \(allowed: 1%\), the first: {name}"):
        align_nnet(data, root / "lang", root / "dnn", tmp_path / "ali", replace(OPTIONS, max_failed=0.01), root / "mono")


def test_a_narrow_beam_is_tried_again_with_the_wide_one(corpus, tmp_path):
    root, _ = corpus
    once = run(root, tmp_path / "once", options=replace(OPTIONS, align=AlignOptions(beam=0.01, retry_beam=0), max_failed=1))
    again = run(root, tmp_path / "again", options=replace(OPTIONS, align=AlignOptions(beam=0.01, retry_beam=60)))
    assert again.retried == len(once.failed) > 0 and again.failed == []
    run(root, tmp_path / "best")
    found, best = read_alignments(tmp_path / "again"), read_alignments(tmp_path / "best")
    assert all(np.array_equal(found[utterance], best[utterance]) for utterance in once.failed)


def test_files_that_do_not_fit(corpus, tmp_path):
    root, _ = corpus
    with pytest.raises(AsrtoolError, match=r"dnn/final.mdl: no such file; name the alignment directory .* with --ali-dir"):
        align_nnet(root / "data", root / "lang", root / "dnn", tmp_path / "ali", OPTIONS)
    with pytest.raises(AsrtoolError, match=r"no model \(final\*.pt\)"):
        find_model(tmp_path)
    for name in ("final_ma.pt", "final_bmuf.pt"):
        (tmp_path / name).touch()
    with pytest.raises(AsrtoolError, match="2 models"):
        find_model(tmp_path)
    (tmp_path / "final_ema.pt").touch()
    assert find_model(tmp_path) == tmp_path / "final_ema.pt"
    bundle = load_model(root / "dnn" / "final.pt")
    wide = replace(bundle, model=make_model(bundle.settings, 3 * 7, bundle.model.num_pdfs))
    save_model(tmp_path / "wide.pt", replace(wide, feature_mean_D=torch.zeros(7), feature_scale_D=torch.ones(7)))
    with pytest.raises(AsrtoolError, match=r"feats.scp: features of shape \(1, 6\), the model takes 7 dimensions"):
        align_nnet(root / "data", root / "lang", tmp_path / "wide.pt", tmp_path / "ali", OPTIONS, root / "mono")
    other = replace(bundle, model=make_model(bundle.settings, 3 * 6, 4), log_prior_P=np.zeros(4, np.float32))
    save_model(tmp_path / "other.pt", other)
    with pytest.raises(AsrtoolError, match=r"other\.pt: the network has 4 outputs"):
        align_nnet(root / "data", root / "lang", tmp_path / "other.pt", tmp_path / "ali", OPTIONS, root / "mono")


@pytest.mark.parametrize("kind", ["dnn", "lstm"])
def test_the_mean_posterior_is_close_to_the_alignments_prior(corpus, tmp_path, capsys, kind):
    root, _ = corpus
    model, counts = root / kind / "final.pt", tmp_path / "prior_counts"
    arguments = ["adjust-priors", "--write-counts", str(counts), str(model), str(root / "data"), str(tmp_path / "new.pt")]
    assert cli.main(arguments) == 0
    old, new, pipeline = load_model(model), load_model(tmp_path / "new.pt"), FeaturePipeline(root / "data", FEATURES)
    posteriors = np.concatenate([np.exp(log_posteriors_batch(old, [matrix])[0]) for _, matrix in pipeline.items()])
    np.testing.assert_allclose(prior_of(new.log_prior_P), posteriors.mean(0, dtype=np.float64), rtol=1e-4)
    assert f"posteriors over {len(posteriors)} frames" in capsys.readouterr().err
    assert 0 < divergence(new.log_prior_P, old.log_prior_P) < 0.02
    matrix = pipeline(pipeline.utterances()[0])
    difference = loglikes(new, matrix) - loglikes(old, matrix)
    np.testing.assert_allclose(difference, np.broadcast_to(old.log_prior_P - new.log_prior_P, difference.shape), atol=1e-4)
    assert cli.main(["adjust-priors", str(model), str(counts), str(tmp_path / "again.pt")]) == 0
    np.testing.assert_allclose(load_model(tmp_path / "again.pt").log_prior_P, new.log_prior_P, atol=1e-5)


def test_priors_from_a_part_of_the_data_and_from_kaldis_counts(corpus, tmp_path, capsys):
    root, _ = corpus
    model = str(root / "dnn" / "final.pt")
    assert cli.main(["adjust-priors", "--max-frames", "500", model, str(root / "data"), str(tmp_path / "new.pt")]) == 0
    frames = int(capsys.readouterr().err.split("posteriors over ")[1].split()[0])
    assert 500 <= frames < 900
    counts = str(root / "mono" / "ali_train_pdf.counts")
    assert cli.main(["adjust-priors", model, counts, str(tmp_path / "new.pt")]) == 0
    np.testing.assert_allclose(load_model(tmp_path / "new.pt").log_prior_P, load_model(model).log_prior_P, atol=1e-5)
    (tmp_path / "short").write_text(" [ 1 2 ]\n")
    assert cli.main(["adjust-priors", model, str(tmp_path / "short"), str(tmp_path / "new.pt")]) == 1
    assert "counts of 2 pdfs" in capsys.readouterr().err
