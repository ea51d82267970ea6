"""A small language with its trees and models, for the graph tests."""

from types import SimpleNamespace

import numpy as np
import pytest

from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.kaldi_binary import KaldiWriter
from asrtool.lang.format_lm import format_lm
from asrtool.lang.prepare import LangOptions, prepare_lang
from asrtool.tree.context_dependency import ContextDependency, stub_map
from asrtool.tree.event_map import ConstantEventMap, SplitEventMap, max_answer, replace_leaves

LEXICON = "<UNK> 1.0 SPN\na 0.7 A\na 0.3 B\nab 1.0 A B\nba 0.4 B A B\nba 0.6 B B\ncab 1.0 A A B\n"
SILENCE_PROBS = ("0.2 1.3 0.9", "0.6 0.4 1.2", "0.5 1.0 1.0")  # given out to the entries in turn
ARPA = """\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-0.6 </s>
-99 <s> -0.3
-0.8 a -0.2
-0.9 ab -0.1
-1.0 ba -0.2
-1.1 cab

\\2-grams:
-0.3 <s> a
-0.4 a ba
-0.5 ba </s>

\\end\\
"""


def make_tree(topology, width: int, num_splits: int, seed: int = 0) -> ContextDependency:
    """Random questions about the neighbours on top of one leaf for each phone and pdf class."""
    rng = np.random.default_rng(seed)
    position = 0 if width == 1 else 1
    sets = [[phone] for phone in topology.phones]
    to_pdf, next_leaf = stub_map(position, sets, topology.num_pdf_classes, [False] * len(sets))
    for _ in range(num_splits if width > 1 else 0):
        key = int(rng.choice([place for place in range(width) if place != position]))
        values = rng.choice([0, *topology.phones], size=len(topology.phones) // 2, replace=False)
        leaf = int(rng.integers(next_leaf))
        question = SplitEventMap(key, tuple(sorted(values.tolist())), ConstantEventMap(leaf), ConstantEventMap(next_leaf))
        to_pdf = replace_leaves(to_pdf, {leaf: question})
        next_leaf += 1
    assert max_answer(to_pdf) == next_leaf - 1
    return ContextDependency(width, position, to_pdf)


def chain_topology(topology: HmmTopology) -> HmmTopology:
    """The chain topology for the same phones: one state, another pdf class for its self-loop."""
    entry = (HmmState(0, 1, ((0, 0.5), (1, 0.5))), HmmState())
    return HmmTopology([entry], dict.fromkeys(topology.phones, 0))


def random_log_probs(model: TransitionModel, seed: int = 0) -> None:
    """Gives the model's transitions probabilities of their own."""
    rng = np.random.default_rng(seed)
    for first, end in zip(model.first_tid[:-1], model.first_tid[1:]):
        model.log_probs[first:end] = np.log(rng.dirichlet(np.full(end - first, 3.0)))


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """toy(positions=True, sil_prob=0.3, width=3, chain=False, num_splits=20, silprob=False) -> lang, lang_test, tree, model
    and their paths; with silprob, silence is as probable as each pronunciation says."""
    made = {}

    def build(positions=True, sil_prob=0.3, width=3, chain=False, num_splits=20, silprob=False):
        key = (positions, sil_prob, width, chain, num_splits, silprob)
        if key not in made:
            made[key] = build_new(*key)
        return made[key]

    def build_new(positions, sil_prob, width, chain, num_splits, silprob):
        directory = tmp_path_factory.mktemp("toy")
        (directory / "dict").mkdir()
        for name, text in {
            "silence_phones.txt": "SIL\nSPN\n",
            "optional_silence.txt": "SIL\n",
            "nonsilence_phones.txt": "A\nB\n",
            "lexiconp.txt": LEXICON,
        }.items():
            (directory / "dict" / name).write_text(text)
        if silprob:
            lines = [line.split(" ", 2) for line in LEXICON.splitlines()]
            texts = (f"{word} {share} {SILENCE_PROBS[k % 3]} {phones}\n" for k, (word, share, phones) in enumerate(lines))
            (directory / "dict" / "lexiconp_silprob.txt").write_text("".join(texts))
            (directory / "dict" / "silprob.txt").write_text("<s> 0.8\n</s>_s 1.6\n</s>_n 0.3\noverall 0.4\n")
        options = LangOptions(position_dependent_phones=positions, sil_prob=sil_prob)
        prepare_lang(directory / "dict", "<UNK>", directory / "tmp", directory / "lang", options)
        (directory / "lm.arpa").write_text(ARPA)
        format_lm(directory / "lang", directory / "lm.arpa", directory / "lang_test")
        topology = HmmTopology.read_file(directory / "lang" / "topo")
        topology = chain_topology(topology) if chain else topology
        tree = make_tree(topology, width, num_splits)
        model = TransitionModel.from_tree(tree, topology)
        random_log_probs(model)
        tree.write_file(directory / "tree")
        with KaldiWriter.open(directory / "final.mdl") as writer:
            model.write(writer)
        return SimpleNamespace(
            lang=directory / "lang", lang_test=directory / "lang_test", tree=tree, model=model, directory=directory
        )

    return build
