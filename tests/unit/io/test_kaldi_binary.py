"""Tokens and typed primitives: what is written is read, binary and text, and damage is told in one line."""

import gzip

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter


@pytest.mark.parametrize("name", ["object", "object.gz"])
@pytest.mark.parametrize("binary", [True, False])
def test_round_trip(tmp_path, binary, name):
    path = tmp_path / name
    vector = np.array([1.5, -2.25, 1e-7], np.float32)
    matrix = np.arange(6, dtype=np.float64).reshape(2, 3) / 4
    with KaldiWriter.open(path, binary) as writer:
        writer.write_token("<Thing>")
        writer.write_int(-7)
        writer.write_int(9, unsigned=True)
        writer.write_float(0.25)
        writer.write_double(-1e30)
        writer.write_bool(True)
        writer.write_bool(False)
        writer.newline()
        writer.write_int_vector([3, -1, 2])
        writer.write_int_vector([])
        writer.write_float_vector(vector)
        writer.write_matrix(matrix)
        writer.write_matrix(np.zeros((0, 0), np.float32))
        writer.write_token("</Thing>")
    with KaldiReader.open(path) as reader:
        assert reader.binary == binary
        assert reader.peek_token() == "<Thing>"
        assert reader.expect_token("<Other>", "<Thing>") == "<Thing>"
        assert [reader.read_int(), reader.read_int()] == [-7, 9]
        assert reader.read_float() == 0.25
        assert reader.read_float() == pytest.approx(-1e30)
        assert [reader.read_bool(), reader.read_bool()] == [True, False]
        assert reader.read_int_vector().tolist() == [3, -1, 2]
        assert reader.read_int_vector().tolist() == []
        np.testing.assert_array_equal(reader.read_float_vector(), vector)
        read = reader.read_matrix(dtype=None)
        assert read.dtype == (np.float64 if binary else np.float32)
        np.testing.assert_array_equal(read, matrix)
        assert reader.read_matrix().size == 0
        assert not reader.eof
        assert reader.read_token() == "</Thing>"
        assert reader.eof


def test_unsigned_size_byte_is_negative(tmp_path):
    with KaldiWriter.open(tmp_path / "x") as writer:
        writer.write_int(5, unsigned=True)
    assert (tmp_path / "x").read_bytes() == b"\0B\xfc\5\0\0\0"


def test_gz_bytes_do_not_depend_on_the_time(tmp_path):
    for name in ("a.gz", "b.gz"):
        with KaldiWriter.open(tmp_path / name) as writer:
            writer.write_token("<X>")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"\0B<X> "


def test_an_error_while_writing_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError), KaldiWriter.open(tmp_path / "x") as writer:
        writer.write_token("<X>")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def read_all(path):
    with KaldiReader.open(path) as reader:
        reader.expect_token("<M>")
        return reader.read_int(), reader.read_matrix()


@pytest.mark.parametrize("size", [1, 3, 6, 8, 12, 18, 25, 38])
def test_truncated_binary_names_the_file(tmp_path, size):
    path = tmp_path / "model"
    with KaldiWriter.open(path) as writer:
        writer.write_token("<M>")
        writer.write_int(1)
        writer.write_matrix(np.ones((2, 2), np.float32))
    whole = path.read_bytes()
    assert len(whole) == 2 + 4 + 5 + 13 + 16
    assert read_all(path)[1].shape == (2, 2)
    path.write_bytes(whole[:size])
    with pytest.raises(AsrtoolError, match=str(path)) as caught:
        read_all(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0B<N> ", "expected <M>, found '<N>'"),
        (b"<M> x ", "expected an integer"),
        (b"\0B<M> \7aaaa", "size byte 7"),
        (b"<M> 1 [ 1 2\n 3 ]\n", "differ in length"),
        (b"<M> 1 [ 1 2\n 3 x ]\n", "not a matrix of numbers"),
        (b"<M> 1 [ 1 2\n 3 4\n", "']' is missing"),
        (b"\xff\xfe\xff ", "not the kind"),
        (b"", "found the end"),
    ],
)
def test_wrong_content_is_told(tmp_path, content, message):
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(AsrtoolError) as caught:
        read_all(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_missing_file_and_damaged_gz(tmp_path):
    with pytest.raises(AsrtoolError, match="no such file"):
        KaldiReader.open(tmp_path / "absent")
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"hello" * 100)[:-9])
    with pytest.raises(AsrtoolError, match=r"x\.gz: damaged \.gz file"):
        KaldiReader.open(tmp_path / "x.gz")


def test_kaldi_text_model(kaldi_reference):
    """The first GMM of Kaldi's text model, token by token."""
    with KaldiReader.open(kaldi_reference / "gmm/mono/final.mdl.txt.gz") as reader:
        while reader.read_token() != "<NUMPDFS>":
            pass
        assert reader.read_int() == 127
        reader.expect_token("<DiagGMM>")
        reader.expect_token("<GCONSTS>")
        gconsts = reader.read_float_vector()
        reader.expect_token("<WEIGHTS>")
        assert reader.read_float_vector().sum() == pytest.approx(1, abs=1e-4)
        reader.expect_token("<MEANS_INVVARS>")
        assert reader.read_matrix().shape == (len(gconsts), 39)
