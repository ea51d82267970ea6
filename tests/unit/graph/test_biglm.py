"""Search with two language models against search in the big model's own graph."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from word_costs import cost_of_words, exact_grammar

from asrtool.cli import main
from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.decoder.biglm import BigLmDecoder
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.model import read_model, write_model
from asrtool.graph.hclg import make_hclg
from asrtool.io.kaldi_table import MatrixReader, MatrixWriter
from asrtool.io.symbols import SymbolTable
from asrtool.lang.format_lm import format_lm
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.lattice import best_path
from asrtool.lm.arpa import read_arpa
from asrtool.lm.compact_model import CompactNgram

WORDS = ("a", "ab", "ba", "cab")
SCALE = 0.5
WIDE = BeamSearchOptions(1e4, 4.0, 10**6, 0, SCALE)


def write_random_arpa(path, order: int, seed: int, share: float = 0.5) -> CompactNgram:
    """A model of random probabilities and back-off weights (not normalised); of the longer n-grams only a `share` is there."""
    rng = np.random.default_rng(seed)
    ngrams = [[("<s>",), *((word,) for word in (*WORDS, "</s>"))]]
    for _ in range(order - 1):
        histories = [ngram for ngram in ngrams[-1] if ngram[-1] != "</s>"]
        ngrams.append([(*h, word) for h in histories for word in (*WORDS, "</s>") if rng.random() < share])
    text = ["\\data\\", *(f"ngram {n}={len(rows)}" for n, rows in enumerate(ngrams, 1))]
    for n, rows in enumerate(ngrams, 1):
        text.append(f"\n\\{n}-grams:")
        for ngram in rows:
            backoff = f"\t{rng.uniform(-0.6, 0):.6f}" if n < order and ngram[-1] != "</s>" else ""
            text.append(f"{-99 if ngram == ('<s>',) else rng.uniform(-1.5, -0.1):.6f}\t{' '.join(ngram)}{backoff}")
    path.write_text("\n".join([*text, "\n\\end\\\n"]))
    return CompactNgram.from_model(read_arpa(path))


@pytest.fixture(scope="module")
def composed(toy, tmp_path_factory):
    """The graph of a big trigram model, and small models with their graphs."""
    made = toy()
    directory = tmp_path_factory.mktemp("biglm")
    words = SymbolTable.read(made.lang / "words.txt")

    def graph_of(name, order, seed, share=0.5, exact=True):
        model = write_random_arpa(directory / f"{name}.arpa", order, seed, share)
        format_lm(made.lang, directory / f"{name}.arpa", directory / name)
        if exact:
            exact_grammar(model, words, WORDS).write_fst_file(directory / name / "G.fst", "vector")
        make_hclg(directory / name, made.directory / "tree", made.directory / "final.mdl", directory / f"graph_{name}")
        return model, CsrGraph.load(directory / f"graph_{name}" / "graph.csr")

    big, big_graph = graph_of("big", 3, 0)
    small = {
        "unigram": graph_of("unigram", 1, 1, exact=False),
        "bigram": graph_of("bigram", 2, 2, 0.3),
        "backoff": graph_of("backoff", 2, 2, 0.3, exact=False),
    }
    return SimpleNamespace(big=big, big_graph=big_graph, small=small, words=words, model=made.model, directory=directory)


def decoders(composed, name, options=WIDE):
    small, graph = composed.small[name]
    ours = BigLmDecoder(graph, composed.model.tid_to_pdf, small, composed.big, composed.words, options)
    return ours, BeamSearchDecoder(composed.big_graph, composed.model.tid_to_pdf, options)


def scores(composed, seed, num_frames=24):
    return np.random.default_rng(seed).normal(-3, 3, (num_frames, composed.model.num_pdfs)).astype(np.float32)


@pytest.mark.parametrize(("name", "seed"), list(itertools.product(("unigram", "bigram"), range(6))))
def test_equals_the_graph_of_the_big_model(composed, name, seed):
    ours, reference = decoders(composed, name)
    loglikes = scores(composed, seed)
    found, expected = ours.decode(loglikes), reference.decode(loglikes)
    assert found.words.tolist() == expected.words.tolist() and len(found.words)
    assert found.graph_cost == pytest.approx(expected.graph_cost, abs=0.02)  # minimisation rounds costs to 1/1024
    assert found.acoustic_cost == pytest.approx(expected.acoustic_cost, abs=1e-3)
    assert found.reached_final


@pytest.mark.parametrize(("name", "seed"), list(itertools.product(("unigram", "bigram"), range(4))))
def test_lattices_equal_those_of_the_big_model(composed, name, seed):
    ours, reference = decoders(composed, name)
    loglikes = scores(composed, seed, 30)  # pruned once on the way
    lattice = ours.decode_lattice(loglikes)
    found, expected = cost_of_words(lattice, SCALE), cost_of_words(reference.decode_lattice(loglikes), SCALE)
    best = min(expected.values())
    inside = {words: cost for words, cost in expected.items() if cost < best + WIDE.lattice_beam - 0.01}
    assert len(inside) > 3
    assert {words: found.get(words) for words in inside} == pytest.approx(inside, abs=0.02)
    assert all(expected[words] == pytest.approx(cost, abs=0.02) for words, cost in found.items() if cost < best + 3.9)
    assert best_path(lattice, SCALE).words.tolist() == ours.decode(loglikes).words.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_a_graph_with_back_off_costs_no_more(composed, seed):
    """Its paths may back off though the n-gram is there, as in every graph of a back-off model."""
    ours, reference = decoders(composed, "backoff")
    loglikes = scores(composed, seed)
    found, expected = (
        cost_of_words(ours.decode_lattice(loglikes), SCALE),
        cost_of_words(reference.decode_lattice(loglikes), SCALE),
    )
    best = min(expected.values())
    assert all(found.get(words, np.inf) < cost + 0.02 for words, cost in expected.items() if cost < best + 1)
    assert best - 2 < min(found.values()) < best + 0.02


@pytest.mark.parametrize("lattice", [False, True])
def test_long_utterances_forget(composed, monkeypatch, lattice):
    """Growing, dropping dead tokens, pruning on the way and renewing the memory change nothing."""
    options = BeamSearchOptions(8.0, 3.0, 100, 10, SCALE)
    ours, _ = decoders(composed, "bigram", options)
    loglikes = scores(composed, 0, 400)
    expected = ours.decode_lattice(loglikes) if lattice else ours.decode(loglikes)
    monkeypatch.setattr("asrtool.decoder.biglm._SIZES", (600, 40, 5))
    found = ours.decode_lattice(loglikes) if lattice else ours.decode(loglikes)
    for name, value in vars(expected).items():
        assert np.array_equal(value, getattr(found, name)), name


def test_deterministic_in_threads(composed):
    options = BeamSearchOptions(8.0, 3.0, 100, 10, SCALE)
    ours, _ = decoders(composed, "bigram", options)
    items = [(str(seed), scores(composed, seed, 60)) for seed in range(12)]
    one, two = (list(ours.decode_batch(items, threads, lattice=True)) for threads in (1, 3))
    for (name, first), (_, second) in zip(one, two):
        for field, value in vars(first).items():
            assert np.array_equal(value, getattr(second, field)), (name, field)


def test_word_insertion_penalty(composed):
    ours, reference = decoders(composed, "unigram", BeamSearchOptions(1e4, 4.0, 10**6, 0, SCALE, word_insertion_penalty=-3.0))
    found, expected = ours.decode(scores(composed, 1)), reference.decode(scores(composed, 1))
    assert found.words.tolist() == expected.words.tolist()
    assert found.graph_cost == pytest.approx(expected.graph_cost, abs=0.02)
    assert len(found.words) > len(decoders(composed, "unigram")[0].decode(scores(composed, 1)).words)


def test_no_frames_and_no_final_state(composed):
    ours, reference = decoders(composed, "unigram")
    nothing = np.zeros((0, composed.model.num_pdfs), np.float32)
    assert ours.decode(nothing).graph_cost == pytest.approx(reference.decode(nothing).graph_cost, abs=0.02)
    cut = ours.decode(scores(composed, 0, 2))  # shorter than any phone
    assert not cut.reached_final and len(cut.transition_ids) == 2
    assert not ours.decode_lattice(scores(composed, 0, 2)).reached_final


def test_refusals(composed, tmp_path):
    ours, _ = decoders(composed, "unigram")
    with pytest.raises(AsrtoolError, match=r"NaN or infinite log-likelihoods at frame 3"):
        ours.decode(np.where(np.arange(5)[:, None] == 3, np.float32(np.nan), scores(composed, 0, 5)))
    with pytest.raises(AsrtoolError, match="of 2 pdfs"):
        ours.decode(np.zeros((5, 2), np.float32))
    (tmp_path / "other.arpa").write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-1\t<s>\n-0.5\t</s>\n-0.5\tx\n\n\\end\\\n")
    other = CompactNgram.from_model(read_arpa(tmp_path / "other.arpa"))
    small, graph = composed.small["unigram"]
    arguments = graph, composed.model.tid_to_pdf
    with pytest.raises(AsrtoolError, match=r"the graph has the word .* and the small language model does not"):
        BigLmDecoder(*arguments, other, composed.big, composed.words)
    with pytest.raises(AsrtoolError, match="holds none of the graph's words"):
        BigLmDecoder(*arguments, small, other, composed.words)


@pytest.fixture(scope="module")
def experiment(composed, tmp_path_factory):
    """exp/ (a GMM of one Gaussian a pdf), data/ of three utterances, and the graph of the bigram with both models' files."""
    root, random = tmp_path_factory.mktemp("decode_biglm"), np.random.default_rng(7)
    (root / "exp").mkdir()
    (root / "data").mkdir()
    num_pdfs = composed.model.num_pdfs
    moments = random.normal(size=(num_pdfs, 3)), np.full((num_pdfs, 3), 0.3)
    gmm = AmDiagGmm.from_moments(np.arange(num_pdfs + 1), np.ones(num_pdfs, np.float32), *moments)
    write_model(root / "exp" / "final.mdl", composed.model, gmm)
    (root / "exp" / "cmvn_opts").write_text("--norm-means=false\n")
    (root / "exp" / "delta_opts").write_text("--delta-order=0\n")
    with MatrixWriter(root / "data" / "feats.ark", root / "data" / "feats.scp") as writer:
        for name in ("u1", "u2", "u3"):
            writer.write(name, random.normal(size=(40, 3)).astype(np.float32))
    (root / "data" / "utt2spk").write_text("u1 s\nu2 s\nu3 s\n")
    for name in ("bigram", "big"):
        assert main(["build-lm-binary", str(composed.directory / f"{name}.arpa"), str(root / f"{name}.bin")]) == 0
    return root


def decode_gmm(composed, root, out, *models):
    paths = root / "exp" / "final.mdl", composed.directory / "graph_bigram", root / "data", out
    return main(["decode-gmm", "--nj", "1", "--acoustic-scale", str(SCALE), *models, *map(str, paths)])


def test_decode_gmm_with_both_models(composed, experiment, tmp_path):
    """The verb, whose options come in their order, gives what the decoder gives; without the models it gives something else."""
    models = ["--small-lm", str(experiment / "bigram.bin"), "--big-lm", str(experiment / "big.bin")]
    assert decode_gmm(composed, experiment, tmp_path / "both", *models) == 0
    assert decode_gmm(composed, experiment, tmp_path / "none") == 0
    ours, _ = decoders(composed, "bigram", BeamSearchOptions(acoustic_scale=SCALE))
    gmm = read_model(experiment / "exp" / "final.mdl")[1]
    expected, found = [], dict(read_lattices(tmp_path / "both" / "lat.1.gz"))
    for name, features in MatrixReader(str(experiment / "data" / "feats.scp")).items():
        result = ours.decode(gmm.loglikes(features))
        expected.append(" ".join([name, *map(composed.words.symbol, result.words)]))
        best = best_path(found[name], SCALE)
        assert best.graph_cost == pytest.approx(result.graph_cost, abs=1e-3)
        assert best.acoustic_cost == pytest.approx(result.acoustic_cost, abs=1e-2)
    assert (tmp_path / "both" / "hyp.txt").read_text().splitlines() == expected
    without = dict(read_lattices(tmp_path / "none" / "lat.1.gz"))
    assert all(abs(best_path(without[n], SCALE).graph_cost - best_path(found[n], SCALE).graph_cost) > 0.1 for n in without)


@pytest.mark.parametrize("option", ["--small-lm", "--big-lm"])
def test_one_model_without_the_other(composed, experiment, tmp_path, capsys, option):
    assert decode_gmm(composed, experiment, tmp_path / "out", option, str(experiment / "big.bin")) == 1
    assert "--small-lm and --big-lm: give both or none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_decode_gmm_refuses_another_graphs_model(composed, experiment, tmp_path, capsys):
    (tmp_path / "other.arpa").write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-1\t<s>\n-0.5\t</s>\n-0.5\tx\n\n\\end\\\n")
    assert main(["build-lm-binary", str(tmp_path / "other.arpa"), str(tmp_path / "other.bin")]) == 0
    models = ["--small-lm", str(tmp_path / "other.bin"), "--big-lm", str(experiment / "big.bin")]
    assert decode_gmm(composed, experiment, tmp_path / "out", *models) == 1
    assert "the small language model does not" in capsys.readouterr().err
