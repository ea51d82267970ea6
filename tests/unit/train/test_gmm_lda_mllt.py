"""Training with LDA and MLLT on a synthetic corpus, and a corpus whose features are transformed."""

from dataclasses import replace

import numpy as np
import pytest
from gmm_toy import RUN, SCHEDULE, Killed, frame_accuracy, kill_after, results, write_data, write_lang

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.gmm.feature_options import parse_feature_options
from asrtool.gmm.features import open_features
from asrtool.gmm.model import read_model
from asrtool.io.alignment import read_alignments
from asrtool.io.kaldi_table import read_matrix_file
from asrtool.train.gmm_align import AlignSiOptions, align_si
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_lda_mllt import LdaMlltOptions, train_lda_mllt
from asrtool.train.gmm_mono import MonoOptions, train_mono
from asrtool.tree.context_dependency import ContextDependency

SPLICE = "--left-context=1 --right-context=1"
LDA_RUN = replace(RUN, delta_opts="")
OPTIONS = LdaMlltOptions(
    30, replace(SCHEDULE, totgauss=60, realign_iters=(3, 6)), run=LDA_RUN, dim=5, splice_opts=SPLICE, mllt_iters=(2, 5)
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("lda")
    lang = write_lang(root)
    truth = write_data(root / "data")
    train_mono(root / "data", lang, root / "mono", MonoOptions(SCHEDULE, RUN))
    train_lda_mllt(root / "data", lang, root / "mono", root / "tri", OPTIONS)
    return root, truth


def all_results(directory):
    return [*results(directory), *((directory / name).read_bytes() for name in ("final.mat", "full.mat", "splice_opts"))]


def test_the_trained_directory(trained):
    root, truth = trained
    assert frame_accuracy(root / "tri", truth) > 0.9
    matrix = read_matrix_file(root / "tri" / "final.mat")
    parts = [read_matrix_file(root / "tri" / f"{name}.mat.new") for name in (5, 2)]
    np.testing.assert_allclose(matrix, parts[0] @ parts[1] @ read_matrix_file(root / "tri" / "0.mat"), atol=1e-5)
    assert matrix.shape == (5, 18) and read_matrix_file(root / "tri" / "full.mat").shape == (18, 18)
    transition_model, model = read_model(root / "tri" / "final.mdl")
    assert model.dim == 5
    log = (root / "tri" / "iterations.log").read_text()
    assert log.count("MLLT gains") == 2 and "LDA: " in log
    features = open_features(root / "data", root / "tri")
    alignment = read_alignments(root / "tri")
    name = features.utterances()[3]
    loglikes = model.loglikes(features(name))
    pdfs = transition_model.tid_to_pdf[alignment[name]]
    own = loglikes[np.arange(len(pdfs)), pdfs].mean()
    assert own > loglikes.mean() + 5, "the model belongs to the features after final.mat"


def test_align_with_it(trained, tmp_path):
    root, truth = trained
    align_si(root / "data", root / "lang", root / "tri", tmp_path / "ali", AlignSiOptions(SCHEDULE.align, LDA_RUN))
    assert frame_accuracy(tmp_path / "ali", truth) > 0.9
    for name in ("final.mat", "full.mat", "splice_opts", "cmvn_opts"):
        assert (tmp_path / "ali" / name).read_bytes() == (root / "tri" / name).read_bytes()
    align_si(root / "data", root / "lang", root / "mono", tmp_path / "ali", AlignSiOptions(SCHEDULE.align, RUN))
    assert not (tmp_path / "ali" / "final.mat").exists(), "a directory used again keeps nothing of the other model"


@pytest.mark.parametrize("number", [2, 3, 6])
def test_killed_and_resumed(trained, tmp_path, monkeypatch, number):
    root, _ = trained
    arguments = (root / "data", root / "lang", root / "mono", tmp_path / "tri")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, number)
        train_lda_mllt(*arguments, OPTIONS)
    train_lda_mllt(*arguments, replace(OPTIONS, run=replace(LDA_RUN, num_threads=2)))
    assert all_results(tmp_path / "tri") == all_results(root / "tri")


def test_a_matrix_to_begin_with_and_less_context(trained, tmp_path):
    root, truth = trained
    matrix = root / "tri" / "final.mat"
    options = replace(OPTIONS, lda_matrix=matrix, mllt_iters=(), context_width=2, central_position=1)
    train_lda_mllt(root / "data", root / "lang", root / "mono", tmp_path / "tri", options)
    np.testing.assert_array_equal(read_matrix_file(tmp_path / "tri" / "final.mat"), read_matrix_file(matrix))
    assert frame_accuracy(tmp_path / "tri", truth) > 0.9
    assert ContextDependency.read_file(tmp_path / "tri" / "tree").context_width == 2
    with pytest.raises(AsrtoolError, match="--context-opts: width 5"):
        replace(OPTIONS, context_width=5, central_position=2)


@pytest.fixture
def data(trained):
    return DataDir.load(trained[0] / "data")


def make_corpus(data, memory_limit_mib):
    return GmmCorpus(FeaturePipeline(data, parse_feature_options("", RUN.delta_opts)), data.text, memory_limit_mib, 1500)


@pytest.mark.parametrize("memory_limit_mib", [100, 0])
def test_transforms_of_a_corpus(data, memory_limit_mib):
    random = np.random.default_rng(0)
    corpus, plain = make_corpus(data, memory_limit_mib), make_corpus(data, 100)
    matrix, offset = random.standard_normal((12, 13)), random.standard_normal((12, 12))
    transforms = {speaker: random.standard_normal((12, 13)) for speaker in ("s0", "s2")}
    corpus.features(0)  # in memory, or the next one read ahead, when the transforms come
    corpus.transform(matrix)
    corpus.transform(offset)
    corpus.set_speaker_transforms({"s1": transforms["s0"]})
    corpus.features(1)
    corpus.set_speaker_transforms(transforms)
    for batch in (1, 0, 2):
        base = (plain.features(batch) @ matrix[:, :12].T + matrix[:, 12]) @ offset.T
        np.testing.assert_allclose(corpus.base_features(batch), base, rtol=1e-3, atol=1e-2)
        expected = base.copy()
        for index in range(*corpus.batches[batch]):
            transform = transforms.get(corpus.utterances[index][:2])
            start = corpus.batch_frames(batch).start
            at = slice(corpus.frames_of(index).start - start, corpus.frames_of(index).stop - start)
            if transform is not None:
                expected[at] = base[at] @ transform[:, :12].T + transform[:, 12]
        np.testing.assert_allclose(corpus.features(batch), expected, rtol=1e-3, atol=2e-2)
    again = make_corpus(data, 100)
    again.transform(matrix)
    again.transform(offset)
    np.testing.assert_array_equal(again.features(1), corpus.base_features(1))
    corpus.set_speaker_transforms({})
    np.testing.assert_array_equal(corpus.features(1), corpus.base_features(1))


def test_transforms_that_do_not_fit(data):
    corpus = make_corpus(data, 100)
    with pytest.raises(AsrtoolError, match=r"the transform of speaker 's1' is \(12, 14\) or not finite; features have 12"):
        corpus.set_speaker_transforms({"s1": np.zeros((12, 14))})
    with pytest.raises(AsrtoolError, match="a transform of all features is"):
        corpus.transform(np.full((12, 12), np.nan))
