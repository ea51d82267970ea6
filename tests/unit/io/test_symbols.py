"""Symbol tables."""

import pytest

from asrtool.errors import AsrtoolError
from asrtool.io.symbols import SymbolTable


def test_round_trip(tmp_path):
    table = SymbolTable.from_symbols(["<eps>", "天", "b"])
    table.write(tmp_path / "words.txt")
    assert (tmp_path / "words.txt").read_text(encoding="utf-8") == "<eps> 0\n天 1\nb 2\n"
    read = SymbolTable.read(tmp_path / "words.txt")
    assert read.id("天") == 1
    assert read.symbol(2) == "b"
    assert "b" in read
    assert "c" not in read
    assert len(read) == 3
    assert read.symbols() == ["<eps>", "天", "b"]
    with pytest.raises(AsrtoolError, match=r"words\.txt: no symbol 'c'"):
        read.id("c")
    with pytest.raises(AsrtoolError, match=r"words\.txt: no symbol with id 7"):
        read.symbol(7)


@pytest.mark.parametrize("content", ["a 1 2\n", "a x\n", "a 1\na 2\n", "a 1\nb 1\n"])
def test_bad_lines_are_named(tmp_path, content):
    (tmp_path / "w").write_text(content)
    with pytest.raises(AsrtoolError, match=r"w: line [12]: "):
        SymbolTable.read(tmp_path / "w")


def test_kaldi_words(kaldi_reference):
    table = SymbolTable.read(kaldi_reference / "lang" / "words.txt")
    assert table.symbol(0) == "<eps>"
    assert table.id("#0") == len(table) - 3
