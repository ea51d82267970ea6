"""The commands on lattices: files in and out, figures printed, bad lattices named."""

import re
from dataclasses import replace

import numpy as np
import pytest
from random_lattices import all_paths, random_compact, random_lattice

from asrtool.cli import main
from asrtool.io.alignment import read_alignments, read_text_ints
from asrtool.lattice.archive import read_lattices, write_lattices
from asrtool.lattice.lattice import best_path
from asrtool.lattice.posterior_archive import read_posteriors

SCALE = ["--acoustic-scale", "0.3", "--lm-scale", "0.8"]


@pytest.fixture
def lattices():
    return {"state": random_lattice(1), "word": random_compact(4, num_words=4, deterministic=True), "more": random_compact(1)}


@pytest.fixture
def archive(tmp_path, lattices):
    write_lattices(tmp_path / "lat.1.gz", lattices.items())
    return tmp_path / "lat.1.gz"


def run(*arguments, status=0):
    assert main([str(argument) for argument in arguments]) == status


def ranked(lattice):
    best = {}
    for path in all_paths(lattice):
        if path.words not in best or path.cost(0.3, 0.8) < best[path.words].cost(0.3, 0.8):
            best[path.words] = path
    return sorted(best.values(), key=lambda path: path.cost(0.3, 0.8))


def test_nbest_lists_taken_apart(tmp_path, lattices, archive):
    run("lattice-nbest", *SCALE, "--n", 3, f"ark:{archive}", f"ark,t:{tmp_path / 'nbest.txt'}")
    run("nbest-to-linear", tmp_path / "nbest.txt", *(tmp_path / name for name in ("ali.gz", "words", "lm", "ac")))
    expected = {f"{u}-{rank}": path for u, lattice in lattices.items() for rank, path in enumerate(ranked(lattice)[:3], 1)}
    words, alignments = read_text_ints(tmp_path / "words"), read_alignments(tmp_path / "ali.gz")
    assert list(words) == list(expected)
    for key, path in expected.items():
        assert (tuple(words[key]), tuple(alignments[key])) == (path.words, path.transition_ids)
    for name, kind in (("lm", "graph"), ("ac", "acoustic")):
        rows = dict(line.split() for line in (tmp_path / name).read_text().splitlines())
        assert {key: float(value) for key, value in rows.items()} == pytest.approx(
            {key: getattr(path, kind) for key, path in expected.items()}, abs=1e-4
        )
    run("nbest-to-linear", archive, tmp_path / "ali", tmp_path / "words", status=1)


def test_best_paths_as_words(tmp_path, lattices, archive, capsys):
    (tmp_path / "words.txt").write_text("<eps> 0\na 1\nb 2\nc 3\nd 4\n")
    run(
        "lattice-best-path", *SCALE, "--word-symbol-table", tmp_path / "words.txt", archive, tmp_path / "hyp", tmp_path / "ali.gz"
    )
    rows = [[utterance, *(" abcd"[word] for word in ranked(lattice)[0].words)] for utterance, lattice in lattices.items()]
    assert (tmp_path / "hyp").read_text() == "".join(" ".join(row) + "\n" for row in rows)
    found = read_alignments(tmp_path / "ali.gz")
    assert {u: tuple(ids) for u, ids in found.items()} == {u: ranked(x)[0].transition_ids for u, x in lattices.items()}
    graph, acoustic = (sum(getattr(ranked(x)[0], kind) for x in lattices.values()) for kind in ("graph", "acoustic"))
    frames = sum(lattice.num_frames for lattice in lattices.values())
    printed = re.search(r"cost per frame (\S+) = (\S+) \[graph\] \+ (\S+) \[acoustic\] over 20", capsys.readouterr().err)
    expected = np.array([0.8 * graph + 0.3 * acoustic, 0.8 * graph, 0.3 * acoustic]) / frames
    assert [float(number) for number in printed.groups()] == pytest.approx(expected, rel=1e-5)


def test_pruned_scaled_and_penalised_lattices(tmp_path, lattices, archive):
    run("lattice-prune", *SCALE, "--beam", 0, archive, tmp_path / "pruned")
    for utterance, lattice in read_lattices(tmp_path / "pruned"):
        assert [path.words for path in all_paths(lattice)] == [ranked(lattices[utterance])[0].words]
    run("lattice-scale", *SCALE, archive, tmp_path / "scaled")
    run("lattice-add-penalty", "--word-ins-penalty", 0.5, tmp_path / "scaled", tmp_path / "penalised.gz")
    run("lattice-scale", "--inv-acoustic-scale", 2, archive, tmp_path / "halved")
    halved = dict(read_lattices(tmp_path / "halved"))
    for utterance, lattice in read_lattices(tmp_path / "penalised.gz"):
        expected = best_path(lattices[utterance], 0.3, 0.8, 0.5)
        assert best_path(lattice).words.tolist() == expected.words.tolist()
        found = best_path(lattice, 0.0)
        assert found.graph_cost == pytest.approx(min(path.cost(0, 0.8, 0.5) for path in all_paths(lattices[utterance])), abs=1e-5)
        assert sum(path.acoustic for path in all_paths(halved[utterance])) == pytest.approx(
            sum(path.acoustic for path in all_paths(lattices[utterance])) / 2, rel=1e-5
        )
    run("lattice-scale", "--inv-acoustic-scale", 2, "--acoustic-scale", 2, archive, tmp_path / "x", status=1)


def test_oracle_errors_depth_and_figures(tmp_path, lattices, archive, capsys):
    (tmp_path / "ref").write_text("".join(f"{u} {' '.join(map(str, (*ranked(x)[-1].words, 9)))}\n" for u, x in lattices.items()))
    out = tmp_path / "near.gz"
    run("lattice-oracle", "--write-lattices", out, tmp_path, tmp_path / "ref", tmp_path / "words")  # a directory of lattices
    total = sum(len(ranked(lattice)[-1].words) + 1 for lattice in lattices.values())
    assert f"[ 3 / {total}, 0 ins, " in capsys.readouterr().out
    words = read_text_ints(tmp_path / "words")
    for utterance, lattice in read_lattices(out):
        assert [path.words for path in all_paths(lattice)] == [tuple(words[utterance])]
    run("lattice-oracle", "--wildcard-symbols-list", "9", archive, tmp_path / "ref")
    assert "%WER 0.00 [ 0 /" in capsys.readouterr().out
    run("lattice-depth", "--per-frame", tmp_path / "frames", archive, tmp_path / "depth")
    depths = [float(line.split()[1]) for line in (tmp_path / "depth").read_text().splitlines()]
    assert depths == pytest.approx([row.mean() for row in read_text_ints(tmp_path / "frames").values()])
    capsys.readouterr()
    run("lattice-info", *SCALE, "--beam", 100, archive)
    rows = dict(line.split(" ", 1) for line in capsys.readouterr().out.splitlines()[1:])
    assert rows["state"].split()[:4] == ["state", "4", str(lattices["state"].num_states), str(lattices["state"].num_arcs)]
    assert {u: int(row.split()[-1]) for u, row in rows.items()} == {u: len(ranked(x)) for u, x in lattices.items()}


def test_posteriors(tmp_path, lattices, archive):
    run("lattice-to-post", *SCALE, archive, f"ark,t:{tmp_path / 'post'}", tmp_path / "loglikes")
    for utterance, post in read_posteriors(tmp_path / "post"):
        assert post.num_frames == lattices[utterance].num_frames
        np.testing.assert_allclose(np.add.reduceat(post.weight, post.frame_begin[:-1]), 1, rtol=1e-5)
    rows = dict(line.split() for line in (tmp_path / "loglikes").read_text().splitlines())
    expected = {u: np.logaddexp.reduce([-path.cost(0.3, 0.8) for path in all_paths(x)]) for u, x in lattices.items()}
    assert {u: float(value) for u, value in rows.items()} == pytest.approx(expected, rel=1e-5)


VERBS = ["lattice-prune", "lattice-nbest", "lattice-best-path", "lattice-to-post", "lattice-oracle"]


@pytest.mark.parametrize("verb", VERBS)
def test_bad_lattices_are_named_and_counted(tmp_path, lattices, verb, capsys):
    no_end = replace(lattices["state"], final_cost=np.full(lattices["state"].num_states, np.inf, np.float32))
    write_lattices(tmp_path / "bad.gz", [("good", lattices["word"]), ("stuck", no_end)])
    (tmp_path / "ref").write_text("good 1\nstuck 2\n")
    arguments = [tmp_path / "bad.gz", *([tmp_path / "ref"] if verb == "lattice-oracle" else []), tmp_path / "out"]
    run(verb, *arguments, status=1)
    assert not (tmp_path / "out").exists()
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{verb}: ERROR: 1 of 2" in last and "bad.gz: stuck: no path reaches a final state" in last
    run(verb, "--max-failed", 0.5, *arguments)
    assert (tmp_path / "out").stat().st_size > 0


@pytest.mark.parametrize("verb", VERBS[:4])
def test_costs_that_are_no_numbers(tmp_path, lattices, verb, capsys):
    nan = replace(lattices["more"], arc_graph_cost=np.full(lattices["more"].num_arcs, np.nan, np.float32))
    write_lattices(tmp_path / "bad.gz", [("good", lattices["word"]), ("wrong", nan)])
    run(verb, tmp_path / "bad.gz", tmp_path / "out", status=1)
    assert "bad.gz: wrong: " in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
