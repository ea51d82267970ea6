"""Training graphs accept the alignments that Kaldi made, for the words that these alignments stand for."""

import numpy as np
import pytest

from asrtool.graph.training_graph import TrainingGraphCompiler
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.tree.context_dependency import ContextDependency


def words_of_phones(phones, boundary, word_of):
    """Word ids of a sequence of position-dependent phones; boundary: phone -> kind (lang/phones/word_boundary.int)."""
    words, part = [], []
    for phone in phones:
        kind = boundary[phone]
        if kind == "nonword":
            continue
        part.append(phone)
        if kind in ("end", "singleton"):
            words.append(word_of[tuple(part)])
            part = []
    assert not part
    return words


def accepts(graph, alignment) -> bool:
    states = {graph.start}
    for tid in alignment:
        states = {
            int(graph.arc_nextstate[arc])
            for state in states
            for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1])
            if graph.arc_ilabel[arc] == tid
        }
    return any(np.isfinite(graph.final_cost[state]) for state in states)


@pytest.mark.parametrize("system, count", [("tri3b_ali", 150), ("chain_tree", 150)])
def test_kaldis_alignments_are_accepted(kaldi_reference, system, count):
    lang, directory = kaldi_reference / "lang", kaldi_reference / "gmm" / system
    boundary = {
        int(phone): kind for phone, kind in map(str.split, (lang / "phones" / "word_boundary.int").read_text().splitlines())
    }
    word_of = {}
    for line in (lang / "phones" / "align_lexicon.int").read_text().splitlines():
        word, _, *phones = map(int, line.split())
        word_of.setdefault(tuple(phones), word)
    model = TransitionModel.read_file(directory / "final.mdl")
    compiler = TrainingGraphCompiler(lang, ContextDependency.read_file(directory / "tree"), model)
    alignments = list(read_alignments(directory).values())
    checked = 0
    for number in np.random.default_rng(0).permutation(len(alignments))[:count]:
        phones, _ = model.phone_segments(alignments[number])
        words = words_of_phones(phones.tolist(), boundary, word_of)
        graph = compiler.compile(words)
        assert accepts(graph, alignments[number].tolist())
        other = compiler.compile([*words, words[0]])
        checked += not accepts(other, alignments[number].tolist())
    assert checked == count  # and not with a word more
