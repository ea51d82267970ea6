"""asrtool report: what the page holds, that it is valid HTML that needs nothing else, and what it says of missing pieces."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from asrtool import cli
from asrtool.feat.pipeline import FeatureOptions
from asrtool.io.alignment import write_alignments
from asrtool.loader.statistics import length_statistics
from asrtool.nnet.input import InputOptions
from asrtool.nnet.log_prior import log_prior
from asrtool.nnet.model_file import ModelBundle, save_model
from asrtool.nnet.registry import make_model
from asrtool.report.confusions import order_of_phones
from asrtool.report.data_statistics import data_paths, pdf_shares
from asrtool.report.experiment import by_epoch
from asrtool.report.pictures import running_mean, thin
from asrtool.report.speed import clock, worker_shares

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = "</pre><script>alert('x')</script> & <b>"


class Checker(HTMLParser):
    """Every element is closed in order, ids are unique, links lead to ids, nothing is loaded; collects text and tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.words = [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == [] and len(self.ids) == len(set(self.ids)) and set(self.links) <= set(self.ids)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            assert name not in ("src", "srcset", "onload", "xlink:href", "action")
            if name == "id":
                self.ids.append(value)
            if name == "href":
                assert value.startswith("#")
                self.links.append(value[1:])
            self.links += re.findall(r"url\(#([^)]+)\)", value or "")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def write_metrics(path: Path, records: list[dict]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def train_record(epoch: float, **more) -> dict:
    numbers = {"loss": 2.0 / epoch, "fer": 0.5, "frames": 36000, "targets": 12000, "frames_per_s": 18000.0}
    return {"kind": "train", "epoch": epoch, "model": "bmuf", **numbers, "learning_rate": 0.1 / epoch, **more}


def valid_record(epoch: int, model: str, fer: float) -> dict:
    numbers = {"loss": 4 * fer, "fer": fer, "frames": 5000, "targets": 1667, "frames_per_s": 50000.0}
    return {"kind": "valid", "epoch": epoch, "model": model, **numbers}


def make_page(experiment: Path) -> Checker:
    assert cli.main(["report", str(experiment)]) == 0
    page = (experiment / "report.html").read_text(encoding="utf-8")
    assert len(page) < 2e6 and not re.search(r"https?://|@import", page)
    return Checker(page)


@pytest.fixture
def experiment(tmp_path) -> Path:
    """A finished training of two workers with a record of everything."""
    path = tmp_path / "exp"
    path.mkdir()
    (path / "config.yaml").write_text(f'model: {{kind: dnn}}\nnum_epochs: 2\nparallel: {{algorithm: bmuf}}\nnote: "{HOSTILE}"\n')
    parts = {"workers": 2, "load_s": 0.4, "step_s": 3.0, "sync_s": 0.4}
    records = [train_record(k / 10, **parts) for k in range(1, 21)]
    for epoch in (1, 2):
        records.append({"kind": "frames", "epoch": epoch, "seen": [180000, 180000], "total": 360000})
        records += [valid_record(epoch, "bmuf", 0.5 / epoch), valid_record(epoch, "ema", 0.4 / epoch)]
    records.append({"kind": "event", "epoch": 1.5, "what": "skipped", "text": f"loss nan; {HOSTILE}"})
    write_metrics(path / "metrics.jsonl", records)
    run = {"command": ["asrtool", "train-nnet", "--config", HOSTILE, "ali", "train", "valid", "exp"], "seed": 7, "workers": 2}
    run["data"] = {
        "train": length_statistics(np.array([100, 250, 650]), 4),
        "valid": length_statistics(np.array([300, 310]), 0),
    }
    (path / "run.json").write_text(json.dumps({**run, "versions": {"torch": "2.13"}, "commit": "abc"}))
    for name in ("bmuf", "ema"):
        settings = {"kind": "dnn", "num_layers": 2, "hidden_dim": 8}
        bundle = ModelBundle(
            model=make_model(settings, 4, 3),
            settings=settings,
            features=FeatureOptions(),
            input=InputOptions(),
            feature_mean_D=torch.zeros(4),
            feature_scale_D=torch.ones(4),
            log_prior_P=log_prior(np.array([600, 300, 98])),
            info={"epoch": 2.0, "model": name},
        )
        save_model(path / f"final_{name}.pt", bundle)
    confusion = [[60, 20, 0], [3, 16, 1], [0, 0, 0]]
    held_out = {"model": "m", "data_dir": "d", "utterances": 9, "frames": 300, "targets": 100, "loss": 1.0, "fer": 0.3}
    held_out |= {"frame_accuracy": 0.7, "phone_accuracy": 0.76, "phones": ["SIL", "a<b", "zz"], "confusion": confusion}
    (path / "evaluation_ema.json").write_text(json.dumps(held_out))
    (path / "decode_test" / "scoring_kaldi").mkdir(parents=True)
    (path / "decode_test" / "scoring_kaldi" / "best_wer").write_text("%WER 12.34 [ 1 / 2 ]\n")
    (path / "done").touch()
    return path


def test_the_page_of_a_whole_experiment(experiment):
    page = make_page(experiment)
    assert "lowest validation FER 20.00 % BMUF + EMA, epoch 2" in page.text
    assert "DNN (num_layers 2, hidden_dim 8), trained with BMUF on 2 worker(s), data train." in page.text
    assert "final_ema.pt 2 0.8000 20.00 20.00 (epoch 2)" in page.text and "not finished" not in page.text
    assert "epochs 2 of 2" in page.text and "training took 40.0 s" in page.text
    assert "1 360,000 1.00 20.0 s 18,000 180 0.2 s" in page.text  # epoch, frames, hours, seconds, rates, validation
    assert "Parallel efficiency 75.0 %: the share of the time of 2 worker(s)" in page.text
    assert "1 75.0 10.0 10.0 5.0" in page.text
    assert "Every frame of the data was seen in every epoch." in page.text and "180,000 + 180,000" in page.text
    assert "1 in all (skipped: 1)" in page.text and f"1.5 skipped loss nan; {HOSTILE}" in page.text
    assert "SIL a<b 20 25.0 83.3" in page.text and "a<b SIL 3 15.0 12.5" in page.text  # of the phone, of all confusions
    assert "SIL 80 80.00 75.0 95.2 a<b (25.0 %)" in page.text  # targets, share, recall, precision
    assert "training 3 1,000 0.00 1.00 2.50 6.50 4" in page.text and "validation 2 610" in page.text
    assert "the most frequent of 3 pdfs has 60.1 %" in page.text
    assert "decode_test %WER 12.34 [ 1 / 2 ]" in page.text
    assert "seed 7" in page.text and "commit abc" in page.text and f'note: "{HOSTILE}"' in " ".join(page.text.split())
    assert page.tags.count("script") == 0 and page.tags.count("svg") == 8
    assert {"SIL as a<b: 20, 25.0 %", "a<b as a<b: 16, 80.0 %"} <= set(page.words)


def test_only_run_json_gives_sentences(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    page = make_page(tmp_path)
    for sentence in (
        "This training is not finished",
        "No final model and no validation yet.",
        "No training or validation record yet",
        "No evaluation on held-out frames",
        "The training data are not named in run.json.",
        "no final model to read the priors from",
        "No training record yet.",
        "hold no times of steps, data and exchange",
        "Not recorded by worker",
        "None recorded.",
        "No run.json",
        "No config.yaml",
    ):
        assert sentence in page.text
    assert "svg" not in page.tags


def test_records_without_times_and_a_line_that_is_being_written(tmp_path):
    write_metrics(tmp_path / "metrics.jsonl", [train_record(0.5), train_record(1.0), valid_record(1, "single", 0.5)])
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "epo')
    (tmp_path / "config.yaml").write_text("a: [b\n<c>")
    (tmp_path / "evaluation_x.json").write_text('{"fer": 1}')
    (tmp_path / "final_single.pt").write_bytes(b"not a model")
    page = make_page(tmp_path)
    assert "Not recorded: this training's records hold no times" in page.text
    assert "Line 4 of metrics.jsonl is incomplete and was left out." in page.text
    assert "config.yaml is not readable as YAML" in page.text and "a: [b <c>" in page.text
    assert "evaluation_x.json is not a file of evaluate-nnet" in page.text
    assert "A final model could not be read: " in page.text and "final_single.pt: not a model file" in page.text
    assert "single not written yet – – – 50.00 (epoch 1)" in page.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON; remove the line"),
        ("[1]", "line 2 is not a record with a 'kind'"),
        ('{"kind": "train", "epoch": 1, "model": "x", "loss": 1}', "line 2 has no number 'fer'"),
        ('{"kind": "valid", "epoch": "one"}', "line 2 has no number 'epoch'"),
        ('{"kind": "frames", "epoch": NaN, "total": 3}', "line 2 has 'epoch' nan"),
        ('{"kind": "frames", "epoch": 1, "total": 3}', "line 2 has no list 'seen'"),
    ],
)
def test_a_broken_line_is_named(tmp_path, capsys, line, message):
    (tmp_path / "metrics.jsonl").write_text(json.dumps(train_record(0.5)) + "\n" + line + "\n")
    assert cli.main(["report", str(tmp_path)]) == 1
    assert f"metrics.jsonl: {message}" in capsys.readouterr().err and not (tmp_path / "report.html").exists()


def test_a_directory_that_is_no_training(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path / "none")]) == 1
    assert "none: no such directory" in capsys.readouterr().err
    assert cli.main(["report", str(tmp_path)]) == 1
    assert "is it a network's training?" in capsys.readouterr().err


def test_data_directories_are_read_where_nothing_is_recorded(tmp_path):
    for name, lengths in (("train", {"a": 120, "b": 450, "c": 80}), ("valid", {"v": 200})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "utt2num_frames").write_text("".join(f"{key} {value}\n" for key, value in lengths.items()))
    (tmp_path / "ali").mkdir()
    write_alignments(tmp_path / "ali" / "ali.1.gz", {"a": np.ones(120, np.int32), "b": np.ones(450, np.int32)})
    write_alignments(tmp_path / "ali" / "ali.2.gz", {"v": np.ones(200, np.int32)})
    words = ["--config", "c.yaml", *(str(tmp_path / name) for name in ("ali", "train", "valid")), "exp", "seed=2"]
    (tmp_path / "run.json").write_text(json.dumps({"command": ["asrtool", "train-nnet", *words]}))
    page = make_page(tmp_path)
    assert "training 2 570 0.00 1.20 2.85 4.50 1" in page.text and "validation 1 200 0.00 2.00 2.00 2.00 0" in page.text


def test_directories_by_command_or_by_name():
    words = ["x/cli.py", "train-nnet", "--config", "c", "--valid-alignments=va", "a", "t", "v", "e", "b.c=1"]
    expected = {"alignments": "a", "train_data": "t", "valid_data": "v", "valid_alignments": "va"}
    assert {key: str(path) for key, path in data_paths({"command": words}).items()} == expected
    assert data_paths({"paths": {"train_data": "t", "valid_alignments": None}}) == {"train_data": Path("t")}
    assert data_paths({}) == data_paths({"command": ["other"]}) == {}


def test_lengths_in_bins():
    lengths = np.random.default_rng(0).integers(1, 5000, 300)
    found = length_statistics(lengths, 2)
    counts, width = found["histogram"]["utterances"], found["histogram"]["bin_frames"]
    assert counts == np.histogram(lengths, width * np.arange(len(counts) + 1))[0].tolist() and len(counts) <= 40
    assert (found["frames"], found["longest"], found["utterances_without_alignment"]) == (lengths.sum(), lengths.max(), 2)
    assert length_statistics(np.array([])) == {"utterances": 0, "frames": 0, "utterances_without_alignment": None}


def test_worker_shares_add_up_even_if_clocks_do_not_agree():
    record = {"frames": 100, "frames_per_s": 10.0, "workers": 2, "step_s": 12.0, "load_s": 4.0, "sync_s": 2.0}
    assert worker_shares([record], 1) == pytest.approx([0.6, 0.2, 0.1, 0.1])
    assert worker_shares([{**record, "step_s": 34.0}], 1) == pytest.approx([0.85, 0.1, 0.05, 0.0])
    del record["workers"]
    assert worker_shares([record], 3)[0] == pytest.approx(0.4)


def test_small_helpers():
    rng = np.random.default_rng(1)
    value, weight = rng.normal(size=30), rng.uniform(1, 2, 30)
    expected = [np.average(value[max(0, i - 6) : i + 1], weights=weight[max(0, i - 6) : i + 1]) for i in range(30)]
    np.testing.assert_allclose(running_mean(value, weight, 7), expected)
    (thinned,) = thin(np.arange(10001))
    assert len(thinned) <= 1500 and thinned[-1] == 10000
    epochs = by_epoch([{"epoch": epoch} for epoch in (0, 0.3, 1.0, 1.02, 2)])
    assert {epoch: len(records) for epoch, records in epochs.items()} == {1: 3, 2: 2}
    assert [clock(s) for s in (4.25, 185, 7384)] == ["4.2 s", "3:05 min", "2:03:04"]
    shares = pdf_shares(np.array([np.log(0.75), np.log(0.25), np.sqrt(np.finfo(np.float32).max)], np.float32))
    np.testing.assert_allclose(shares, [0.75, 0.25, 0.0], rtol=1e-6)


def test_phones_that_are_confused_stand_side_by_side():
    confusion = 100 * np.eye(6, dtype=int)
    for one, other in ((0, 3), (1, 4), (2, 5)):
        confusion[one, other] = confusion[other, one] = 60
    order = order_of_phones(confusion).tolist()
    assert sorted(order) == list(range(6))
    for one, other in ((0, 3), (1, 4), (2, 5)):
        assert abs(order.index(one) - order.index(other)) == 1
