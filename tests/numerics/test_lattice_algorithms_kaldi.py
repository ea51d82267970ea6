"""Posteriors, n-best lists, oracle errors, depth and best paths of lattices against what Kaldi made of the same lattices."""

import re

import numpy as np
import pytest

from asrtool.io.alignment import read_text_ints
from asrtool.io.symbols import SymbolTable
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.density import depth
from asrtool.lattice.forward_backward import forward_backward
from asrtool.lattice.lattice import best_path
from asrtool.lattice.nbest import best_path_of_words, count_words_within, nbest
from asrtool.lattice.oracle import oracle
from asrtool.lattice.posterior_archive import read_posteriors
from asrtool.lattice.posteriors import posteriors
from asrtool.lattice.prune import prune

SCALE = 0.083333
BEAM = 6.0  # the lattices' own


@pytest.fixture(scope="module")
def directory(kaldi_reference):
    return kaldi_reference / "lattice"


@pytest.fixture(scope="module")
def raw(directory):
    return dict(read_lattices(directory / "raw_lat.gz"))


@pytest.fixture(scope="module")
def compact(directory):
    return dict(read_lattices(directory / "compact_lat.gz"))


@pytest.fixture(scope="module")
def references(directory):
    symbols = SymbolTable.read(directory / "words.txt")
    lines = (line.split() for line in (directory / "ref.txt").read_text().splitlines())
    return {utterance: [symbols.id(word) for word in words] for utterance, *words in lines}


def costs(path):
    return np.array([line.split()[1] for line in path.read_text().splitlines()], float)


def test_posteriors(directory, raw):
    expected = dict(read_posteriors(directory / "post.txt.gz"))
    assert list(expected) == list(raw)
    total, frames, acoustic = 0.0, 0, 0.0
    for utterance, lattice in raw.items():
        sums = forward_backward(lattice, SCALE)
        post = posteriors(lattice, SCALE, sums=sums)
        assert post.frame_begin.tolist() == expected[utterance].frame_begin.tolist()
        assert post.label.tolist() == expected[utterance].label.tolist()
        np.testing.assert_allclose(post.weight, expected[utterance].weight, atol=1e-6)
        total, frames = total + sums.total, frames + lattice.num_frames
        acoustic -= SCALE * float(sums.posterior @ lattice.arc_acoustic_cost)
    log = (directory / "to_post.log").read_text()
    logged = re.search(r"log-like/frame is (\S+) over (\d+) frames\.  Average acoustic like/frame is (\S+)", log)
    assert [total / frames, frames, acoustic / frames] == pytest.approx([float(number) for number in logged.groups()], rel=1e-6)


def test_posteriors_of_word_level_lattices(compact):
    for lattice in compact.values():
        post = posteriors(lattice, SCALE)
        np.testing.assert_allclose(np.add.reduceat(post.weight, post.frame_begin[:-1]), 1, rtol=1e-5)
        assert set(best_path(lattice, SCALE).transition_ids) <= set(post.label)


@pytest.mark.parametrize("kind", ["raw", "compact"])
def test_nbest(directory, kind, request):
    expected = read_text_ints(directory / "nbest10_words.int")
    rows = dict(zip(expected, zip(costs(directory / "nbest10_lmcost.txt"), costs(directory / "nbest10_accost.txt"))))
    checked = 0
    for utterance, lattice in request.getfixturevalue(kind).items():
        ranked = [f"{utterance}-{rank}" for rank in range(1, 11) if f"{utterance}-{rank}" in expected]
        found = nbest(lattice, 10, SCALE)
        # before determinisation there is more beyond the beam
        assert len(found) == len(ranked) if kind == "compact" else len(found) >= len(ranked)
        for key, path in zip(ranked, found):
            assert path.words.tolist() == expected[key].tolist()
            np.testing.assert_allclose([path.graph_cost, path.acoustic_cost], rows[key], rtol=1e-6)
            assert len(path.transition_ids) == lattice.num_frames
            checked += 1
    assert checked == len(expected) > 100


def test_best_paths(directory, raw, compact):
    words, alignments = (read_text_ints(directory / name) for name in ("best_words.int", "best_ali.txt"))
    for lattices in (raw, compact):
        for utterance, lattice in lattices.items():
            for path in (best_path(lattice, SCALE), best_path_of_words(lattice, words[utterance], SCALE)):
                assert path.words.tolist() == words[utterance].tolist()
                assert path.transition_ids.tolist() == alignments[utterance].tolist()


def test_oracle_errors(directory, raw, compact, references):
    logged = re.findall(r"%WER \S+ \[ (\d+) / (\d+), \d+ insertions, \d+ del", (directory / "oracle.log").read_text())
    kaldi_words = read_text_ints(directory / "oracle_words.int")
    for (utterance, lattice), (errors, length) in zip(compact.items(), logged):
        found = oracle(lattice, references[utterance], SCALE)
        assert (found.errors, found.num_words) == (int(errors), int(length))
        if found.errors == 0:
            assert found.path.words.tolist() == kaldi_words[utterance].tolist()
        # of the paths that are as near, ours is the cheapest
        path = best_path_of_words(lattice, kaldi_words[utterance], SCALE)
        cost, kaldi_cost = (p.graph_cost + SCALE * p.acoustic_cost for p in (found.path, path))
        assert cost <= kaldi_cost + 1e-6
        assert oracle(raw[utterance], references[utterance]).errors <= found.errors  # more paths, beyond the beam


def test_depth(directory, compact):
    expected = {line.split()[0]: float(line.split()[1]) for line in (directory / "depth.txt").read_text().splitlines()}
    assert {utterance: depth(lattice) for utterance, lattice in compact.items()} == pytest.approx(expected, rel=1e-6)


def test_the_same_word_sequences_within_the_beam_before_and_after_determinisation(raw, compact):
    for utterance, lattice in raw.items():
        kinds = (lattice, compact[utterance])
        by_words = [{tuple(path.words): path for path in nbest(kind, 3000, SCALE, beam=BEAM)} for kind in kinds]
        assert [count_words_within(kind, BEAM, SCALE) for kind in kinds] == [len(paths) for paths in by_words]
        assert set(by_words[0]) == set(by_words[1])
        costs = [[paths[words].graph_cost + SCALE * paths[words].acoustic_cost for words in by_words[0]] for paths in by_words]
        np.testing.assert_allclose(*costs, atol=2e-3)  # the determinisation rounds costs


def test_pruning_at_the_beam_changes_no_count(raw):
    for lattice in list(raw.values())[:4]:
        pruned = prune(lattice, 3.0, SCALE)
        assert 0 < pruned.num_arcs < lattice.num_arcs or lattice.num_arcs < 5000
        assert count_words_within(pruned, 3.0, SCALE) == count_words_within(lattice, 3.0, SCALE)
