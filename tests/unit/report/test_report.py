"""Figures and tables from recorded results."""

import json
import struct

import pytest

from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.report.figures import draw_curves, intermediate_error_rates, validation_fer
from asrtool.report.results_page import all_results_table, network_table


def record(system: str, value: float, dataset: str = "test") -> dict:
    counts = {"errors": 5, "total": 100, "ins": 1, "del": 1, "sub": 3}
    return {
        "system": system,
        "set": dataset,
        "metric": "cer",
        "value": value,
        **counts,
        "command": "run",
        "commit": "c",
        "seed": 1,
    }


RESULTS = [
    record("lstm_bmuf", 4.37),
    record("lstm_ema", 4.2),
    record("dnn_ema", 6.89),
    record("lstm_ma@1.25", 9.0),
    record("tri1", 12.0),
]


def test_table_two_has_a_row_a_model_and_a_dash_for_what_is_missing():
    assert network_table(RESULTS, "test", ["lstm", "dnn"]) == [
        "| Methods (CER %, test) | LSTM | DNN |",
        "|---|---|---|",
        "| BMUF | 4.37 | - |",
        "| BMUF + EMA | 4.20 | 6.89 |",
    ]


def test_all_results_leave_intermediate_models_out():
    lines = all_results_table(RESULTS)
    assert len(lines) == 2 + 4 and not any("@" in line for line in lines)


def test_intermediate_models_are_sorted_by_epoch():
    results = [record("lstm_ma@0.5", 9.0), record("lstm_ma@0.25", 10.0), record("lstm_ema@0.5", 8.0), record("lstm_ma", 1.0)]
    assert intermediate_error_rates(results, "lstm", "test") == {"ma": [(0.25, 10.0), (0.5, 9.0)], "ema": [(0.5, 8.0)]}
    with pytest.raises(AsrtoolError, match="no result of an intermediate model of dnn"):
        intermediate_error_rates(results, "dnn", "test")


def test_validation_fer_and_its_picture(tmp_path):
    lines = [
        {"kind": "valid", "epoch": e, "model": m, "fer": f} for e, m, f in [(2, "ma", 0.4), (1, "ma", 0.5), (1, "bmuf", 0.55)]
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(map(json.dumps, [*lines, {"kind": "train", "epoch": 1}])))
    series = validation_fer(path)
    assert series == {"ma": [(1, 50.0), (2, 40.0)], "bmuf": [(1, pytest.approx(55.0))]}
    draw_curves(tmp_path / "fer.png", series, "FER (%)", "title")
    data = (tmp_path / "fer.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and width > 600 and height > 400


def test_metrics_that_are_missing_or_broken(tmp_path, capsys):
    assert cli.main(["plot-fer", str(tmp_path), str(tmp_path / "x.png")]) == 1
    assert "metrics.jsonl: no such file; train the network first" in capsys.readouterr().err
    (tmp_path / "metrics.jsonl").write_text("{\n")
    assert cli.main(["plot-fer", str(tmp_path), str(tmp_path / "x.png")]) == 1
    assert "metrics.jsonl: line 1 is not JSON" in capsys.readouterr().err


def test_results_page(tmp_path, capsys):
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    page = tmp_path / "RESULTS.md"
    words = ["--title", "Mini", "--note", "Synthetic speech.", "--figures", "fer.png", "--command", "run.sh", "--seed", "3"]
    assert cli.main(["make-results", *words, str(tmp_path / "results.json"), str(page)]) == 0
    text = page.read_text()
    assert "| BMUF + EMA | 4.20 | 6.89 |" in text and "![fer](fer.png)" in text and "- seed: 3" in text and "Synthetic" in text
    assert "| BMUF + EMA | 4.20 | 6.89 |" in capsys.readouterr().out
