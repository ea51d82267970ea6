"""A language of two phones and three words, what the verbs make of it, and the costs of a grammar's paths."""

import numpy as np

from asrtool.cli import main
from asrtool.fst.csr import CsrGraph

LEXICON = "<UNK> SIL\na A\nb B\nc A B\n"


def write_dictionary(folder, lexicon=LEXICON):
    folder.mkdir()
    (folder / "silence_phones.txt").write_text("SIL\n")
    (folder / "optional_silence.txt").write_text("SIL\n")
    (folder / "nonsilence_phones.txt").write_text("A\nB\n")
    (folder / "lexicon.txt").write_text(lexicon)


def make_language(folder, text, arpa):
    """dict/, lang/, the text and a trigram model of it in the file `arpa`."""
    write_dictionary(folder / "dict")
    (folder / "text").write_text(text)
    assert main(["prepare-lang", str(folder / "dict"), "<UNK>", str(folder / "tmp"), str(folder / "lang")]) == 0
    assert main(["train-lm", "--order", "3", str(folder / "text"), str(folder / arpa)]) == 0


def path_cost(graph: CsrGraph, labels: list[int], backoff: int) -> float:
    """Follows the only path: a label's arc where there is one, else back-off; inf where there is no path."""
    state, cost = graph.start, 0.0

    def arc_of(label):
        found = [arc for arc in range(*graph.arc_begin[state : state + 2]) if graph.arc_ilabel[arc] == label]
        assert len(found) <= 1
        return found[0] if found else None

    for label in [*labels, None]:
        while label is not None or not np.isfinite(graph.final_cost[state]):
            arc = arc_of(label)
            following = arc_of(backoff) if arc is None else arc
            if following is None:
                return np.inf
            cost += float(graph.arc_cost[following])
            state = graph.arc_nextstate[following]
            if arc is not None:
                assert graph.arc_olabel[arc] in (0, label)
                break
    return cost + float(graph.final_cost[state])
