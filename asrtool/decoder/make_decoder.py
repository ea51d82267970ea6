"""The decoder for a graph, with language models that correct its own or without."""

from collections.abc import Sequence
from pathlib import Path

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.decoder.packed_graph import PackedGraph
from asrtool.io.symbols import SymbolTable


def make_decoder(graph: PackedGraph, words: SymbolTable, options: BeamSearchOptions, language_models: Sequence[str | Path] = ()):
    """A BigLmDecoder with `language_models` (files of build-lm-binary: the graph's and a larger one), else a BeamSearchDecoder.

    Raises:
        AsrtoolError: a model is damaged, or not of the graph's words.
    """
    if not language_models:
        return BeamSearchDecoder(graph, options=options)
    from asrtool.decoder.biglm import BigLmDecoder
    from asrtool.lm.compact_model import CompactNgram

    small, big = map(CompactNgram.load, language_models)
    return BigLmDecoder(graph, None, small, big, words, options)
