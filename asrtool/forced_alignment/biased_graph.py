"""A decoding graph that expects the words of one transcript, in its order, but lets parts of it be left out or said otherwise.

Its language model is a trigram of the transcript alone (Moreno et al. 1998, "A recursive algorithm for the forced alignment of
very long audio segments", section 3), with the same share of each history's probability left to the shorter one. Since what is
decoded are windows of the recording, any history may end it, and it begins without one.
"""

import math
from collections import Counter
from pathlib import Path

from asrtool.forced_alignment.model import AlignerModel
from asrtool.forced_alignment.pronunciations import Vocabulary
from asrtool.fst.csr import CsrGraph
from asrtool.fst.grammar_fst import BACKOFF_SYMBOL
from asrtool.fst.lexicon_fst import LexiconArcs, OptionalSilence, write_lexicon_fst
from asrtool.graph.hclg import make_hclg
from asrtool.io.atomic_file import write_text
from asrtool.io.symbols import SymbolTable
from asrtool.lang.dictionary import Pronunciation
from asrtool.lang.phones import add_disambiguation
from asrtool.lm.text import BOS, EOS

ORDER = 3
BACKOFF = 0.1  # the share that is left to the shorter history


def biased_graph(
    model: AlignerModel, vocabulary: Vocabulary, symbols: list[str], silence_probability: float, directory: Path
) -> tuple[CsrGraph, SymbolTable]:
    """HCLG of a transcript (words of the vocabulary), made in a folder of its own, and its words."""
    words = SymbolTable.from_symbols(["<eps>", *sorted(set(symbols)), BACKOFF_SYMBOL, BOS, EOS])
    lang = directory / "lang"
    _write_lexicon(lang, vocabulary, words, silence_probability)
    biased_grammar([words.id(symbol) for symbol in symbols], words.id(BACKOFF_SYMBOL)).write_fst_file(lang / "G.fst", "vector")
    make_hclg(lang, model.directory / "tree", model.directory / "final.mdl", directory / "graph")
    return CsrGraph.load(directory / "graph" / "graph.csr"), words


def biased_grammar(transcript: list[int], backoff: int, order: int = ORDER) -> CsrGraph:
    """G.fst of a transcript, word ids: a state for each history of up to order - 1 words.

    The cost of a word after a history h is -log((1 - BACKOFF) count(h word) / count(h)), that of the arc with the label `backoff`
    to the history without its first word -log(BACKOFF); without a history the cost is -log(count / all).
    """
    grams = [
        Counter(tuple(transcript[at : at + size]) for at in range(len(transcript) + 1 - size)) for size in range(1, order + 1)
    ]
    histories = [(), *(gram for counts in grams[:-1] for gram in counts)]
    state = {history: number for number, history in enumerate(histories)}
    after: Counter = Counter()
    for counts in grams:
        for gram, count in counts.items():
            after[gram[:-1]] += count
    source, label, following, cost = [], [], [], []
    for counts in grams:
        for gram, count in counts.items():
            history, share = gram[:-1], 1 - BACKOFF if len(gram) > 1 else 1.0
            source.append(state[history])
            label.append(gram[-1])
            following.append(state[gram if gram in state else gram[1:]])
            cost.append(-math.log(share * count / after[history]))
    for history in histories[1:]:
        source.append(state[history])
        label.append(backoff)
        following.append(state[history[1:]])
        cost.append(-math.log(BACKOFF))
    outward = [0 if one == backoff else one for one in label]
    return CsrGraph.from_arcs(0, source, label, outward, following, cost, [0.0] * len(histories))


def _write_lexicon(lang: Path, vocabulary: Vocabulary, words: SymbolTable, silence_probability: float) -> None:
    """What make_hclg needs of a lang directory besides G.fst."""
    table = vocabulary.phones
    entries = [
        Pronunciation(word, str(probability), tuple(table.symbols.symbol(phone) for phone in phones))
        for word in words.symbols()
        for phones, probability in vocabulary.pronunciations.get(word, [])
    ]
    entries, highest = add_disambiguation(entries)
    first = max(table.symbols.id_to_symbol) + 1
    real = {name: phone for name, phone in table.symbols.symbol_to_id.items() if not name.startswith("#")}
    numbers = {f"#{number}": first + number for number in range(highest + 2)}
    phones = SymbolTable(real | numbers)
    silence = phones.id(table.silence)
    arcs = [
        LexiconArcs(words.id(one.word), -math.log(float(one.probability_text)), [phones.id(phone) for phone in one.phones])
        for one in entries
    ]
    lang.mkdir(parents=True, exist_ok=True)
    write_lexicon_fst(
        lang / "L_disambig.fst",
        arcs,
        OptionalSilence(silence_probability, silence, numbers[f"#{highest + 1}"]),
        (numbers["#0"], words.id(BACKOFF_SYMBOL)),
    )
    phones.write(lang / "phones.txt")
    words.write(lang / "words.txt")
    write_text(lang / "phones" / "silence.csl", f"{silence}\n")
    write_text(lang / "phones" / "disambig.int", "".join(f"{number}\n" for number in numbers.values()))
