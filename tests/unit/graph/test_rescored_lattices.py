"""A lattice of a small language model's graph, rescored with a big one, against the lattice of the big one's graph."""

import numpy as np
import pytest
from random_ngrams import random_model
from word_costs import cost_of_words, exact_grammar

from asrtool.cli import main
from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.fst.csr import CsrGraph
from asrtool.graph.hclg import make_hclg
from asrtool.io.symbols import SymbolTable
from asrtool.lang.format_lm import format_lm
from asrtool.lattice.archive import read_lattices, write_lattices
from asrtool.lattice.lattice import best_path
from asrtool.lattice.rescore import Rescorer
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.compact_model import CompactNgram
from asrtool.lm.compact_open import open_language_model
from asrtool.lm.text import Vocabulary

WORDS = ("a", "ab", "ba", "cab")
SCALE = 0.5
EVERYTHING = BeamSearchOptions(1e4, 1e4, 10**6, 0, SCALE)


def write_model(path, seed, order, share):
    model = random_model(seed, order, num_words=len(WORDS), share=share)
    model.vocabulary = Vocabulary(WORDS)
    write_arpa(path, model)
    return CompactNgram.from_model(read_arpa(path))


@pytest.fixture(scope="module")
def graphs(toy, tmp_path_factory):
    """(words, transition model, folder, {name: (model, decoder)})"""
    made, directory = toy(), tmp_path_factory.mktemp("rescored")
    words, result = SymbolTable.read(made.lang / "words.txt"), {}
    for name, seed, order, share in (("small", 0, 2, 0.3), ("big", 1, 4, 0.5)):
        model = write_model(directory / f"{name}.arpa", seed, order, share)
        format_lm(made.lang, directory / f"{name}.arpa", directory / name)
        exact_grammar(model, words, WORDS).write_fst_file(directory / name / "G.fst", "vector")
        make_hclg(directory / name, made.directory / "tree", made.directory / "final.mdl", directory / f"graph_{name}")
        graph = CsrGraph.load(directory / f"graph_{name}" / "graph.csr")
        result[name] = model, BeamSearchDecoder(graph, made.model.tid_to_pdf, EVERYTHING)
    return words, made.model, directory, result


@pytest.mark.parametrize("seed", range(4))
def test_equals_decoding_with_the_big_model_from_scratch(graphs, seed):
    """With nothing pruned, every word sequence of the big graph has the same cost in the rescored lattice of the small one."""
    words, model, _, made = graphs
    (small, small_decoder), (big, big_decoder) = made["small"], made["big"]
    loglikes = np.random.default_rng(seed).normal(-3, 3, (12, model.num_pdfs)).astype(np.float32)
    rescored = Rescorer(words, small, [(big, 1.0)])(small_decoder.decode_lattice(loglikes))
    found, expected = cost_of_words(rescored, SCALE), cost_of_words(big_decoder.decode_lattice(loglikes), SCALE)
    assert len(expected) > 20 and found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=0.02)  # minimisation rounds a graph's costs to 1/1024
    path = best_path(rescored, SCALE)
    assert path.words.tolist() == big_decoder.decode(loglikes).words.tolist()


def test_grammars_of_arpa_files_become_the_models_they_were_made_of(graphs, toy):
    words, _, directory, made = graphs
    format_lm(toy().lang, directory / "big.arpa", directory / "lang")
    random = np.random.default_rng(0)
    sentences = [[WORDS[place] for place in random.integers(0, 4, random.integers(0, 9))] for _ in range(100)]
    expected = [made["big"][0].sentence_cost(sentence) for sentence in sentences]
    made["big"][0].save(directory / "big.bin")
    for path in ("lang", "lang/G.fst", "big.arpa", "big.bin"):
        model = open_language_model(directory / path, words)
        assert [model.sentence_cost(sentence) for sentence in sentences] == pytest.approx(expected, abs=1e-4), path


def test_verb(graphs, toy, capsys):
    format_lm(toy().lang, graphs[2] / "big.arpa", graphs[2] / "lang")
    words, model, directory, made = graphs
    loglikes = np.random.default_rng(5).normal(-3, 3, (2, 9, model.num_pdfs)).astype(np.float32)
    lattices = [(f"utt{number}", made["small"][1].decode_lattice(scores)) for number, scores in enumerate(loglikes)]
    write_lattices(directory / "lat.1.gz", lattices)
    table = str(directory / "small" / "words.txt")

    def run(*arguments):
        return main(["lattice-lmrescore", "--words", table, *(str(argument) for argument in arguments)])

    small, big, out = directory / "small.arpa", directory / "big.arpa", directory / "out.gz"
    assert run("--remove", small, directory / "lat.1.gz", big, out) == 0
    once = dict(read_lattices(out))
    assert run("--lm-scale", "-1.0", directory / "lat.1.gz", small, directory / "removed.gz") == 0
    assert run(directory / "removed.gz", big, big, out) == 0
    assert "2 utterances done, 0 failed" in capsys.readouterr().err
    rescorer = Rescorer(words, made["small"][0], [(made["big"][0], 1.0)])
    for utterance, lattice in read_lattices(out):
        expected = cost_of_words(rescorer(dict(lattices)[utterance]), SCALE)
        assert cost_of_words(lattice, SCALE) == pytest.approx(expected, abs=1e-3)
        assert cost_of_words(once[utterance], SCALE) == pytest.approx(expected, abs=1e-3)
    for arguments, message in (
        (("--weights", "0.5", directory / "lat.1.gz", big, big, out), "1 weights for 2 models"),
        (("--weights", "x,1", directory / "lat.1.gz", big, big, out), "expected numbers"),
        (("--lm-scale", "-1", directory / "lat.1.gz", big, big, out), "subtracts one model"),
        ((directory / "lat.1.gz", directory / "lat.1.gz", out), "not an ARPA file"),
        ((directory / "lat.1.gz", directory / "big", out), "not the grammar of an n-gram model"),
        ((directory / "lat.1.gz", directory / "lang", out), None),
    ):
        status = run(*arguments)
        assert status == (1 if message else 0)
        assert (message or "") in capsys.readouterr().err
