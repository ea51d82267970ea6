"""C o LG by kaldifst, for comparison with ours."""

import kaldifst
import numpy as np

from asrtool.fst import openfst
from asrtool.graph.h_transducer import Meanings


def compose_context(
    disambiguation: list[int], context_width: int, central_position: int, fst: openfst.Fst
) -> tuple[openfst.Fst, list[list[int]]]:
    """C o fst, sorted by input label, and what its input labels stand for; changes `fst`.

    [] epsilon, [-x] disambiguation symbol x, [0] the symbol #-1, else a window of `context_width` phones.
    """
    result, meanings = kaldifst.compose_context(
        disambig_syms=disambiguation, context_width=context_width, central_position=central_position, ifst=fst
    )
    kaldifst.arcsort(result, "ilabel")
    return result, meanings


def as_arrays(meanings: list[list[int]], width: int) -> Meanings:
    symbols = [label for label, one in enumerate(meanings) if len(one) == 1 and one[0] <= 0]
    labels = [label for label, one in enumerate(meanings) if one and label not in set(symbols)]
    windows = np.array([meanings[label] for label in labels]).reshape(-1, width)
    return Meanings(np.array(labels), windows, np.array(symbols, dtype=np.int64))
