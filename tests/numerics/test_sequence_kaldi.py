"""Sequence criteria against what Kaldi made of the same lattices: posteriors, boosted ones, sMBR and MPFE, accuracies, MMI."""

import re

import numpy as np
import pytest
from sequence_reference import dense

from asrtool.criterion.sequence import PhoneTables, SequenceOptions, make_criterion
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_text_ints
from asrtool.io.kaldi_binary import KaldiReader
from asrtool.io.kaldi_table import MatrixReader
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.posterior_archive import read_posteriors

SCALE = 0.083333
ACCURACIES = {  # log, posteriors
    "smbr": (SequenceOptions("smbr", SCALE), "smbr_true.log", "smbr_post_true.txt.gz"),
    "smbr_former_silence": (SequenceOptions("smbr", SCALE, one_silence_class=False), "smbr_false.log", "smbr_post_false.txt.gz"),
    "mpfe": (SequenceOptions("mpfe", SCALE), "mpe_true.log", "mpe_post_true.txt.gz"),
    "mpfe_former_silence": (SequenceOptions("mpfe", SCALE, one_silence_class=False), "mpe_false.log", "mpe_post_false.txt.gz"),
}


@pytest.fixture(scope="module")
def directory(kaldi_reference):
    return kaldi_reference / "lattice"


@pytest.fixture(scope="module")
def tables(directory):
    with KaldiReader.open(directory / "final.mdl") as reader:
        model = TransitionModel.read(reader)
    return PhoneTables.from_model(model, map(int, (directory / "silence.csl").read_text().split(":")))


@pytest.fixture(scope="module")
def problems(directory):
    lattices = dict(read_lattices(directory / "raw_lat.gz"))
    loglikes = dict(MatrixReader(directory / "loglikes.ark").items())
    numerators = read_text_ints(directory / "ref_ali.txt")
    columns = [
        [loglikes[name] for name in lattices],
        [np.array(numerators[name], np.int32) for name in lattices],
        list(lattices.values()),
        list(lattices),
    ]
    assert len(lattices) == 12
    return columns


def by_pdf(post, tables):
    """Posteriors of transition-ids as float64 [T, P]."""
    result = np.zeros((post.num_frames, tables.num_pdfs))
    np.add.at(result, (post.frame, tables.tid_to_pdf[post.label]), post.weight.astype(np.float64))
    return result


def assert_posteriors(ours, theirs):
    """To 1e-4 relative of each, but for sums of terms that cancel, of which float32 text holds less."""
    assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def logged(path, pattern):
    return [float(number) for number in re.search(pattern, path.read_text()).groups()]


@pytest.mark.parametrize("variant", ACCURACIES)
def test_accuracies(directory, tables, problems, variant):
    options, log, archive = ACCURACIES[variant]
    outers = make_criterion(options, tables)(*problems)
    objective, frames = sum(outer.objective for outer in outers), sum(outer.num_frames for outer in outers)
    average, num_frames = logged(directory / log, r"frame-accuracy is (\S+) over (\d+) frames")
    assert [objective / frames, frames] == pytest.approx([average, num_frames], rel=1e-5)
    expected = dict(read_posteriors(directory / archive))
    for outer, name in zip(outers, problems[3]):
        assert_posteriors(dense(outer.gradient, tables.num_pdfs) / SCALE, by_pdf(expected[name], tables))


@pytest.mark.parametrize(("boost", "archive"), [(0.0, "post.txt.gz"), (0.1, "boosted_post_0.1.txt.gz")])
def test_mmi(directory, tables, problems, boost, archive):
    """Gradients are the numerator's minus Kaldi's posteriors, and the objective is nnet-train-mmi-sequential's."""
    options = SequenceOptions("mmi", SCALE, boost=boost, frame_rejection=False)
    outers = make_criterion(options, tables)(*problems)
    expected = dict(read_posteriors(directory / archive))
    silence_share = 0.0
    for outer, scores, numerator, name in zip(outers, problems[0], problems[1], problems[3]):
        frames, pdfs = np.arange(outer.num_frames), tables.tid_to_pdf[numerator]
        wanted = np.zeros_like(scores, np.float64)
        wanted[frames, pdfs] = 1
        assert_posteriors(wanted - dense(outer.gradient, tables.num_pdfs) / SCALE, by_pdf(expected[name], tables))
        assert outer.numerator_acoustic == pytest.approx(SCALE * scores[frames, pdfs].sum(dtype=np.float64), rel=1e-9)
        silence = tables.tid_is_silence[expected[name].label]
        silence_share += expected[name].weight[silence].sum(dtype=np.float64) - outer.silence_share * outer.num_frames
    assert silence_share == pytest.approx(0, abs=2e-3)
    if boost == 0:
        average, frames = logged(directory / "to_post.log", r"Overall average log-like/frame is (\S+) over (\d+) frames")
        assert sum(outer.denominator_loglike for outer in outers) / frames == pytest.approx(average, rel=1e-6)


def test_numerators_that_the_lattice_lacks(tables, problems):
    """Reference alignments that Kaldi's search lost, of which some frames are rejected; the best paths are all there."""
    outers = make_criterion(SequenceOptions("mmi", SCALE), tables)(*problems)
    assert [outer.numerator_in_lattice for outer in outers].count(False) == 6
    for outer in outers:
        assert outer.objective == outer.numerator_loglike - outer.denominator_loglike
        if outer.numerator_in_lattice:
            assert outer.objective < 0 and outer.rejected_frames == 0
        weights = np.bincount(outer.gradient.frame, outer.gradient.weight, outer.num_frames)
        np.testing.assert_allclose(weights, 0, atol=1e-6)
        empty = np.count_nonzero(np.diff(outer.gradient.frame_begin) == 0)
        assert empty >= outer.rejected_frames
    assert sum(outer.rejected_frames for outer in outers) == 24


def test_the_best_path_as_numerator(directory, tables, problems):
    """Its log weight, graph costs and all, is what lattice-best-path says of it."""
    best = read_text_ints(directory / "best_ali.txt")
    numerators = [np.array(best[name], np.int32) for name in problems[3]]
    costs = dict(re.findall(r"For utterance (\S+), best cost \S+ \+ \S+ = (\S+) over", (directory / "best_path.log").read_text()))
    outers = make_criterion(SequenceOptions("mmi", SCALE), tables)(problems[0], numerators, *problems[2:])
    for name, outer in zip(problems[3], outers):
        assert outer.numerator_in_lattice and outer.rejected_frames == 0
        assert outer.numerator_loglike == pytest.approx(-float(costs[name]), rel=5e-6)
        assert outer.objective < 0
