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


def test_little_of_a_long_archive_is_held_at_a_time(tmp_path, monkeypatch):
    """Entries that lie across the borders of what is read at a time, and a last one that is cut off."""
    written = {f"utterance-{number}": np.arange(number, dtype=np.int32) for number in (0, 1, 2, 3, 5, 40, 7)}
    path = tmp_path / "ali.1.gz"
    write_alignments(path, written)
    write_alignments(tmp_path / "ali.1", written)
    whole = (tmp_path / "ali.1").read_bytes()
    for chunk in (1, 3, 16, 57, 1 << 20):
        monkeypatch.setattr("asrtool.io.alignment._CHUNK", max(chunk, 16))
        monkeypatch.setattr("asrtool.io.alignment._LONGEST_NAME", 30)
        for file in (path, tmp_path / "ali.1"):
            read = read_alignments(file)
            assert list(read) == list(written)
            assert all(np.array_equal(read[name], values) for name, values in written.items())
        for cut in (len(whole) - 1, len(whole) - 35, len(whole) - 36):
            (tmp_path / "cut").write_bytes(whole[:cut])
            with pytest.raises(AsrtoolError, match="utterance-7: truncated or damaged"):
                read_alignments(tmp_path / "cut")
        (tmp_path / "cut").write_bytes(whole + b"no space in so long a name as this one is")
        with pytest.raises(AsrtoolError, match=f"byte {len(whole)}: not an archive of integers"):
            read_alignments(tmp_path / "cut")
