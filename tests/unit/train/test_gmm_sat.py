"""Speaker adaptive training and alignment on a synthetic corpus whose speakers each have a channel of their own."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gmm_toy import RUN, SCHEDULE, Killed, frame_accuracy, kill_after, results, write_data, write_lang

from asrtool.errors import AsrtoolError
from asrtool.gmm.estimate import MleOptions
from asrtool.gmm.features import open_features
from asrtool.gmm.fmllr import FmllrOptions
from asrtool.gmm.fmllr_speakers import read_transforms, write_transforms
from asrtool.gmm.fmllr_statistics import silence_weights
from asrtool.gmm.model import read_model
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.io.kaldi_table import MatrixReader, MatrixWriter
from asrtool.train.align_fmllr import AlignFmllrOptions, align_fmllr
from asrtool.train.fmllr_data import write_fmllr_data
from asrtool.train.gmm_align import AlignSiOptions, align_si
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_fmllr import estimate_speakers
from asrtool.train.gmm_mono import MonoOptions, train_mono
from asrtool.train.gmm_sat import SatOptions, train_sat
from asrtool.train.gmm_triphones import load_alignment

FMLLR = FmllrOptions(min_count=200)
SAT_RUN = replace(RUN, delta_opts="")
OPTIONS = SatOptions(
    30, replace(SCHEDULE, num_iters=8, totgauss=45, realign_iters=(3, 6)), run=SAT_RUN, fmllr=FMLLR, fmllr_iters=(2, 4)
)  # fmt: skip
ALIGN = AlignFmllrOptions(SCHEDULE.align, SAT_RUN, fmllr=FMLLR)


def give_channels(data: Path) -> None:
    """Each speaker's features go through an affine transform."""
    random = np.random.default_rng(11)
    channels = {
        speaker: (np.eye(6) + 0.25 * random.normal(size=(6, 6)), 2 * random.normal(size=6)) for speaker in ("s0", "s1", "s2")
    }
    with MatrixWriter(data / "new.ark", data / "new.scp") as writer:
        for utterance, matrix in MatrixReader(data / "feats.scp").items():
            square, offset = channels[utterance[:2]]
            writer.write(utterance, (matrix @ square.T + offset).astype(np.float32))
    (data / "new.scp").replace(data / "feats.scp")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("sat")
    lang = write_lang(root)
    truth = write_data(root / "data", 45)
    train_mono(root / "data", lang, root / "mono", MonoOptions(SCHEDULE, RUN))
    give_channels(root / "data")
    train_sat(root / "data", lang, root / "mono", root / "sat", OPTIONS)
    return root, truth


def all_results(directory: Path) -> list[bytes]:
    return [*results(directory), *((directory / name).read_bytes() for name in ("final.alimdl", "trans.1", "cmvn_opts"))]


def spread(features, alignments: dict[str, np.ndarray], model: TransitionModel) -> float:
    """How far speakers' means of the same phone's state lie apart, in standard deviations."""
    speakers = ("s0", "s1", "s2")
    rows = {speaker: np.concatenate([features(name) for name in alignments if name[:2] == speaker]) for speaker in speakers}
    tids = {speaker: np.concatenate([alignments[name] for name in alignments if name[:2] == speaker]) for speaker in speakers}
    apart = []
    state_of_tid = 3 * model.tid_to_phone + model.tid_to_hmm_state
    for state in np.unique(state_of_tid[model.tid_to_phone > 2]):  # 1 and 2 are silence
        its = [rows[speaker][state_of_tid[tids[speaker]] == state] for speaker in speakers]
        if min(map(len, its)) >= 20:
            means = np.stack([one.mean(axis=0) for one in its])
            apart.append(means.std(axis=0).mean() / np.concatenate([one - one.mean(axis=0) for one in its]).std(axis=0).mean())
    assert apart
    return float(np.mean(apart))


def test_the_trained_directory(trained):
    root, truth = trained
    assert frame_accuracy(root / "sat", truth) > 0.9
    transforms = read_transforms(root / "sat")
    assert sorted(transforms) == ["s0", "s1", "s2"] and transforms["s0"].shape == (12, 13)
    assert (root / "sat" / "delta_opts").read_text() == (root / "mono" / "delta_opts").read_text()
    assert not list((root / "sat").glob("*.trans.*")), "what is for going on is removed in the end"
    log = (root / "sat" / "iterations.log").read_text()
    assert log.count("fMLLR of 3 speakers") == 3 and "a frame gained" in log
    plain, model = open_features(root / "data", root / "sat"), TransitionModel.read_file(root / "sat" / "final.mdl")
    alignments = read_alignments(root / "sat")
    before, after = (spread(one, alignments, model) for one in (plain, plain.with_speaker_transforms(transforms)))
    assert after < 0.35 * before, "transformed, the speakers' features lie on each other"


def test_alignment_model_is_that_of_the_plain_features(trained):
    """Sums over all frames in float64, with posteriors of the adapted model on adapted features."""
    root, _ = trained
    transition_model, model = read_model(root / "sat" / "final.mdl")
    ali_transitions, ali_model = read_model(root / "sat" / "final.alimdl")
    assert (ali_transitions.tuples == transition_model.tuples).all() and (ali_model.pdf_begin == model.pdf_begin).all()
    np.testing.assert_array_equal(ali_transitions.log_probs, transition_model.log_probs)
    plain = open_features(root / "data", root / "sat")
    adapted = plain.with_speaker_transforms(read_transforms(root / "sat"))
    sums = np.zeros((model.num_gaussians, 1 + 2 * model.dim))
    for utterance, tids in read_alignments(root / "sat").items():
        for x, y, pdf in zip(adapted(utterance).astype(float), plain(utterance).astype(float), transition_model.tid_to_pdf[tids]):
            its = np.arange(*model.pdf_begin[pdf : pdf + 2])
            variances = model.variances[its]
            scores = np.log(model.weights[its]) - 0.5 * ((x - model.means[its]) ** 2 / variances + np.log(variances)).sum(axis=1)
            posterior = np.exp(scores - np.logaddexp.reduce(scores))
            sums[its] += posterior[:, None] * np.concatenate([[1.0], y, y**2])
    seen = sums[:, 0] > 1.01 * MleOptions().min_gaussian_occupancy
    assert seen.mean() > 0.8
    mean = sums[seen, 1:13] / sums[seen, :1]
    variance = np.maximum(sums[seen, 13:] / sums[seen, :1] - mean**2, MleOptions().min_variance)
    np.testing.assert_allclose(ali_model.means[seen], mean, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(ali_model.variances[seen], variance, rtol=1e-2, atol=1e-3)
    unseen = sums[:, 0] < 0.99 * MleOptions().min_gaussian_occupancy
    np.testing.assert_array_equal(ali_model.means_invvars[unseen], model.means_invvars[unseen])


@pytest.mark.parametrize("number", [2, 3, 7])
def test_killed_and_resumed(trained, tmp_path, monkeypatch, number):
    root, _ = trained
    arguments = (root / "data", root / "lang", root / "mono", tmp_path / "sat")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, number)
        train_sat(*arguments, OPTIONS)
    train_sat(*arguments, replace(OPTIONS, run=replace(SAT_RUN, num_threads=2)))
    assert all_results(tmp_path / "sat") == all_results(root / "sat")


def test_align_with_it(trained, tmp_path, capsys):
    root, truth = trained
    report = align_fmllr(root / "data", root / "lang", root / "sat", tmp_path / "ali", ALIGN)
    assert report.aligned == 45 and frame_accuracy(tmp_path / "ali", truth) > 0.9
    log = capsys.readouterr().err
    assert log.count("aligned 45 utterances") == 2 and "fMLLR of 3 speakers" in log
    for name in ("final.mdl", "final.alimdl", "tree", "delta_opts", "final.occs"):
        assert (tmp_path / "ali" / name).read_bytes() == (root / "sat" / name).read_bytes()
    corpus = GmmCorpus(open_features(root / "data", root / "sat"), {name: ["ab"] for name in truth})
    transforms, model = read_transforms(tmp_path / "ali"), TransitionModel.read_file(root / "sat" / "final.mdl")
    plain, alignments = open_features(root / "data", root / "sat"), read_alignments(tmp_path / "ali")
    before, after = (spread(one, alignments, model) for one in (plain, plain.with_speaker_transforms(transforms)))
    assert after < 0.35 * before
    alignment = load_alignment(corpus, tmp_path / "ali")
    assert (alignment > 0).all()
    # the second model starts from these transforms
    train_sat(root / "data", root / "lang", tmp_path / "ali", tmp_path / "again", replace(OPTIONS, fmllr_iters=()))
    assert "transforms of 3 speakers from" in (tmp_path / "again" / "iterations.log").read_text()
    for speaker, one in read_transforms(tmp_path / "again").items():
        np.testing.assert_array_equal(one, transforms[speaker])
    # an alignment without transforms leaves none for others to take
    align_si(root / "data", root / "lang", root / "mono", tmp_path / "ali", AlignSiOptions(SCHEDULE.align, RUN, 1.0))
    assert not read_transforms(tmp_path / "ali") and not (tmp_path / "ali" / "final.alimdl").exists()


def test_estimates_do_not_depend_on_batches_or_threads(trained, monkeypatch):
    root, truth = trained
    texts = {name: ["ab"] for name in truth}
    transition_model, model = read_model(root / "sat" / "final.mdl")
    weights = silence_weights(transition_model, [1, 2], 0.0)
    found = []
    for batch_frames, part_frames, threads in ((10**6, 1 << 14, 1), (10**6, 1 << 14, 2), (1500, 700, 2)):
        monkeypatch.setattr("asrtool.train.gmm_fmllr.PART_FRAMES", part_frames)
        corpus = GmmCorpus(open_features(root / "data", root / "sat"), texts, 2048, batch_frames)
        alignment = load_alignment(corpus, root / "sat")
        with ThreadPoolExecutor(threads) as pool:
            found.append(estimate_speakers(corpus, alignment, transition_model.tid_to_pdf, weights, model, FMLLR, pool))
    speech = sum(int((weights[row] > 0).sum()) for row in read_alignments(root / "sat").values())
    for speaker, one in found[0].items():
        np.testing.assert_array_equal(one.transform, found[1][speaker].transform)
        np.testing.assert_allclose(one.transform, found[2][speaker].transform, atol=1e-3)
    assert sum(one.count for one in found[2].values()) == pytest.approx(speech, rel=1e-6)


def test_bad_input(trained, tmp_path, capsys):
    root, _ = trained
    with pytest.raises(AsrtoolError, match="a directory of its own"):
        train_sat(root / "data", root / "lang", root / "mono", root / "mono", OPTIONS)
    with pytest.raises(AsrtoolError, match="--silence-weight must be"):
        replace(OPTIONS, silence_weight=2.0)
    source = tmp_path / "source"
    source.mkdir()
    for path in (root / "sat").iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    (source / "delta_opts").unlink()
    with pytest.raises(AsrtoolError, match=r"features have dimension 18, .* takes 12"):
        align_fmllr(root / "data", root / "lang", source, tmp_path / "ali", ALIGN)
    (source / "trans.1").unlink()
    with pytest.raises(AsrtoolError, match="takes features of dimension 12, found 18"):
        train_sat(root / "data", root / "lang", source, tmp_path / "tri", OPTIONS)
    (source / "final.alimdl").write_bytes((root / "mono" / "final.mdl").read_bytes())
    with pytest.raises(AsrtoolError, match=r"final\.alimdl: not the same as final\.mdl"):
        align_fmllr(root / "data", root / "lang", source, tmp_path / "ali", ALIGN)


def test_features_for_networks(trained, tmp_path, capsys):
    root, truth = trained
    target = tmp_path / "fmllr"
    write_fmllr_data(root / "data", root / "sat", root / "sat", target, tmp_path / "data")
    expected = open_features(root / "data", root / "sat", read_transforms(root / "sat"))
    written = dict(MatrixReader(target / "feats.scp").items())
    assert sorted(written) == sorted(truth)
    for name in list(written)[::7]:
        np.testing.assert_array_equal(written[name], expected(name))
    assert not (target / "cmvn.scp").exists() and (target / "text").read_bytes() == (root / "data/text").read_bytes()
    write_fmllr_data(root / "data", root / "sat", None, tmp_path / "plain", tmp_path / "data")
    np.testing.assert_array_equal(MatrixReader(tmp_path / "plain/feats.scp")[name], expected.base(name))
    with pytest.raises(AsrtoolError, match=r"no trans\.\*"):
        write_fmllr_data(root / "data", root / "sat", root / "mono", target, tmp_path / "data")
    with pytest.raises(AsrtoolError, match="a directory of their own"):
        write_fmllr_data(target, root / "sat", root / "sat", target, tmp_path / "data")
    write_transforms(tmp_path, {"s0": np.eye(12, 13, dtype=np.float32), "s1": np.eye(12, 13, dtype=np.float32)})
    with pytest.raises(AsrtoolError, match="15 of 45"):
        write_fmllr_data(root / "data", root / "sat", tmp_path, tmp_path / "some", tmp_path / "data")
    assert "speaker 's2' has no transform in" in capsys.readouterr().err


def test_archives_of_transforms(tmp_path):
    transforms = {speaker: np.full((2, 3), value, np.float32) for value, speaker in enumerate("ba")}
    (tmp_path / "trans.2").write_text("left over")
    write_transforms(tmp_path, transforms)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trans.1"]
    assert (tmp_path / "trans.1").read_bytes().startswith(b"a \0BFM \4\2\0\0\0\4\3\0\0\0")
    (tmp_path / "trans.10").write_text("c  [\n 1 0 2\n 0 1 3 ]\n")  # as Kaldi's text archives are, and split in any way
    found = read_transforms(tmp_path)
    assert list(found) == ["a", "b", "c"] and found["c"].tolist() == [[1, 0, 2], [0, 1, 3]]
    (tmp_path / "trans.11").write_text("b  [\n 1 0 2\n 0 1 3 ]\n")
    with pytest.raises(AsrtoolError, match=r"trans\.11: speaker 'b' occurs twice"):
        read_transforms(tmp_path)
    (tmp_path / "trans.11").write_text("d  [\n 1 0 2 4\n 0 1 3 4 ]\n")
    with pytest.raises(AsrtoolError, match=r"speaker 'd': a transform of shape \(2, 4\)"):
        read_transforms(tmp_path)
