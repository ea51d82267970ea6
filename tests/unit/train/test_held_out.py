"""evaluate-nnet: equal to validation in training and to plain loops; phones merged, pdfs shared; bad input."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from asrtool import cli
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.nnet.input import utterance_windows
from asrtool.nnet.model_file import load_model, save_model
from asrtool.train import held_out
from asrtool.train.confusion import PdfPhones, phone_accuracies, phone_classes, top_confusions
from asrtool.train.held_out import evenly_spread

MAKE_TOY = runpy.run_path(str(Path(__file__).parents[2] / "distributed" / "training_toy.py"))["make_toy"]


@pytest.fixture(scope="module", params=["lstm", "dnn"])
def trained(request, tmp_path_factory):
    """A toy task with a network trained for an epoch on it."""
    toy = MAKE_TOY(tmp_path_factory.mktemp(request.param) / "toy", request.param, "single")
    words = ["train-nnet", "--config", str(toy / "config.yaml"), str(toy / "ali"), str(toy / "train"), str(toy / "valid")]
    assert cli.main([*words, str(toy / "exp"), "num_epochs=1", "models_per_epoch=1", "checkpoint.every_syncs=0"]) == 0
    (toy / "ali" / "phones.txt").write_text("".join(f"{name} {i}\n" for i, name in enumerate(["<eps>", *"abcdef"])))
    return toy


def evaluate(toy: Path, *words: str, model: str = "final_ema.pt") -> dict:
    out = toy / "out.json"
    out.unlink(missing_ok=True)
    arguments = ["evaluate-nnet", "--out", str(out), *words, str(toy / "exp" / model), str(toy / "ali"), str(toy / "valid")]
    assert cli.main(arguments) == 0
    return json.loads(out.read_text())


def test_figures_are_those_of_validation_in_training(trained, monkeypatch):
    lines = map(json.loads, (trained / "exp" / "metrics.jsonl").read_text().splitlines())
    records = {line["model"]: line for line in lines if line["kind"] == "valid" and line["epoch"] == 1}
    assert set(records) == {"single", "ma", "ema"}
    monkeypatch.setattr(held_out, "BATCH_WINDOWS", 100)  # several batches
    monkeypatch.setattr(held_out, "CHUNK_WINDOWS", 7)  # and forward passes
    for name, record in records.items():
        found = evaluate(trained, "--max-frames", "0", model=f"final_{name}.pt")
        assert (found["frames"], found["targets"]) == (record["frames"], record["targets"])
        assert found["fer"] == pytest.approx(record["fer"], abs=1e-6)  # as many errors
        assert found["loss"] == pytest.approx(record["loss"], abs=2e-6)
        assert found["frame_accuracy"] == pytest.approx(1 - found["fer"])


def test_confusions_are_those_of_plain_loops(trained, capsys):
    found = evaluate(trained)
    bundle = load_model(trained / "exp" / "final_ema.pt")
    pipeline, options = bundle.pipeline(trained / "valid"), bundle.input
    expected = np.zeros((6, 6), int)
    for name, tids in read_alignments(trained / "ali").items():
        if not name.startswith("valid"):
            continue
        x_BTF = utterance_windows(bundle.normalise(pipeline(name)), options).unsqueeze(0)
        with torch.inference_mode():
            logits, _ = bundle.model(x_BTF, bundle.model.initial_state(1))
        for window in range(logits.shape[1] - options.label_delay):
            frame = min(window * options.stride + options.stride // 2, len(tids) - 1)
            reference = (tids[frame] - 1) // 2  # phone and pdf of the toy's transition-ids
            expected[reference, int(logits[0, window + options.label_delay].argmax())] += 1
    assert found["phones"] == list("abcdef") and found["confusion"] == expected.tolist()
    assert found["targets"] == expected.sum() and found["phone_accuracy"] == np.trace(expected) / expected.sum()
    worst = np.unravel_index((expected - np.diag(np.diag(expected))).argmax(), expected.shape)
    text = capsys.readouterr().out
    assert f"{'abcdef'[worst[0]]} taken for {'abcdef'[worst[1]]}: {expected[worst]} targets" in text
    assert found["by_phone"]["c"] == {"targets": expected[2].sum(), "accuracy": expected[2, 2] / expected[2].sum()}


def test_a_part_of_the_frames(trained, capsys):
    whole = evaluate(trained, "--max-frames", "0")
    half = evaluate(trained, "--max-frames", str(whole["frames"] // 2))
    assert whole["frames"] > half["frames"] >= whole["frames"] // 2 and half["available"] == whole["utterances"] == 6
    assert f"{half['frames']} frames" in capsys.readouterr().out


def test_utterances_are_evenly_spread_whole_and_enough():
    lengths = np.random.default_rng(3).integers(50, 1500, 997)
    before = set()
    for count in (1, 4000, 200000, lengths.sum() - 1):
        chosen = evenly_spread(lengths, count)
        assert count <= lengths[chosen].sum() < count + 1500 and before <= set(chosen)
        gaps = np.diff([*chosen, 997])
        assert gaps.max() <= 2 * gaps[:-1].min(initial=997) and len(chosen) == len(set(chosen))
        before = set(chosen)
    for count in (0, lengths.sum(), lengths.sum() + 1):
        assert len(evenly_spread(lengths, count)) == 997
    assert evenly_spread(np.array([10]), 5).tolist() == [0]


def shared_model() -> TransitionModel:
    """Four phones of one state: 1 and 2 share pdf 0, 2 also has pdf 1; 3 has pdf 1, 4 has pdf 2."""
    states = (HmmState(0, 0, ((0, 0.5), (1, 0.5))), HmmState())
    topology = HmmTopology([states], dict.fromkeys(range(1, 5), 0))
    return TransitionModel(topology, np.array([(1, 0, 0, 0), (2, 0, 0, 0), (2, 0, 1, 1), (3, 0, 1, 1), (4, 0, 2, 2)], np.int32))


def test_a_shared_pdf_is_the_references_phone_or_the_usual_one(tmp_path):
    model = shared_model()
    (tmp_path / "phones.txt").write_text("<eps> 0\nAA 1\nB 2\nC 3\nD 4\n")
    classes = phone_classes(model.phones, tmp_path / "phones.txt")
    alignment = np.repeat(np.array([1, 3, 5, 7, 9]), [2, 5, 1, 4, 0])  # AA 2, B 5 by pdf 0; B 1, C 4 by pdf 1
    pdf_phones = PdfPhones(model, classes, [alignment])
    aa, b, c, d = range(4)
    pdfs, references = np.array([0, 0, 0, 0, 1, 1, 1, 2]), np.array([aa, b, c, d, aa, b, d, aa])
    assert pdf_phones(pdfs, references).tolist() == [aa, b, b, b, c, b, c, d]


def test_positions_in_the_word_are_merged_where_all_four_are_there(tmp_path):
    names = ["SIL", "SIL_B", "SIL_E", "SIL_I", "SIL_S", "AA_B", "AA_E", "AA_I", "AA_S", "X_S", "Y"]
    (tmp_path / "phones.txt").write_text("<eps> 0\n" + "".join(f"{name} {i}\n" for i, name in enumerate(names, 1)))
    classes = phone_classes(list(range(1, 12)), tmp_path / "phones.txt")
    assert classes.names == ["SIL", "AA", "X_S", "Y"]
    assert classes.class_of.tolist() == [-1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 3]
    assert phone_classes([2, 5], None).names == ["2", "5"]


def test_top_confusions_and_accuracies():
    confusion = np.array([[5, 3, 0], [4, 1, 0], [0, 0, 0]])
    assert top_confusions(confusion, ["a", "b", "c"], 5) == [("b", "a", 4), ("a", "b", 3)]
    assert phone_accuracies(confusion, ["a", "b", "c"]) == {
        "a": {"targets": 8, "accuracy": 0.625},
        "b": {"targets": 5, "accuracy": 0.2},
    }


def test_bad_input(trained, tmp_path, capsys):
    model, ali, valid = (str(trained / name) for name in ("exp/final_ema.pt", "ali", "valid"))

    def fails(words: list[str], text: str) -> None:
        assert cli.main(["evaluate-nnet", *words]) == 1
        error = capsys.readouterr().err
        assert text in error and "Traceback" not in error

    bundle = load_model(model)
    torch.nn.utils.vector_to_parameters(torch.full([bundle.model.num_parameters()], torch.nan), bundle.model.parameters())
    save_model(tmp_path / "nan.pt", bundle)
    fails([str(tmp_path / "nan.pt"), ali, valid], "the network's outputs are not finite on these data")
    fails(["--max-frames", "-1", model, ali, valid], "--max-frames -1: expected 0 (all) or more")
    fails([model, valid, valid], "final.mdl: no such file; is")
    fails([str(trained / "config.yaml"), ali, valid], "not a model file")
    (tmp_path / "phones.txt").write_text("<eps> 0\na 1\n")
    fails(["--phones", str(tmp_path / "phones.txt"), model, ali, valid], "phones.txt: no symbol with id 2")
    for part in ("feats.scp", "utt2spk"):
        (tmp_path / part).write_text((trained / "valid" / part).read_text())
    lengths = (trained / "valid" / "utt2num_frames").read_text().split()
    (tmp_path / "utt2num_frames").write_text("".join(f"{utt} {int(n) + 1}\n" for utt, n in zip(lengths[::2], lengths[1::2])))
    fails([model, ali, str(tmp_path)], f"valid-000: {int(lengths[1]) + 1} frames of features but an alignment of {lengths[1]}")
    other = tmp_path / "other"
    other.mkdir()
    (other / "ali.1").write_text("nobody 1 2\n")
    (other / "final.mdl").write_bytes((trained / "ali" / "final.mdl").read_bytes())
    fails([model, str(other), valid], "none of its 6 utterances has an alignment")
    (other / "ali.1").write_text(f"valid-000 {' '.join(['99'] * int(lengths[1]))}\n")
    fails([model, str(other), valid], "valid-000: transition-id 99 is not in")
    with pytest.raises(SystemExit):
        cli.main(["evaluate-nnet", str(tmp_path / "none.pt"), ali, valid])
    assert "none.pt: no such file" in capsys.readouterr().err
