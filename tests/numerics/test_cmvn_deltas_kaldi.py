"""CMVN, differences and splicing against what Kaldi wrote."""

import numpy as np
import pytest

from asrtool.feat.cmvn import apply_cmvn, cmvn_stats
from asrtool.feat.deltas import add_deltas, splice
from asrtool.io.kaldi_table import MatrixReader


@pytest.fixture(scope="module")
def feats(kaldi_reference):
    return kaldi_reference / "feats"


@pytest.fixture(scope="module")
def fbank(feats):
    return dict(MatrixReader(feats / "fbank28_float.ark").items())


def test_cmvn_statistics(feats, fbank):
    for utterance, expected in MatrixReader(feats / "cmvn_per_utt.txt", dtype=np.float64).items():
        np.testing.assert_allclose(cmvn_stats(fbank[utterance]), expected, rtol=1e-6)


def test_apply_cmvn_with_variances(feats, fbank):
    stats = {utterance: cmvn_stats(features) for utterance, features in fbank.items()}
    for utterance, expected in MatrixReader(feats / "fbank28_cmvn_normvars.txt.gz").items():
        np.testing.assert_allclose(apply_cmvn(fbank[utterance], stats[utterance], norm_vars=True), expected, atol=2e-5)


def test_deltas(feats, fbank):
    for utterance, expected in MatrixReader(feats / "fbank28_deltas.txt.gz").items():
        np.testing.assert_allclose(add_deltas(fbank[utterance]), expected, atol=2e-5)


def test_splice(feats):
    mfcc = dict(MatrixReader(feats / "mfcc13.txt.gz").items())
    for utterance, expected in MatrixReader(feats / "mfcc13_splice3.txt.gz").items():
        np.testing.assert_array_equal(splice(mfcc[utterance], 3, 3), expected)
