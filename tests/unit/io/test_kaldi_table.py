"""Matrix tables: Kaldi's own archives, kaldiio as the oracle, damage."""

import pickle

import kaldiio
import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_matrix import compress, decompress
from asrtool.io.kaldi_table import (
    MatrixReader,
    MatrixWriter,
    read_matrix_file,
    read_vectors,
    write_matrix_file,
    write_vectors,
)


@pytest.fixture
def matrices():
    random = np.random.default_rng(1)
    return {f"天-{rows}": random.normal(size=(rows, 5)).astype(np.float32) for rows in (1, 2, 3, 4, 5, 8, 9, 300)}


@pytest.mark.parametrize("method", [2, 3, 5])
def test_compressed_bytes_are_kaldis(kaldi_reference, tmp_path, method):
    reference = kaldi_reference / "feats" / f"fbank28_compressed{method}.ark"
    source = MatrixReader(kaldi_reference / "feats" / "fbank28_float.ark")
    with MatrixWriter(tmp_path / "x.ark", compression_method=method) as writer:
        for utterance, matrix in source.items():
            writer.write(utterance, matrix)
    assert (tmp_path / "x.ark").read_bytes() == reference.read_bytes()
    oracle = dict(kaldiio.load_ark(str(reference)))
    for utterance, matrix in MatrixReader(reference).items():
        np.testing.assert_allclose(matrix, oracle[utterance], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("method", [None, 1, 2, 3, 4, 5, 6, 7])
def test_round_trip_within_the_methods_step(tmp_path, matrices, method):
    ark, scp = tmp_path / "f.ark", tmp_path / "f.scp"
    values = {4: lambda x: np.round(x * 1000), 6: lambda x: np.round(np.abs(x) * 50), 7: lambda x: np.clip(np.abs(x), 0, 1)}
    matrices = {key: values.get(method, lambda x: x)(matrix) for key, matrix in matrices.items()}
    with MatrixWriter(ark, scp, compression_method=method) as writer:
        for utterance, matrix in matrices.items():
            writer.write(utterance, matrix)
    tolerance = {None: 0, 1: 0.1, 2: 0.1, 3: 1e-4, 4: 0.01, 5: 0.02, 6: 0.01, 7: 0.0021}[method]
    by_scp, by_ark = MatrixReader(scp), MatrixReader(f"ark:{ark}")
    assert by_scp.keys() == by_ark.keys() == list(matrices)
    assert len(by_scp) == len(by_ark) == 8
    for utterance, matrix in by_ark.items():
        np.testing.assert_allclose(matrix, matrices[utterance], atol=tolerance)
        np.testing.assert_array_equal(by_scp[utterance], matrix)
        np.testing.assert_array_equal(by_ark[utterance], matrix)
        np.testing.assert_allclose(
            kaldiio.load_mat(by_scp._entries[utterance]), matrix, rtol=1e-5, atol=1e-5 if method != 4 else 0.01
        )


def test_a_constant_and_an_empty_matrix():
    for method in (2, 3, 5):
        raw = compress(np.full((10, 2), 3.0, np.float32), method)
        token, _, rest = raw.partition(b" ")
        np.testing.assert_allclose(decompress(token.decode(), rest[:16], rest[16:]), 3.0, atol=1e-3)
    assert compress(np.zeros((0, 0), np.float32)) == b"CM " + b"\0" * 16


def test_text_doubles_pipes_and_ranges(tmp_path, matrices):
    with MatrixWriter(tmp_path / "t.ark", text=True) as writer:
        for utterance, matrix in matrices.items():
            writer.write(utterance, matrix)
    for source in (tmp_path / "t.ark", f"ark:cat {tmp_path}/t.ark |"):
        reader = MatrixReader(source)
        assert reader.keys() == list(matrices)
        for utterance, matrix in reader.items():
            np.testing.assert_allclose(matrix, matrices[utterance], rtol=1e-6)
    with MatrixWriter(tmp_path / "d.ark", tmp_path / "d.scp") as writer:
        writer.write("a", np.full((2, 2), 1e300))
    assert MatrixReader(tmp_path / "d.scp", dtype=np.float64)["a"][0, 0] == 1e300
    (tmp_path / "r.scp").write_text(f"part {tmp_path}/t.ark:{len('天-1 '.encode())}[0:0]\n")
    np.testing.assert_allclose(MatrixReader(tmp_path / "r.scp")["part"], matrices["天-1"], rtol=1e-6)


def test_reader_travels_to_other_processes(tmp_path, matrices):
    with MatrixWriter(tmp_path / "f.ark", tmp_path / "f.scp") as writer:
        writer.write("a", matrices["天-9"])
    reader = MatrixReader(tmp_path / "f.scp")
    first = reader["a"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader))["a"], first)


def test_nothing_appears_after_an_error(tmp_path):
    with pytest.raises(AsrtoolError, match="a: occurs twice"), MatrixWriter(tmp_path / "f.ark", tmp_path / "f.scp") as writer:
        writer.write("a", np.ones((2, 2), np.float32))
        writer.write("a", np.ones((2, 2), np.float32))
    assert list(tmp_path.iterdir()) == []


def test_single_matrices_and_vectors(tmp_path):
    matrix = np.arange(6, dtype=np.float64).reshape(2, 3)
    for binary in (True, False):
        write_matrix_file(tmp_path / "m", matrix, binary)
        np.testing.assert_array_equal(read_matrix_file(tmp_path / "m", np.float64), matrix)
        write_vectors(tmp_path / "v", {"a": matrix[0], "b": matrix[1]}, binary)
        read = read_vectors(tmp_path / "v")
        assert list(read) == ["a", "b"]
        np.testing.assert_array_equal(read["b"], matrix[1])


@pytest.fixture
def table(tmp_path):
    with MatrixWriter(tmp_path / "f.ark", tmp_path / "f.scp") as writer:
        for utterance in ("a-1", "a-2"):
            writer.write(utterance, np.ones((3, 2), np.float32))
    return tmp_path


def test_damage_names_file_and_utterance(table):
    whole = (table / "f.ark").read_bytes()
    (table / "f.ark").write_bytes(whole[:-3])
    for source in ("f.scp", "f.ark"):
        with pytest.raises(AsrtoolError, match=r"f\.ark: a-2: truncated"):
            dict(MatrixReader(table / source).items())
    with pytest.raises(AsrtoolError, match=r"f\.scp: a-3: not in this table"):
        MatrixReader(table / "f.scp")["a-3"]
    (table / "f.ark").unlink()
    with pytest.raises(AsrtoolError, match=r"f\.scp: a-1: .*f\.ark: no such file"):
        MatrixReader(table / "f.scp")["a-1"]


@pytest.mark.parametrize(
    ("scp", "message"),
    [
        ("a-1 f.ark:4\na-1 f.ark:4\n", "line 2: a-1: occurs twice"),
        ("a-1\n", "line 1: a-1: expected 'key value'"),
    ],
)
def test_bad_scp_is_told(tmp_path, scp, message):
    (tmp_path / "f.scp").write_text(scp)
    with pytest.raises(AsrtoolError, match=message):
        MatrixReader(tmp_path / "f.scp")


def test_an_offset_beyond_all_files_is_told(table):
    (table / "far.scp").write_text(f"a-1 {table}/f.ark:{'5' * 18}\na-2 {table}/f.ark:{'5' * 5000}\n")
    with pytest.raises(AsrtoolError, match=r"f\.ark: a-1: expected a token, found the end"):
        MatrixReader(table / "far.scp")["a-1"]
    with pytest.raises(AsrtoolError, match=r"far\.scp: a-2: .*(no such file|cannot be opened)"):
        MatrixReader(table / "far.scp")["a-2"]


def test_nan_is_told_with_its_frame(tmp_path):
    bad = np.ones((3, 2), np.float32)
    bad[1, 1] = np.nan
    with MatrixWriter(tmp_path / "f.ark", tmp_path / "f.scp") as writer:
        writer.write("a-1", bad)
    with pytest.raises(AsrtoolError, match=r"f\.ark: a-1: NaN or infinity in frame 1"):
        MatrixReader(tmp_path / "f.scp")["a-1"]
    assert np.isnan(MatrixReader(tmp_path / "f.scp", check_finite=False)["a-1"]).sum() == 1
