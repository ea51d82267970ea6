"""decode-fmllr from end to end on utterances, graph and model that Kaldi wrote, against the single steps done one by one."""

import json
import shutil

import kaldiio
import numpy as np
import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.gmm.features import apply_transform, open_features
from asrtool.gmm.fmllr import FmllrOptions, compose, estimate
from asrtool.gmm.fmllr_speakers import read_transforms
from asrtool.gmm.fmllr_statistics import FramePdfs, collect_fmllr
from asrtool.gmm.model import read_model, write_model
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.lattice.archive import read_lattices, write_lattices
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.determinize import determinize
from asrtool.lattice.lattice import best_path
from asrtool.lattice.posteriors import posteriors
from asrtool.train.gmm_rescore import DecodedLattices, rescore_acoustic

UTTERANCES = ("1447-014470060", "3020-030200016", "6010-060100092")
SCALE = 0.083333
NARROW = ["--beam", "9", "--max-active", "1000"]
FULL = [*NARROW, "--fmllr-min-count", "100"]


@pytest.fixture(scope="module")
def experiment(kaldi_reference, tmp_path_factory):
    """exp/ (GMM on ready-made features), graph/ and data/ of three utterances, two of one speaker, and a first pass in si/."""
    root, source = tmp_path_factory.mktemp("fmllr"), kaldi_reference / "lattice"
    for name in ("exp", "graph/phones", "data"):
        (root / name).mkdir(parents=True)
    shutil.copy(source / "final.mdl", root / "exp" / "final.mdl")
    (root / "exp" / "cmvn_opts").write_text("--norm-means=false\n")
    (root / "exp" / "delta_opts").write_text("--delta-order=0\n")
    CsrGraph.from_fst_file(source / "HCLG.fst.gz").write_fst_file(root / "graph" / "HCLG.fst")
    shutil.copy(source / "words.txt", root / "graph" / "words.txt")
    shutil.copy(source / "silence.csl", root / "graph" / "phones" / "silence.csl")
    features = {name: matrix for name, matrix in kaldiio.load_ark(str(source / "feats.ark")) if name in UTTERANCES}
    with MatrixWriter(root / "data" / "feats.ark", root / "data" / "feats.scp") as writer:
        for name in UTTERANCES:
            writer.write(name, features[name])
    speakers = dict(zip(UTTERANCES, ("one", "two", "one")))
    (root / "data" / "utt2spk").write_text("".join(f"{name} {speaker}\n" for name, speaker in speakers.items()))
    assert main(["decode-gmm", "--nj", "1", *NARROW, str(root / "exp/final.mdl"), *paths(root), str(root / "si")]) == 0
    return root


def paths(root):
    return str(root / "graph"), str(root / "data")


def decode(root, out, *more):
    return main(["decode-fmllr", "--nj", "2", "--si-dir", str(root / "si"), *more, str(root / "exp"), *paths(root), str(out)])


@pytest.fixture(scope="module")
def decoded(experiment):
    assert decode(experiment, experiment / "decode", *FULL) == 0
    return experiment / "decode"


def step_by_step(root, lattices, features, silence_weight=0.01) -> dict[str, np.ndarray]:
    """Transforms from lattices, utterance by utterance and frame by frame."""
    transition_model, model = read_model(root / "exp" / "final.mdl")
    silence = [int(phone) for phone in (root / "graph/phones/silence.csl").read_text().split(":")]
    sums = {}
    for utterance, lattice in lattices.items():
        post = posteriors(lattice, SCALE)
        frames = []
        for t in range(post.num_frames):
            weights = {}
            for pair in range(post.frame_begin[t], post.frame_begin[t + 1]):
                tid, weight = int(post.label[pair]), float(post.weight[pair])
                pdf = int(transition_model.tid_to_pdf[tid])
                weights[pdf] = weights.get(pdf, 0) + weight * (
                    silence_weight if transition_model.tid_to_phone[tid] in silence else 1
                )
            frames.append(weights)
        begin = np.cumsum([0] + [len(one) for one in frames])
        pairs = [pair for one in frames for pair in one.items()]
        pdfs = FramePdfs(begin, np.array([pdf for pdf, _ in pairs], np.int32), np.array([one for _, one in pairs], np.float32))
        statistics = collect_fmllr(features(utterance), pdfs, model)
        speaker = features.data.utt2spk[utterance]
        if speaker in sums:
            sums[speaker].add(statistics)
        else:
            sums[speaker] = statistics
    found = estimate(list(sums.values()), FmllrOptions(min_count=100))
    assert not any(one.reason for one in found)
    return dict(zip(sums, (one.transform for one in found)))


def test_transforms_and_lattices_are_those_of_the_single_steps(experiment, decoded, tmp_path):
    plain = open_features(experiment / "data", experiment / "exp")
    first = step_by_step(experiment, dict(read_lattices(experiment / "si")), plain)
    adapted = plain.with_speaker_transforms(first)
    # the main pass, as features on disk
    with MatrixWriter(tmp_path / "feats.ark", tmp_path / "feats.scp") as writer:
        for name in UTTERANCES:
            writer.write(name, adapted(name))
    shutil.copy(experiment / "data" / "utt2spk", tmp_path / "utt2spk")
    command = ["decode-gmm", "--nj", "1", *NARROW, "--determinize-lattice", "false", str(experiment / "exp/final.mdl")]
    assert main([*command, str(experiment / "graph"), str(tmp_path), str(tmp_path / "main")]) == 0
    raw = dict(read_lattices(tmp_path / "main"))
    second = step_by_step(experiment, {name: determinize(lattice, SCALE, 4.0) for name, lattice in raw.items()}, adapted)
    found = read_transforms(decoded)
    for speaker in ("one", "two"):
        np.testing.assert_allclose(found[speaker], compose(second[speaker], first[speaker]), atol=2e-3)
        assert np.abs(second[speaker][:, :-1] - np.eye(39)).max() > 0.01
    # the final costs: words as in the raw lattices, acoustic costs of both transforms
    transition_model, model = read_model(experiment / "exp" / "final.mdl")
    final = plain.with_speaker_transforms(found)
    result = dict(read_lattices(decoded))
    assert list(result) == list(UTTERANCES) and all(type(lattice) is CompactLattice for lattice in result.values())
    for name in UTTERANCES:
        path, loglikes = best_path(result[name], SCALE), model.loglikes(final(name))
        own = loglikes[np.arange(len(loglikes)), transition_model.tid_to_pdf[path.transition_ids]].sum(dtype=np.float64)
        assert path.acoustic_cost == pytest.approx(-own, rel=1e-4)
        before = best_path(dict(read_lattices(experiment / "si"))[name], SCALE)
        log_det = np.linalg.slogdet(found[plain.data.utt2spk[name]][:, :-1])[1]
        assert path.acoustic_cost - len(loglikes) * log_det < before.acoustic_cost - 50, "adapted features fit better"
    assert sorted(path.name for path in decoded.iterdir()) == ["decode.json", "hyp.txt", "lat.1.gz", "trans.1"]


def test_without_transforms_it_is_plain_decoding(experiment, tmp_path):
    """Rescoring with the same model and features changes no word, no alignment and no cost."""
    assert decode(experiment, tmp_path / "out", *NARROW, "--fmllr-update-type", "none") == 0
    assert (tmp_path / "out" / "hyp.txt").read_text() == (experiment / "si" / "hyp.txt").read_text()
    for (name, one), (_, two) in zip(read_lattices(tmp_path / "out"), read_lattices(experiment / "si"), strict=True):
        paths_of_both = [best_path(lattice, SCALE) for lattice in (one, two)]
        assert paths_of_both[0].transition_ids.tolist() == paths_of_both[1].transition_ids.tolist(), name
        assert paths_of_both[0].graph_cost == pytest.approx(paths_of_both[1].graph_cost, abs=1e-3)
        assert paths_of_both[0].acoustic_cost == pytest.approx(paths_of_both[1].acoustic_cost, rel=1e-5)
        assert (one.num_states, one.num_arcs) == (two.num_states, two.num_arcs)


@pytest.mark.parametrize("dies_at", ["main", "second", "final"])
def test_a_killed_decoding_goes_on(experiment, decoded, tmp_path, monkeypatch, dies_at):
    import asrtool.train.decode_fmllr as module

    class KilledError(BaseException):
        pass

    def die(*_args, **_kwargs):
        raise KilledError

    with monkeypatch.context() as patch:
        name = {"main": "make_decoder", "second": "determinize", "final": "rescore_acoustic"}[dies_at]
        patch.setattr(module, name, die)
        with pytest.raises(KilledError):
            decode(experiment, tmp_path / "out", *FULL)
    assert not (tmp_path / "out" / "decode.json").exists() and (tmp_path / "out" / "pre_trans.1").is_file()
    first = (tmp_path / "out" / "pre_trans.1").stat().st_mtime_ns
    seen = []
    write = module.write_transforms
    monkeypatch.setattr(module, "write_transforms", lambda *args: (seen.append(args[2:]), write(*args)))
    assert decode(experiment, tmp_path / "out", *FULL) == 0
    assert ("pre_trans",) not in seen and len(seen) == (dies_at != "final") and first
    for name in ("hyp.txt", "lat.1.gz", "trans.1"):
        assert (tmp_path / "out" / name).read_bytes() == (decoded / name).read_bytes()
    monkeypatch.setattr(module, "load_graph", die)
    assert decode(experiment, tmp_path / "out", *FULL) == 0, "done already"


def test_other_settings_start_anew(experiment, tmp_path, monkeypatch):
    import asrtool.train.decode_fmllr as module

    def stop(*_args, **_kwargs):
        raise AsrtoolError("stopped")

    monkeypatch.setattr(module, "load_graph", stop)
    made = []
    for weight in ("0.5", "0.5", "0.01"):
        assert decode(experiment, tmp_path / "out", *FULL, "--silence-weight", weight) == 1
        made.append((tmp_path / "out" / "pre_trans.1").read_bytes())
    assert made[0] == made[1] != made[2]
    note = json.loads((tmp_path / "out" / "fmllr.json").read_text())
    assert note["silence_weight"] == 0.01 and note["fmllr"]["min_count"] == 100


def test_bad_input(experiment, tmp_path, capsys):
    assert decode(experiment, tmp_path / "out", "--lattice", "false") == 1
    assert decode(experiment, tmp_path / "out", "--fmllr-update-type", "half") == 1
    assert decode(experiment, tmp_path / "out", "--silence-weight", "-1") == 1
    text = capsys.readouterr().err
    for message in ("estimated from lattices", "--fmllr-update-type 'half'", "--silence-weight must be from 0 to 1"):
        assert text.count(message) == 1
    # another model: fewer transition-ids
    other = tmp_path / "other"
    shutil.copytree(experiment / "graph", other / "graph")
    (other / "graph" / "phones" / "silence.csl").unlink()
    arguments = ["--si-dir", str(experiment / "si"), str(experiment / "exp"), str(other / "graph"), str(experiment / "data")]
    assert main(["decode-fmllr", *arguments, str(tmp_path / "out")]) == 1
    assert "silence.csl: no such file; make the graph" in capsys.readouterr().err


def test_lattices_of_another_model(experiment, kaldi_reference, tmp_path, capsys):
    """An alignment model of another tree; lattices with transition-ids that the model lacks."""
    transition_model, _ = read_model(kaldi_reference / "gmm" / "tri1" / "final.mdl")
    _, model = read_model(experiment / "exp" / "final.mdl")
    if transition_model.num_pdfs > model.num_pdfs:
        _, model = read_model(kaldi_reference / "gmm" / "tri1" / "final.mdl")
    write_model(tmp_path / "other.mdl", transition_model, model)
    assert decode(experiment, tmp_path / "out", *NARROW, "--alignment-model", str(tmp_path / "other.mdl")) == 1
    assert "other.mdl: its transition-ids are not those of the adapted model" in capsys.readouterr().err


def test_bad_lattices_are_named_and_left_out(experiment, tmp_path, monkeypatch, capsys):
    """A lattice under another utterance's name, an utterance without a speaker; then nothing that could be used."""
    import asrtool.train.decode_fmllr as module

    monkeypatch.setattr(module, "load_graph", lambda *_: (_ for _ in ()).throw(AsrtoolError("stopped")))
    lattices = dict(read_lattices(experiment / "si"))
    (tmp_path / "si").mkdir()
    exchanged = {
        UTTERANCES[0]: lattices[UTTERANCES[1]],
        UTTERANCES[1]: lattices[UTTERANCES[1]],
        UTTERANCES[2]: lattices[UTTERANCES[2]],
    }
    data = tmp_path / "data"
    shutil.copytree(experiment / "data", data)
    (data / "utt2spk").write_text("".join((experiment / "data/utt2spk").read_text().splitlines(keepends=True)[:2]))
    command = ["decode-fmllr", "--nj", "1", "--si-dir", str(tmp_path / "si"), *FULL, str(experiment / "exp")]
    command += [str(experiment / "graph"), str(data), str(tmp_path / "out")]
    write_lattices(tmp_path / "si" / "lat.1.gz", exchanged.items())
    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"WARNING: {UTTERANCES[0]}: not used for fMLLR: " in said and "frames have posteriors, the features have" in said
    assert f"WARNING: {UTTERANCES[2]}: not used for fMLLR: {data}/utt2spk: not in it" in said and "stopped" in said
    assert list(read_transforms(tmp_path / "out", "pre_trans")) == ["two"]
    write_lattices(tmp_path / "si" / "lat.1.gz", list(exchanged.items())[:1])
    assert main(command) == 1
    assert "no lattice could be used to estimate fMLLR transforms" in capsys.readouterr().err


def test_rescoring_replaces_acoustic_costs_alone(experiment, kaldi_reference):
    transition_model, model = read_model(experiment / "exp" / "final.mdl")
    name, lattice = next(iter(read_lattices(kaldi_reference / "lattice" / "raw_lat.gz")))
    features = dict(kaldiio.load_ark(str(kaldi_reference / "lattice" / "feats.ark")))[name]
    moved = apply_transform(features, np.concatenate([np.eye(39) * 0.9, np.full((39, 1), 0.1)], axis=1).astype(np.float32))
    same, other = (rescore_acoustic(lattice, rows, model, transition_model.tid_to_pdf) for rows in (features, moved))
    np.testing.assert_allclose(same.arc_acoustic_cost, lattice.arc_acoustic_cost, rtol=1e-3, atol=2e-2)
    loglikes = model.loglikes(moved)
    for arc in range(0, lattice.num_arcs, 97):
        tid = lattice.arc_transition_id[arc]
        expected = -loglikes[lattice.state_frame[lattice.arc_start[arc]], transition_model.tid_to_pdf[tid]] if tid else 0
        assert other.arc_acoustic_cost[arc] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(other.arc_graph_cost, lattice.arc_graph_cost)
    with pytest.raises(AsrtoolError, match="frames, the features have"):
        rescore_acoustic(lattice, features[:-1], model, transition_model.tid_to_pdf)
    with pytest.raises(AsrtoolError, match="is not one of the model"):
        rescore_acoustic(lattice, features, model, transition_model.tid_to_pdf[:50])


def test_lattices_are_found_in_any_order_of_threads(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("asrtool.train.gmm_rescore.PART", 2)
    monkeypatch.setattr("asrtool.decoder.decode_data.PART", 2)
    command = ["decode-gmm", "--nj", "1", "--beam", "6", "--determinize-lattice", "false", str(experiment / "exp/final.mdl")]
    assert main([*command, *paths(experiment), str(tmp_path)]) == 0
    expected = dict(read_lattices(tmp_path))
    source = DecodedLattices(tmp_path, [*UTTERANCES, "x-failed"])
    for name in (UTTERANCES[1], UTTERANCES[2], UTTERANCES[0]):
        assert source(name).arc_word.tolist() == expected[name].arc_word.tolist()
    with pytest.raises(AsrtoolError, match="not decoded in the pass before"):
        source("x-failed")
