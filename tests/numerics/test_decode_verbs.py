"""decode-gmm, decode-nnet and score from end to end on utterances, graph and model that Kaldi wrote; and on bad input."""

import json
import shutil

import kaldiio
import numpy as np
import pytest

from asrtool.cli import main
from asrtool.fst.csr import CsrGraph
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import Lattice

UTTERANCES = ("1447-014470060", "3020-030200016", "6010-060100092")


@pytest.fixture(scope="module")
def experiment(kaldi_reference, tmp_path_factory):
    """exp/ (GMM on ready-made features), graph/ and data/ of three utterances."""
    root, source = tmp_path_factory.mktemp("decode"), kaldi_reference / "lattice"
    for name in ("exp", "graph", "data"):
        (root / name).mkdir()
    shutil.copy(source / "final.mdl", root / "exp" / "final.mdl")
    (root / "exp" / "cmvn_opts").write_text("--norm-means=false\n")
    (root / "exp" / "delta_opts").write_text("--delta-order=0\n")
    CsrGraph.from_fst_file(source / "HCLG.fst.gz").write_fst_file(root / "graph" / "HCLG.fst")
    shutil.copy(source / "words.txt", root / "graph" / "words.txt")
    features = {name: matrix for name, matrix in kaldiio.load_ark(str(source / "feats.ark")) if name in UTTERANCES}
    with MatrixWriter(root / "data" / "feats.ark", root / "data" / "feats.scp") as writer:
        for name in UTTERANCES:
            writer.write(name, features[name])
    (root / "data" / "utt2spk").write_text("".join(f"{name} {name[:4]}\n" for name in UTTERANCES))
    lines = [line for line in (source / "ref.txt").read_text().splitlines() if line.startswith(UTTERANCES)]
    (root / "data" / "text").write_text("\n".join(lines) + "\n")
    return root


def decode(root, out, *more, data="data", graph="graph"):
    return main(
        ["decode-gmm", "--nj", "2", *more, str(root / "exp" / "final.mdl"), str(root / graph), str(root / data), str(out)]
    )


def test_gmm_lattices_words_and_scores(experiment, kaldi_reference, tmp_path, capsys):
    out = tmp_path / "decode"
    assert decode(experiment, out) == 0
    log = capsys.readouterr().err
    assert (
        "3 utterances done, 0 failed" in log
        and "661 frames, log-likelihood per frame -7.8037" in log
        and "real-time factor" in log
    )
    kaldi_words = {
        line.split()[0]: list(map(int, line.split()[1:]))
        for line in (kaldi_reference / "lattice" / "best_words.int").read_text().splitlines()
    }
    symbols = dict(line.split()[::-1] for line in (experiment / "graph" / "words.txt").read_text().splitlines())
    hypotheses = {line.split()[0]: line.split()[1:] for line in (out / "hyp.txt").read_text().splitlines()}
    assert hypotheses == {name: [symbols[str(word)] for word in kaldi_words[name]] for name in UTTERANCES}
    compact = dict(read_lattices(out / "lat.1.gz"))
    assert list(compact) == list(UTTERANCES) and all(type(lattice) is CompactLattice for lattice in compact.values())
    assert sorted(path.name for path in out.iterdir()) == ["decode.json", "hyp.txt", "lat.1.gz"]
    assert main(["score", str(experiment / "data"), str(experiment / "graph"), str(out)]) == 0
    assert (out / "scoring_kaldi" / "best_wer").read_text().startswith("%WER ")
    # HE LIKES CAKE, THIS WAS THE ROOM; "I WANT TO LOVE" for "I WENT OUT LAST"
    assert (out / "wer_12_0.0").read_text().startswith("%WER 27.27 [ 3 / 11, 0 ins, 0 del, 3 sub ]")


def test_state_level_lattices_on_demand(experiment, tmp_path):
    """With the same best words, and, determinised by the verb, the lattices that decoding writes by default."""
    raw, out = tmp_path / "raw", tmp_path / "decode"
    assert decode(experiment, raw, "--determinize-lattice", "false") == 0 and decode(experiment, out) == 0
    assert (raw / "hyp.txt").read_text() == (out / "hyp.txt").read_text()
    assert all(type(lattice) is Lattice for _, lattice in read_lattices(raw))
    options = ["--acoustic-scale", "0.083333", "--beam", "6"]
    assert main(["lattice-determinize-pruned", *options, str(raw), str(tmp_path / "lat.1.gz")]) == 0
    assert (tmp_path / "lat.1.gz").read_bytes() == (out / "lat.1.gz").read_bytes()


def test_a_finished_decoding_is_not_done_again_and_a_killed_one_goes_on(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("asrtool.decoder.decode_data.PART", 1)
    out = tmp_path / "decode"
    assert decode(experiment, out) == 0
    assert len(list(out.glob("lat.*.gz"))) == 3
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    assert decode(experiment, out) == 0 and capsys.readouterr().err == ""

    class KilledError(BaseException):
        pass

    killed, calls = tmp_path / "killed", []
    from asrtool.decoder.beam_search import BeamSearchDecoder

    real = BeamSearchDecoder.decode_lattice

    def dying(self, loglikes):
        calls.append(len(loglikes))
        if len(calls) == 3:
            raise KilledError
        return real(self, loglikes)

    monkeypatch.setattr(BeamSearchDecoder, "decode_lattice", dying)
    with pytest.raises(KilledError):
        decode(experiment, killed, "--nj", "1")
    assert (killed / "hyp.1.txt").is_file() and not (killed / "decode.json").exists()
    left = 3 - len(list(killed.glob("hyp.*.txt")))
    calls[:] = [0] * 3
    assert decode(experiment, killed, "--nj", "1") == 0
    assert len(calls) - 3 == left < 3
    assert {path.name: path.read_bytes() for path in killed.iterdir()} == first
    assert decode(experiment, killed, "--beam", "8") == 0  # other settings: all of it again
    assert len(calls) - 3 == left + 3


def test_one_best_mode_of_several_networks(experiment, tmp_path):
    import torch

    from asrtool.feat.pipeline import FeatureOptions
    from asrtool.nnet.input import InputOptions
    from asrtool.nnet.model_file import ModelBundle, save_model
    from asrtool.nnet.registry import make_model

    torch.manual_seed(0)
    settings = {"kind": "dnn", "num_layers": 1, "hidden_dim": 8}
    models, outs = [], []
    for n in range(2):
        bundle = ModelBundle(
            model=make_model(settings, 39, 127),
            settings=settings,
            features=FeatureOptions(cmvn="none", delta_order=0),
            input=InputOptions(),
            feature_mean_D=torch.zeros(39),
            feature_scale_D=torch.ones(39),
            log_prior_P=np.full(127, -np.log(127), np.float32),
        )
        models.append(tmp_path / f"{n}.pt")
        outs.append(tmp_path / f"decode_{n}")
        save_model(models[-1], bundle)
    pairs = [str(part) for pair in zip(models, outs) for part in pair]
    arguments = ["decode-nnet", "--lattice", "false", "--nj", "2", "--max-active", "300", "--word-insertion-penalty", "1.0"]
    arguments += [
        "--transition-model",
        str(experiment / "exp" / "final.mdl"),
        str(experiment / "graph"),
        str(experiment / "data"),
    ]
    assert main([*arguments, *pairs]) == 0
    for out in outs:
        assert [line.split()[0] for line in (out / "hyp.txt").read_text().splitlines()] == list(UTTERANCES)
        assert not list(out.glob("lat*"))
        assert json.loads((out / "decode.json").read_text())["settings"]["word_insertion_penalty"] == 1.0
    assert main(["score", "--best-path", "true", str(experiment / "data"), str(experiment / "graph"), *map(str, outs)]) == 0
    assert (outs[1] / "scoring_kaldi" / "best_wer").read_text().strip().endswith("wer_hyp")


def damaged(root, tmp_path, part):
    shutil.copytree(root / part, tmp_path / part, symlinks=True)
    return tmp_path / part


def test_nan_features_fail_the_utterance_and_too_many_the_run(experiment, tmp_path, capsys):
    data = damaged(experiment, tmp_path, "data")
    matrices = dict(kaldiio.load_scp(str(data / "feats.scp")).items())
    with MatrixWriter(data / "new.ark", data / "feats.scp") as writer:
        for name in UTTERANCES:
            matrix = matrices[name].copy()
            if name == UTTERANCES[1]:
                matrix[7, 3] = np.nan
            writer.write(name, matrix)
    assert decode(experiment, tmp_path / "out", "--max-failed", "0.5", data=data) == 0
    error = capsys.readouterr().err
    assert any(line.startswith(f"WARNING: {UTTERANCES[1]}: ") and "NaN" in line for line in error.splitlines()), error
    assert "2 utterances done, 1 failed" in error
    assert len((tmp_path / "out" / "hyp.txt").read_text().splitlines()) == 2
    assert decode(experiment, tmp_path / "strict", data=data) == 1
    assert "1 of 3 utterances failed (allowed: 10%)" in capsys.readouterr().err
    assert not (tmp_path / "strict" / "decode.json").exists()


def other_graph(graph):
    csr = CsrGraph.from_fst_file(graph / "HCLG.fst")
    csr.arc_ilabel = csr.arc_ilabel + 2000 * (csr.arc_ilabel > 0)
    csr.write_fst_file(graph / "HCLG.fst")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda graph: (graph / "HCLG.fst").unlink(), "HCLG.fst: No such file"),
        (lambda graph: (graph / "words.txt").unlink(), "words.txt: no such symbol table"),
        (lambda graph: (graph / "words.txt").write_text("<eps> 0\n"), "which is in HCLG.fst; make the graph again"),
        (lambda graph: (graph / "num_pdfs").write_text("99\n"), "the graph is for 99 pdfs, the model has 127"),
        (lambda graph: (graph / "HCLG.fst").write_bytes(b"nonsense"), "HCLG.fst: "),
        (other_graph, "the graph belongs to another model"),
    ],
)
def test_bad_graphs(experiment, tmp_path, capsys, damage, message):
    graph = damaged(experiment, tmp_path, "graph")
    damage(graph)
    assert decode(experiment, tmp_path / "out", graph=graph) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1, error


@pytest.mark.parametrize(
    ("more", "message"), [(["--beam", "0"], "must be above 0"), (["--max-active", "1"], "max_active must be at least 2")]
)
def test_bad_options(experiment, tmp_path, capsys, more, message):
    assert decode(experiment, tmp_path / "out", *more) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_features_of_another_dimension(experiment, tmp_path, capsys):
    data = damaged(experiment, tmp_path, "data")
    with MatrixWriter(data / "new.ark", data / "feats.scp") as writer:
        for name in UTTERANCES:
            writer.write(name, np.zeros((20, 13), np.float32))
    assert decode(experiment, tmp_path / "out", data=data) == 1
    assert "the model takes features of dimension 39, found 13" in capsys.readouterr().err.splitlines()[-1]
