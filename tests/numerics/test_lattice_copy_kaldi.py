"""lattice-copy gives the bytes that Kaldi wrote, between binary and text, and back from the other kind of lattice."""

import gzip
import io
import sys

import pytest

from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.lattice.archive import read_lattices


@pytest.fixture(scope="module")
def folder(kaldi_reference):
    return kaldi_reference / "lattice"


def unpacked(path) -> bytes:
    return gzip.decompress(path.read_bytes())


def copy(*arguments: object) -> None:
    assert cli.main(["lattice-copy", *map(str, arguments)]) == 0


def test_kaldis_bytes_in_binary_and_text(folder, tmp_path):
    binary, text = folder / "compact_lat.gz", folder / "compact_lat.text.gz"
    copy(binary, f"ark:{tmp_path}/binary")
    assert (tmp_path / "binary").read_bytes() == unpacked(binary)
    for source in (binary, text):
        copy(source, f"ark,t:{tmp_path}/text")
        assert (tmp_path / "text").read_bytes() == unpacked(text)


def test_the_other_kind_and_back(folder, tmp_path):
    """Compact lattices as state-level ones and again compact, with strings of one; state-level again they are the same."""
    (tmp_path / "few").write_text("1447-014470060\n2430-024300061\n")
    copy("--write-compact", "false", "--include", tmp_path / "few", folder / "compact_lat.gz", f"ark,t:{tmp_path}/1")
    copy("--write-compact", "true", tmp_path / "1", f"ark,t:{tmp_path}/2")
    copy("--write-compact", "false", tmp_path / "2", f"ark,t:{tmp_path}/3")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "3").read_bytes() != (tmp_path / "2").read_bytes()
    (tmp_path / "list").write_text("1447-014470060\n")  # one of Kaldi's state-level lattices
    copy("--write-compact", "true", "--include", tmp_path / "list", folder / "raw_lat.gz", f"{tmp_path}/raw.gz")
    copy("--write-compact", "false", f"{tmp_path}/raw.gz", f"ark,t:{tmp_path}/raw")
    copied = (tmp_path / "raw").read_bytes()
    assert len(copied) > 10000 and unpacked(folder / "raw_lat.text.gz").startswith(copied)


def test_some_utterances_and_standard_output(folder, tmp_path, monkeypatch):
    names = [name for name, _ in read_lattices(folder / "compact_lat.gz")]
    (tmp_path / "list").write_text(f"{names[2]} and more\n{names[0]}\n")
    written = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", written)
    for option, expected in (("--include", [names[0], names[2]]), ("--exclude", [names[1], *names[3:]])):
        written.buffer.seek(0)
        written.buffer.truncate()
        assert cli.main(["lattice-copy", option, f"{tmp_path}/list", str(folder / "compact_lat.gz"), "ark,t:-"]) == 0
        lines = written.buffer.getvalue().decode().split("\n")
        assert [line.strip() for line in lines if line.strip() and "\t" not in line and "-" in line] == expected
    (tmp_path / "list").write_text("nobody\n")
    include = ["lattice-copy", "--include", f"{tmp_path}/list", str(folder / "compact_lat.gz"), f"{tmp_path}/none"]
    assert cli.main(include) == 1 and not (tmp_path / "none").exists()
    assert cli.main([*include, "--ignore-missing", "true"]) == 0 and (tmp_path / "none").read_bytes() == b""


def test_a_damaged_lattice(folder, tmp_path):
    data = unpacked(folder / "compact_lat.text.gz").replace(b"1\t2\t1264", b"1\t0\t1264", 1)
    (tmp_path / "cycle").write_bytes(data)
    from asrtool.bin.lattice_copy import main

    with pytest.raises(AsrtoolError, match=r"cycle: 1447-014470060: state .* is on a cycle"):
        main([f"{tmp_path}/cycle", f"{tmp_path}/out"])
    assert not (tmp_path / "out").exists()
