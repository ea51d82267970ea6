"""A compact n-gram model of an ARPA file of any size: read once, block by block, sorted on disk where it is not sorted already.

Memory holds the words, a block of text, and what the system keeps of the files that it maps; the disk, beside the model, 16
bytes an n-gram until the model is whole (32 where n-grams come in another order than the file's own unigrams).
"""

import tempfile
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lm.arpa_text import BLOCK_BYTES, ArpaText
from asrtool.lm.compact_build import MAX_ORDER, Level, build
from asrtool.lm.compact_file import new_model_file
from asrtool.lm.compact_sort import KeyFile

LN_10 = float(np.log(10.0))
_NONE = np.empty(0, np.float32)


def build_from_arpa(
    arpa_path: str | Path, out_path: str | Path, bits: int = 0, unknown_word: str | None = None, block_bytes: int = BLOCK_BYTES
) -> list[int]:
    """Writes the compact model (see `CompactNgram`) of an ARPA file, gzipped or not.

    Args:
        bits: as `CompactNgram.from_model`.
        unknown_word: the unigram that stands for words outside; by default <unk> or <UNK>, where there is one.
        block_bytes: about how much text is held in memory at a time.

    Returns:
        the number of n-grams of each order.

    Raises:
        AsrtoolError: as `lm.arpa.read_arpa`, and when the order is above MAX_ORDER.
    """
    out_path = Path(out_path)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{out_path.name}.", dir=out_path.parent) as scratch,
        new_model_file(out_path) as file,
    ):
        text = ArpaText(arpa_path, unknown_word, block_bytes)
        levels = _read(text, Path(scratch))
        meta, _, tables = build(levels, bits, file.allocate)
        file.finish(meta, tables, text.vocabulary)
        return [len(level.costs) for level in levels]


def _read(text: ArpaText, scratch: Path) -> list[Level]:
    """The n-grams of each order, those from 2 in files of `scratch`."""
    order = len(text.declared)
    if order > MAX_ORDER:
        raise AsrtoolError(f"{text.path}: n-grams of order {order}: at most {MAX_ORDER} are possible")
    levels = [Level(np.empty(0, np.int64), _cost(text.log10_prob), _cost(text.log10_backoff) if order > 1 else _NONE)]
    for n in range(2, order + 1):
        shorter_keys = [level.keys for level in levels[1:]]
        file = KeyFile(scratch / str(n))
        for keys, log10_prob, log10_backoff in text.ngrams(n, shorter_keys):
            file.add(keys, _cost(log10_prob), _cost(log10_backoff))
        keys, costs, weights = file.sorted()
        if file.repeated >= 0:
            raise text.repeated(n, file.repeated, shorter_keys)
        levels.append(Level(keys, costs, weights if n < order else _NONE))
    text.finish()
    return levels


def _cost(log10: np.ndarray) -> np.ndarray:
    return (-LN_10 * log10).astype(np.float32)
