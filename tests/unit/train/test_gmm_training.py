"""Monophones and triphones on a synthetic corpus of known alignment: quality, resumption, independence of threads and memory."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gmm_toy import RUN, SCHEDULE, Killed, frame_accuracy, kill_after, results, write_data, write_lang

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.gmm.feature_options import parse_feature_options
from asrtool.gmm.model import read_model
from asrtool.graph.training_graph import TrainingGraphCompiler
from asrtool.io.alignment import read_alignments
from asrtool.train import gmm_trainer
from asrtool.train.gmm_align import AlignSiOptions, align_si
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore
from asrtool.train.gmm_deltas import DeltasOptions, train_deltas
from asrtool.train.gmm_mono import MonoOptions, train_mono
from asrtool.train.gmm_passes import Accumulator, align_pass
from asrtool.tree.context_dependency import ContextDependency


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("gmm")
    lang = write_lang(root)
    truth = write_data(root / "data")
    train_mono(root / "data", lang, root / "mono", MonoOptions(SCHEDULE, RUN))
    return root, truth


def test_mono_finds_the_true_phones(corpus):
    root, truth = corpus
    assert frame_accuracy(root / "mono", truth) > 0.9
    state_loglikes = [
        float(row.split()[-1]) for row in (root / "mono/loglikes.json").read_text().splitlines() if "loglike" in row
    ]
    assert state_loglikes[-1] > state_loglikes[0] + 3
    _, model = read_model(root / "mono" / "final.mdl")
    assert model.num_pdfs < model.num_gaussians <= 60
    for name in ("num_jobs", "cmvn_opts", "delta_opts", "phones.txt", "ali_train_pdf.counts", "iterations.log"):
        assert (root / "mono" / name).is_file(), name
    assert "a 1" not in (root / "mono" / "num_jobs").read_text()
    assert "silence: " in (root / "mono" / "alignment_summary.txt").read_text()


def test_threads_do_not_change_the_results(corpus, tmp_path):
    root, _ = corpus
    train_mono(root / "data", root / "lang", tmp_path / "mono", MonoOptions(SCHEDULE, replace(RUN, num_threads=3)))
    assert results(tmp_path / "mono") == results(root / "mono")


@pytest.mark.parametrize("number", [1, 7])
def test_a_killed_mono_run_goes_on_with_the_same_results(corpus, tmp_path, monkeypatch, number):
    root, _ = corpus
    arguments = (root / "data", root / "lang", tmp_path / "mono", MonoOptions(SCHEDULE, RUN))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, number)
        train_mono(*arguments)
    assert not (tmp_path / "mono" / "final.mdl").exists()
    updates = []
    run = gmm_trainer.GmmTrainer._update
    monkeypatch.setattr(gmm_trainer.GmmTrainer, "_update", lambda self, *args: updates.append(1) or run(self, *args))
    train_mono(*arguments)
    assert len(updates) == SCHEDULE.num_iters - number
    assert results(tmp_path / "mono") == results(root / "mono")
    updates.clear()
    written = (tmp_path / "mono" / "final.mdl").stat().st_mtime_ns
    train_mono(*arguments)
    assert not updates and (tmp_path / "mono" / "final.mdl").stat().st_mtime_ns == written, "a finished run does nothing"
    assert len(list((tmp_path / "mono").glob("alignment.*.npy"))) == 1
    train_mono(*arguments[:3], MonoOptions(replace(SCHEDULE, totgauss=30), RUN))
    assert len(updates) == SCHEDULE.num_iters, "other options: from the start"


def test_triphones_from_alignments_killed_and_resumed(corpus, tmp_path, monkeypatch):
    root, truth = corpus
    align = AlignSiOptions(SCHEDULE.align, RUN)
    align_si(root / "data", root / "lang", root / "mono", tmp_path / "ali", align)
    assert frame_accuracy(tmp_path / "ali", truth) > 0.9
    options = DeltasOptions(40, replace(SCHEDULE, totgauss=90, realign_iters=(1, 3, 6)), run=RUN)
    arguments = (root / "data", root / "lang", tmp_path / "ali")
    train_deltas(*arguments, tmp_path / "tri", options)
    assert frame_accuracy(tmp_path / "tri", truth) > 0.9
    tree = ContextDependency.read_file(tmp_path / "tri" / "tree")
    transition_model, model = read_model(tmp_path / "tri" / "final.mdl")
    assert (tree.context_width, tree.central_position, tree.num_pdfs) == (3, 1, model.num_pdfs)
    assert model.num_pdfs <= 40 and transition_model.num_pdfs == model.num_pdfs
    for number in (1, 5):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, number)
            train_deltas(*arguments, tmp_path / f"tri{number}", options)
        train_deltas(*arguments, tmp_path / f"tri{number}", options)
        assert results(tmp_path / f"tri{number}") == results(tmp_path / "tri")


def test_what_does_not_fit_memory_is_read_again_with_the_same_results(corpus):
    root, _ = corpus
    transition_model, model = read_model(root / "mono" / "final.mdl")
    tree = ContextDependency.read_file(root / "mono" / "tree")
    data = DataDir.load(root / "data")
    compiler = TrainingGraphCompiler(root / "lang", tree, transition_model)
    found = []
    for limit in (1024, 0):
        source = FeaturePipeline(data, parse_feature_options("", RUN.delta_opts))
        corpus_in_parts = GmmCorpus(source, data.text, limit, batch_frames=1500)
        assert len(corpus_in_parts.batches) > 3 and corpus_in_parts.in_memory == bool(limit)
        graphs = GraphStore(corpus_in_parts, compiler.compile, transition_model.tid_to_pdf, limit)
        with ThreadPoolExecutor(2) as pool:
            alignment, report = align_pass(
                corpus_in_parts, graphs, transition_model, model, model.parameters, SCHEDULE.align, pool
            )
            accumulator = Accumulator(corpus_in_parts, alignment, transition_model.tid_to_pdf, model.num_pdfs)
            statistics = accumulator.collect(model, pool, 2)
        assert bool(corpus_in_parts._features) == bool(graphs._graphs) == bool(limit)
        assert report.aligned == 60 and statistics.num_frames == corpus_in_parts.num_frames
        found.append((alignment, statistics))
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1].gaussians, found[1][1].gaussians) and found[0][1].loglike == found[1][1].loglike


def copy_data(root: Path, target: Path, **changes) -> Path:
    """The data directory with some files' text replaced by a function's result."""
    target.mkdir(parents=True)
    for path in (root / "data").iterdir():
        text = path.read_bytes()
        change = changes.get(path.name.replace(".", "_"))
        (target / path.name).write_bytes(change(text.decode()).encode() if change else text)
    return target


def without_lines(start: str):
    return lambda text: "".join(line for line in text.splitlines(keepends=True) if not line.startswith(start))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": lambda text: ""}, "no utterance has both features and a text"),
        ({"text": lambda text: text.replace(" ", " " + "dad " * 100, 1).replace("\ns", "\ns")}, None),
        (
            {"text": lambda text: "".join(f"{line} {'dad ' * 100}\n" for line in text.splitlines())},
            "60 of 60 utterances could not be",
        ),
        ({"utt2num_frames": lambda text: text.replace("s0-u000 ", "s0-u000 1")}, "s0-u000: features are"),
        ({"utt2num_frames": without_lines("s0-u003 ")}, "s0-u003: not in it"),
        ({"cmvn_scp": without_lines("s1")}, "speaker 's1' is not in it"),
    ],
)
def test_bad_data(corpus, tmp_path, changes, message, capsys):
    root, _ = corpus
    data = copy_data(root, tmp_path / "data", **changes)
    options = MonoOptions(replace(SCHEDULE, num_iters=2), RUN)
    if message is None:  # one text that is too long for its utterance: told, and left out
        train_mono(data, root / "lang", tmp_path / "mono", options)
        assert "WARNING: not aligned: s0-u000" in capsys.readouterr().err
        assert "s0-u000" not in read_alignments(tmp_path / "mono")
        assert "not aligned: 1 of 60 utterances s0-u000" in (tmp_path / "mono" / "alignment_summary.txt").read_text()
        return
    with pytest.raises(AsrtoolError, match=message):
        train_mono(data, root / "lang", tmp_path / "mono", options)


class BadSource:
    """Two utterances, the second of which is not what it should be."""

    dim = 2

    def __init__(self, matrix):
        self.matrix = matrix

    def utterances(self):
        return ["one", "two"]

    def num_frames(self, utterance):
        return 3

    def __call__(self, utterance):
        return self.matrix if utterance == "two" else np.zeros((3, 2), dtype=np.float32)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.full((3, 2), np.nan, dtype=np.float32), "two: features hold a value that is not a number"),
        (np.zeros((3, 4), dtype=np.float32), "two: features are 3 frames x 4, expected 3 x 2"),
    ],
)
def test_features_that_do_not_fit(matrix, message):
    with pytest.raises(AsrtoolError, match=message):
        GmmCorpus(BadSource(matrix), {"one": ["a"], "two": ["b"]}).features(0)


def test_alignments_that_do_not_fit_the_data_or_lang(corpus, tmp_path):
    root, _ = corpus
    options = DeltasOptions(40, replace(SCHEDULE, num_iters=2, totgauss=90), run=RUN)
    shorter = copy_data(root, tmp_path / "shorter", utt2num_frames=lambda text: text.replace("s0-u000 ", "s0-u000 1"))
    with pytest.raises(AsrtoolError, match=r"s0-u000: .* frames aligned, the features have"):
        train_deltas(shorter, root / "lang", root / "mono", tmp_path / "tri", options)
    lang = tmp_path / "lang"
    lang.mkdir()
    with pytest.raises(AsrtoolError, match="no such file; make the lang directory"):
        train_deltas(root / "data", lang, root / "mono", tmp_path / "tri", options)
    for path in (root / "lang").rglob("*"):
        if path.is_file():
            (lang / path.relative_to(root / "lang")).parent.mkdir(parents=True, exist_ok=True)
            (lang / path.relative_to(root / "lang")).write_bytes(path.read_bytes())
    (lang / "phones.txt").write_text((lang / "phones.txt").read_text().replace("b ", "x "))
    with pytest.raises(AsrtoolError, match=r"phone 'b' is number .*, but is absent in|phone 'b' is absent"):
        align_si(root / "data", lang, root / "mono", tmp_path / "ali", AlignSiOptions(run=RUN))
    with pytest.raises(AsrtoolError, match="takes 12"):
        source = tmp_path / "source"
        source.mkdir()
        for name in ("final.mdl", "tree"):
            (source / name).write_bytes((root / "mono" / name).read_bytes())
        align_si(root / "data", root / "lang", source, tmp_path / "ali", AlignSiOptions())


@pytest.mark.parametrize(
    ("cmvn_opts", "delta_opts", "message"),
    [("--norm-vars=maybe", "", "norm-vars"), ("norm-vars", "", "--name=value"), ("", "--delta-order=x", "with a number")],
)
def test_feature_options_that_are_not_known(cmvn_opts, delta_opts, message):
    with pytest.raises(AsrtoolError, match=message):
        parse_feature_options(cmvn_opts, delta_opts)
    assert parse_feature_options("--norm-means=false --norm-vars=true").cmvn == "none"


@pytest.mark.parametrize("changes", [{"num_iters": 1}, {"totgauss": 0}, {"boost_silence": 0.0}, {"initial_beam": 100.0}])
def test_schedules_that_make_no_sense(changes):
    with pytest.raises(AsrtoolError, match="--"):
        replace(SCHEDULE, **changes)
