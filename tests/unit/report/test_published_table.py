"""Published figures beside our own, and several sequence criteria of one network, on the page of results."""

import json

import pytest

from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.report.results_page import published_table, read_published, sequence_table

COUNTS = {"metric": "cer", "errors": 1, "total": 10, "ins": 0, "del": 0, "sub": 1, "command": "run.sh", "commit": "x", "seed": 1}
RESULTS = [
    {"system": name, "set": "test", "value": value, **COUNTS}
    for name, value in (("mono", 30.0), ("lstmp_ema", 9.0), ("lstmp_mmi_ema", 8.5), ("lstmp_smbr_ema", 8.0))
]
FILE = "# ours, set, figure, what\nmono\ttest\t36.41\tKaldi, mono\n\n-\ttest\t8.65\tKaldi, TDNN\n"


def test_published_figures_stand_beside_ours(tmp_path):
    path = tmp_path / "published.tsv"
    path.write_text(FILE)
    assert published_table(RESULTS, read_published(path)) == [
        "| our system | set | here | published | what was published |",
        "|---|---|---|---|---|",
        "| mono | test | 30.00 | 36.41 | Kaldi, mono |",
        "| - | test | - | 8.65 | Kaldi, TDNN |",
    ]


@pytest.mark.parametrize("line", ["mono test 3 Kaldi", "mono\ttest\t3", "mono\ttest\t\tKaldi"])
def test_a_line_of_another_form(tmp_path, line):
    path = tmp_path / "published.tsv"
    path.write_text(f"{FILE}{line}\n")
    with pytest.raises(AsrtoolError, match="line 5: expected system, set, figure and description"):
        read_published(path)


def test_several_criteria_of_one_network():
    assert sequence_table(RESULTS, "test", {"lstmp": "lstmp_mmi+lstmp_smbr"}) == [
        "| Methods (CER %, test) | LSTMP, CE | then mmi | then smbr |",
        "|---|---|---|---|",
        "| BMUF + EMA | 9.00 | 8.50 | 8.00 |",
    ]


def test_they_are_on_the_page(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    (tmp_path / "published.tsv").write_text(FILE)
    words = ["--networks", "lstmp", "--published", str(tmp_path / "published.tsv"), "--sequence", "lstmp=lstmp_mmi+lstmp_smbr"]
    assert cli.main(["make-results", *words, str(tmp_path / "results.json"), str(tmp_path / "RESULTS.md")]) == 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert (
        "as published" in page and "| mono | test | 30.00 | 36.41 | Kaldi, mono |" in page and "| then mmi | then smbr |" in page
    )
