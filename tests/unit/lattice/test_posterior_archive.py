"""Kaldi's archives of posteriors, binary and text, whole and damaged."""

import struct

import numpy as np
import pytest
from random_lattices import random_compact

from asrtool.errors import AsrtoolError
from asrtool.lattice.posterior_archive import read_posteriors, write_posteriors
from asrtool.lattice.posteriors import FramePosteriors, posteriors


@pytest.fixture
def items():
    empty = FramePosteriors(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    gaps = FramePosteriors(np.array([0, 0, 2, 2]), np.array([3, 70000], np.int32), np.array([0.25, -1.5e-7], np.float32))
    return {"utt1": posteriors(random_compact(1), 0.3), "nothing": empty, "gaps": gaps}


def same(found, expected, rtol):
    assert list(found) == list(expected)
    for utterance, post in expected.items():
        assert found[utterance].frame_begin.tolist() == post.frame_begin.tolist()
        assert found[utterance].label.tolist() == post.label.tolist()
        np.testing.assert_allclose(found[utterance].weight, post.weight, rtol=rtol)


@pytest.mark.parametrize(("name", "text"), [("post.ark", False), ("post.gz", False), ("post.txt", True), ("post.txt.gz", True)])
def test_read_back(tmp_path, items, name, text):
    write_posteriors(tmp_path / name, items.items(), text)
    same(dict(read_posteriors(tmp_path / name)), items, 1e-6 if text else 0)


def test_bytes_as_kaldi_writes_them(tmp_path, items):
    write_posteriors(tmp_path / "post.ark", [("u", items["gaps"])])
    frames = struct.pack("<bi", 4, 0) + struct.pack("<bibibfbibf", 4, 2, 4, 3, 4, 0.25, 4, 70000, 4, -1.5e-7)
    expected = b"u \0B" + struct.pack("<bi", 4, 3) + frames + struct.pack("<bi", 4, 0)
    assert (tmp_path / "post.ark").read_bytes() == expected
    write_posteriors(tmp_path / "post.txt", [("u", items["gaps"])], text=True)
    assert (tmp_path / "post.txt").read_text() == "u [ ] [ 3 0.25 70000 -1.5e-07 ] [ ] \n"


def test_damaged_archives_are_named(tmp_path, items):
    whole = tmp_path / "post.ark"
    write_posteriors(whole, [("utt1", items["utt1"])])
    data = whole.read_bytes()
    for end in (6, 8, 14, 20, len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:end])
        with pytest.raises(AsrtoolError, match=r"cut: .*again"):
            list(read_posteriors(tmp_path / "cut"))
    (tmp_path / "other").write_bytes(b"utt1 \0BFM \4\1\0\0\0")
    with pytest.raises(AsrtoolError, match="utt1: not a posterior archive"):
        list(read_posteriors(tmp_path / "other"))
    for line in ("u [ 1 ]", "u 1 2", "u [ 1 x ]", "u [ 1 0.5 ] 2"):
        (tmp_path / "text").write_text(f"u [ 1 0.5 ]\n{line}\n")
        with pytest.raises(AsrtoolError, match="text: line 2"):
            list(read_posteriors(tmp_path / "text"))
    with pytest.raises(AsrtoolError, match="no such file"):
        list(read_posteriors(tmp_path / "absent"))
