"""Alignment archives against those that Kaldi wrote."""

import shutil

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.io.alignment import read_alignments, read_text_ints, write_alignments, write_text_ints


def test_binary_equals_kaldi_text(kaldi_reference):
    binary = read_alignments(kaldi_reference / "gmm" / "tri3b_ali")
    text = read_text_ints(kaldi_reference / "gmm" / "tri3b_ali" / "ali_first300.text.gz")
    assert (len(binary), len(text)) == (2100, 300)
    for utterance, expected in text.items():
        np.testing.assert_array_equal(binary[utterance], expected)


def test_text_round_trip(tmp_path):
    values = {"天-1": np.array([1, 2, 3], np.int32), "b": np.zeros(0, np.int32)}
    for name in ("x", "x.gz"):
        write_text_ints(tmp_path / name, values)
        read = read_text_ints(tmp_path / name)
        assert {key: value.tolist() for key, value in read.items()} == {"天-1": [1, 2, 3], "b": []}
        assert read["b"].dtype == np.int32


def test_empty_archive(tmp_path):
    write_alignments(tmp_path / "ali.1.gz", {})
    assert read_alignments(tmp_path / "ali.1.gz") == {}


def test_damage_is_told(tmp_path):
    path = tmp_path / "ali.1"
    write_alignments(path, {"a-1": [1, 2, 3], "a-2": [4]})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(AsrtoolError, match=r"ali\.1: a-2: truncated"):
        read_alignments(path)
    path.write_bytes(whole + whole)
    with pytest.raises(AsrtoolError, match=r"ali\.1: a-1: occurs twice"):
        read_alignments(path)
    path.write_bytes(whole + b"rubbish")
    with pytest.raises(AsrtoolError, match=r"ali\.1: byte \d+: not an archive"):
        read_alignments(path)
    path.write_text("a-1 1 two 3\n")
    with pytest.raises(AsrtoolError, match=r"ali\.1: line 1: expected 'utterance integers"):
        read_alignments(path)


def test_missing_jobs_are_told(kaldi_reference, tmp_path):
    with pytest.raises(AsrtoolError, match="no alignments"):
        read_alignments(tmp_path)
    shutil.copy(kaldi_reference / "gmm" / "tri3b_ali" / "ali.1.gz", tmp_path)
    (tmp_path / "num_jobs").write_text("2\n")
    with pytest.raises(AsrtoolError, match=r"ali\.2\.gz is missing"):
        read_alignments(tmp_path)
