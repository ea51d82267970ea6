"""A study of sequence training: what it trains, in which order, and what is said of the outcome."""

import dataclasses
import shlex

import pytest

from asrtool.errors import AsrtoolError
from asrtool.report.results_page import sequence_table
from asrtool.report.sequence_study import Study, StudyConfig, Training
from asrtool.report.sequence_study_jobs import PHASES, jobs, mark_diverged
from asrtool.report.sequence_study_page import write_results
from asrtool.report.sequence_study_results import read_counts, read_study
from asrtool.score.preparation import Preparation
from asrtool.score.sweep import write_scores

DATA = ("ali", "ali_valid", "train", "valid", "lang", "graph", "dev", "test")
REFERENCES = {f"u{i}": ["a", "b", "c", "d"] for i in range(30)}


def make(tmp_path, **changed) -> Study:
    study = Study(StudyConfig(*DATA, **{"seeds": [1], "ce_epochs": 4, "switch_epochs": [1, 4], **changed}), tmp_path / "seq")
    study.save()
    return study


def decode(directory, wrong: int) -> None:
    """Scored decodings in which the first `wrong` utterances have one substitution each."""
    texts = {
        name: ["x" if i < wrong and j == 1 else word for j, word in enumerate(words)]
        for i, (name, words) in enumerate(REFERENCES.items())
    }
    write_scores(directory, REFERENCES, {None: texts}, Preparation())


def finish(study: Study, errors: dict[Training, tuple[int, int]]) -> None:
    """Trainings that are done, with errors on dev and test of the global model; the average has one more on dev, none on test."""
    for training, counts in errors.items():
        directory = training.directory(study.directory, 1)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "done").touch()
        for dataset, wrong in zip(("dev", "test"), counts):
            for kind, where in training.decodings(study.directory, 1, "ema", dataset).items():
                decode(where, wrong if kind == training.algorithm or training.epoch else wrong + 1 if dataset == "dev" else 0)


def test_each_training_is_listed_once_and_tables_share_them(tmp_path):
    study = make(tmp_path, tables=["1", "2", "3", "criteria", "parallel"])
    names = [training.name for training in study.trainings()]
    assert len(set(study.trainings())) == len(names) == 16
    assert sorted(name for name in names if not name.startswith("ce-")) == [
        *("bmmi-lstm-2gram", "mmi-lstm-2gram", "mmi-lstm-2gram-e1", "mpe-lstm-2gram", "mpfe-lstm-2gram", "smbr-gmm-2gram"),
        *("smbr-lstm-1gram", "smbr-lstm-2gram", "smbr-lstm-2gram-asgd", "smbr-lstm-2gram-bmuf", "smbr-lstm-2gram-bsp"),
        *("smbr-lstm-2gram-e1", "smbr-lstm-3gram"),
    ]
    assert study.table("1")["gmm"] == [Training("ce", "gmm"), Training("smbr", "gmm")]


def test_phases(tmp_path):
    study = make(tmp_path, tables=["1", "3"], seq_opts=["num_epochs=1"])
    lines = {phase: [shlex.split(line) for line in jobs(study, phase)] for phase in PHASES}
    assert {phase: len(found) for phase, found in lines.items()} == {
        "ce": 1, "align": 2, "ce_again": 1, "graphs": 1, "sequence": 5, "parallel": 0, "decode": 0,
    }  # fmt: skip
    assert lines["ce"][0][0] == "steps/nnet/train.sh" and lines["ce"][0][-1] == "seed=1"
    early = next(words for words in lines["sequence"] if f"{study.directory}/sequence/mmi-lstm-2gram-e1-s1" in words)
    assert f"{study.directory}/ce/ce-lstm-s1/models/ema/1.1.pt" in early and f"{study.directory}/graph_2gram" in early
    assert {"sequence.criterion=mmi", "parallel.algorithm=single", "num_epochs=1", "conf/mmi_mini.yaml"} <= set(early)
    finish(study, {Training("ce", "gmm"): (5, 5), Training("smbr", "gmm"): (5, 5)})
    assert jobs(study, "ce") == [] and len(jobs(study, "sequence")) == 4
    last = Training("smbr", "gmm").decodings(study.directory, 1, "ema", "test")["ema"]
    (last / "scoring_kaldi/best_wer").unlink()
    (line,) = jobs(study, "decode")
    assert line.startswith("steps/nnet/evaluate.sh") and line.endswith(f"final_ema.pt {last}")


def test_outcomes_and_page(tmp_path):
    study = make(tmp_path, tables=["1"], start="gmm")
    finish(study, {Training("ce", "gmm"): (20, 18), Training("smbr", "gmm"): (9, 6), Training("ce", "lstm"): (20, 20)})
    (Training("smbr", "lstm").directory(study.directory, 1)).mkdir(parents=True)
    (Training("smbr", "lstm").directory(study.directory, 1) / "diverged").write_text("ERROR: lower the learning rate\n")
    outcomes = read_study(study)
    better = outcomes[Training("smbr", "gmm")]
    assert (
        better.kinds == {1: "single"} and better.test[1].substitutions == 6
    )  # chosen on dev, though the average has none on test
    assert better.gain[1] == pytest.approx(100 * 12 / 18)
    # 18 segments, in 12 of which the second system has one error less: z = -0.6667 / (0.4851 / sqrt(18)) = -5.831
    assert better.p[1] == pytest.approx(5.5e-9, rel=0.02)
    assert outcomes[Training("smbr", "lstm")].diverged == [1] and outcomes[Training("smbr", "lstm")].rate() is None
    lines = write_results(study, "Title", "command", "abc")
    assert "| GMM | 15.00 | 5.00 \\* |" in lines and "| network | 16.67 | -, 1 diverged |" in lines
    page = (study.directory / "RESULTS.md").read_text()
    assert "| smbr-gmm-2gram | 7.50 | 5.00 | -66.7 | 0 | 0 | 6 | 5.5e-09 | single | 1 |" in page and "- commit: abc" in page


def test_the_directory_of_another_study_and_bad_settings(tmp_path):
    study = make(tmp_path)
    dataclasses.replace(study, config=dataclasses.replace(study.config, seeds=[1, 2])).save()
    assert Study.load(study.directory).config.seeds == [1, 2]
    with pytest.raises(AsrtoolError, match="ce_epochs was 4, now 5; give another directory"):
        make(tmp_path, ce_epochs=5)
    for wrong in ({"tables": ["4"]}, {"start": "dnn"}, {"seeds": []}, {"switch_epochs": [9]}):
        with pytest.raises(ValueError, match=r"table|start|seeds|switch_epochs"):
            make(tmp_path, **wrong)


def test_divergence_is_told_from_other_failures(tmp_path):
    (tmp_path / "log").mkdir()
    log = tmp_path / "log/train.log"
    log.write_text("asrtool train-seq: ERROR: a.yaml: no such file\n")
    assert not mark_diverged(tmp_path) and not (tmp_path / "diverged").exists()
    log.write_text("asrtool train-seq: ERROR: the loss is nan: check their features, or lower schedule.learning_rate\n")
    assert mark_diverged(tmp_path) and "lower schedule" in (tmp_path / "diverged").read_text()


def test_a_score_that_cannot_be_read(tmp_path):
    assert read_counts(tmp_path, "wer") is None
    (tmp_path / "scoring_kaldi").mkdir()
    (tmp_path / "scoring_kaldi/best_wer").write_text("nothing\n")
    with pytest.raises(AsrtoolError, match="expected a line '%WER"):
        read_counts(tmp_path, "wer")


def test_table_of_a_recipe():
    results = [{"system": name, "set": "test", "metric": "cer", "value": value} for name, value in
               (("lstm_bmuf", 10.0), ("lstm_smbr_bmuf", 9.0), ("lstm_ema", 9.5))]  # fmt: skip
    assert sequence_table(results, "test", {"lstm": "lstm_smbr"}) == [
        "| Methods (CER %, test) | LSTM, CE | then smbr |",
        "|---|---|---|",
        "| BMUF | 10.00 | 9.00 |",
        "| BMUF + EMA | 9.50 | - |",
    ]
