"""Training of the toy corpus on two backends, for the tests of torch on the CPU and on a GPU."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from gmm_backends import relative_error
from gmm_toy import RUN, SCHEDULE, write_data, write_lang

from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.features import open_features
from asrtool.gmm.fmllr import FmllrOptions
from asrtool.gmm.fmllr_speakers import read_transforms
from asrtool.gmm.model import read_model
from asrtool.io.alignment import read_alignments
from asrtool.train.align_fmllr import AlignFmllrOptions, align_fmllr
from asrtool.train.align_pass import AlignReport
from asrtool.train.gmm_align import AlignSiOptions, align_si
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_deltas import DeltasOptions, train_deltas
from asrtool.train.gmm_lda_mllt import LdaMlltOptions, train_lda_mllt
from asrtool.train.gmm_mono import MonoOptions, train_mono
from asrtool.train.gmm_passes import Accumulator
from asrtool.train.gmm_sat import SatOptions, train_sat
from asrtool.train.gmm_triphones import load_alignment

FMLLR = FmllrOptions(min_count=200)
TRIPHONES = replace(SCHEDULE, num_iters=4, max_iter_inc=2, totgauss=70, realign_iters=(2,))
SPLICED = {"splice_opts": "--left-context=1 --right-context=1", "dim": 5, "mllt_iters": (2,)}
Train = Callable[[Path, Path, Path, Backend], AlignReport | None]
"""(data directory, lang, output, backend); alignments come from the directory "mono" beside the data."""


def make_corpus(root: Path) -> Path:
    """Data, lang and a monophone model."""
    lang = write_lang(root)
    write_data(root / "data")
    train_mono(root / "data", lang, root / "mono", MonoOptions(SCHEDULE, RUN))
    return root


def mono(data: Path, lang: Path, out: Path, backend: Backend) -> None:
    schedule = replace(SCHEDULE, num_iters=3, realign_iters=(1, 2))
    train_mono(data, lang, out, MonoOptions(schedule, replace(RUN, backend=backend)))


def deltas(data: Path, lang: Path, out: Path, backend: Backend) -> None:
    run = replace(RUN, backend=backend, num_threads=2)
    train_deltas(data, lang, data.parent / "mono", out, DeltasOptions(40, TRIPHONES, run=run))


def lda_mllt(data: Path, lang: Path, out: Path, backend: Backend) -> None:
    run = replace(RUN, backend=backend, delta_opts="")
    train_lda_mllt(data, lang, data.parent / "mono", out, LdaMlltOptions(30, TRIPHONES, run=run, **SPLICED))


def sat(data: Path, lang: Path, out: Path, backend: Backend) -> None:
    run = replace(RUN, backend=backend, delta_opts="")
    options = SatOptions(30, TRIPHONES, run=run, fmllr=FMLLR, fmllr_iters=(2,))
    train_sat(data, lang, data.parent / "mono", out, options)


def aligned_si(data: Path, lang: Path, out: Path, backend: Backend) -> AlignReport:
    options = AlignSiOptions(SCHEDULE.align, replace(RUN, backend=backend, num_threads=3), boost_silence=1.25)
    return align_si(data, lang, data.parent / "mono", out, options)


def aligned_fmllr(data: Path, lang: Path, out: Path, backend: Backend) -> AlignReport:
    options = AlignFmllrOptions(SCHEDULE.align, replace(RUN, backend=backend), boost_silence=1.25, fmllr=FMLLR)
    return align_fmllr(data, lang, data.parent / "mono", out, options)


TRAININGS: dict[str, Train] = {
    "mono": mono,
    "deltas": deltas,
    "lda_mllt": lda_mllt,
    "sat": sat,
    "align_si": aligned_si,
    "align_fmllr": aligned_fmllr,
}


def compare(train: Train, corpus: Path, out: Path, backend: Backend) -> None:
    """Trains on both backends and asserts that the results are the same but for rounding."""
    reports = [
        train(corpus / "data", corpus / "lang", out / name, one) for name, one in (("cpu", CPU), ("other", backend))
    ]  # fmt: skip
    if reports[0] is not None:
        assert np.isclose(reports[0].loglike, reports[1].loglike, rtol=1e-5)
    (transitions, expected), (_, found) = (read_model(out / name / "final.mdl") for name in ("cpu", "other"))
    assert np.array_equal(found.pdf_begin, expected.pdf_begin)
    for one, two in ((found.means, expected.means), (found.variances, expected.variances)):
        difference = np.abs(one - two).max(axis=1)
        # two Gaussians that were one an iteration ago are as likely to be split again: rounding decides
        assert np.quantile(difference, 0.9) < 2e-4 and difference.max() < 0.1
    if (out / "cpu" / "loglikes.json").is_file():
        one, two = ((out / name / "loglikes.json").read_text().split() for name in ("cpu", "other"))
        assert len(one) == len(two) > 4
        assert all(np.isclose(float(a.strip("}],")), float(b.strip("}],")), rtol=1e-5) for a, b in zip(one, two) if "." in a)
    ours, theirs = (read_alignments(out / name) for name in ("cpu", "other"))
    assert ours.keys() == theirs.keys()
    same = np.concatenate([ours[name] == theirs[name] for name in ours])
    assert same.mean() > 0.999, "a path differs only where two are equally likely"
    one, two = (read_transforms(out / name) for name in ("cpu", "other"))
    assert one.keys() == two.keys()
    for speaker, matrix in one.items():
        assert np.abs(matrix - two[speaker]).max() < 1e-3
    statistics_agree(corpus, out / "cpu", transitions.tid_to_pdf, backend)


def statistics_agree(corpus: Path, directory: Path, pdf_of_tid: np.ndarray, backend: Backend) -> None:
    """One EM pass with the same model and alignment: statistics to 1e-5 and the same objective."""
    _, model = read_model(directory / "final.mdl")
    source = open_features(corpus / "data", directory)
    frames = GmmCorpus(source, source.data.text, batch_frames=2500)
    alignment, found = load_alignment(frames, directory), []
    with ThreadPoolExecutor(2) as pool:
        for one in (CPU, backend):
            found.append(Accumulator(frames, alignment, pdf_of_tid, model.num_pdfs, one).collect(model, pool, 2))
    assert found[0].num_frames == found[1].num_frames == np.count_nonzero(alignment)
    assert np.isclose(found[0].loglike, found[1].loglike, rtol=1e-6)
    assert relative_error(found[1].gaussians, found[0].gaussians) < 1e-5
