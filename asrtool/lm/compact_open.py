"""A language model in whatever form it is at hand."""

import tempfile
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import MAGIC as FST_MAGIC
from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable
from asrtool.lm.compact_arpa import build_from_arpa
from asrtool.lm.compact_file import MAGIC
from asrtool.lm.compact_grammar import compact_of_grammar
from asrtool.lm.compact_model import CompactNgram


def open_language_model(path: str | Path, words: SymbolTable) -> CompactNgram:
    """Opens a compact model, an ARPA file (gzipped or not), a G.fst, or a lang directory with a G.fst.

    An ARPA file is made a compact model in a temporary file each time: make one with build-lm-binary where it is large.

    Args:
        words: what G.fst's labels mean; a lang directory's own words.txt must be the same.
    """
    path = Path(path)
    if path.is_dir():
        own = SymbolTable.read(path / "words.txt")
        if own.symbol_to_id != words.symbol_to_id:
            raise AsrtoolError(f"{path}/words.txt is not the same as {words.name}; give an ARPA file instead of the directory")
        path = path / "G.fst"
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise AsrtoolError(f"{path}: no such file") from None
    if start == MAGIC:
        return CompactNgram.load(path)
    if start[:4] == FST_MAGIC.to_bytes(4, "little"):
        return compact_of_grammar(CsrGraph.from_fst_file(path), words, str(path))
    with tempfile.TemporaryDirectory() as directory:
        build_from_arpa(path, Path(directory) / "model")
        return CompactNgram.load(Path(directory) / "model")  # what is mapped stays after the name is gone
