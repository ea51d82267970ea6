"""The AISHELL-1 recipe from its archives to its tables, on a tree of the official layout that is spoken by espeak-ng."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("espeakng_loader", reason="espeakng-loader speaks the tree: pip install 'asrtool[synthesis]'")
import lookalike_aishell as lookalike  # in tests/support

pytestmark = pytest.mark.timeout(1800)
SIZES = {"train": 20, "dev": 5, "test": 5}
CONFIG = """
max_left_out=0.2 corpus_hours=0.1
lm3_min_counts=1 lm5_min_counts=1
gmms="mono tri5a"
mono_opts="--totgauss 150 --num-iters 12 --max-iter-inc 9"
tri5a_opts="--num-iters 6 --max-iter-inc 4 80 240"
valid_share=0.25
speed_perturb=true
networks="lstm lstmp"
nnet_config="conf/{network}_mini.yaml"
nnet_opts="num_epochs=1 parallel.sync_frames=2000 loader.num_streams=4 parallel.block_momentum=0.3"
lstm_opts="model.num_cells=64 model.fc_dim=64" lstmp_opts="model.num_cells=64 model.projection_dim=32"
tune_utts=5 curve_utts=4
seq_criteria="smbr"
seq_config="conf/{criterion}_mini.yaml"
seq_opts="parallel.algorithm=bmuf parallel.block_momentum=0.3 parallel.sync_frames=2000"
seq_opts+=" loader.num_streams=4 held_out.max_utterances=4"
note="Synthetic speech in the layout of AISHELL-1."
"""


def run(repository: Path, directory: Path, *words: str | Path) -> subprocess.CompletedProcess:
    command = [repository / "egs/aishell/s5/run.sh", "--corpus", directory / "corpora", "--dir", directory / "out"]
    command += ["--config", directory / "tiny.conf", "--nj", "2", "--num-workers", "1", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=1500, env=environment)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, lookalike.Tree, subprocess.CompletedProcess]:
    repository = Path(__file__).resolve().parents[2]
    directory = tmp_path_factory.mktemp("aishell")
    tree = lookalike.make_tree(directory / "original", directory / "spoken", SIZES)
    sums = lookalike.make_archives(tree, directory / "archives")
    (directory / "tiny.conf").write_text(CONFIG)
    address = f"--url {(directory / 'archives').as_uri()} --data-checksum md5:{sums['data_aishell.tgz']}"
    address += f" --resource-checksum md5:{sums['resource_aishell.tgz']} --remove-archives true"
    result = run(repository, directory, "--download", "true", "--download-opts", address)
    assert result.returncode == 0, result.stderr[-3000:]
    return directory, tree, result


def test_tables_pictures_and_published_figures(finished):
    directory, _, result = finished
    page = (directory / "out/exp/RESULTS.md").read_text()
    for row in (
        "| Methods (CER %, test) | LSTM | LSTMP |",
        "| BMUF + EMA |",
        "| tri5a | dev | CER |",
        "| mono_best | test | CER |",
    ):
        assert row in result.stdout and row in page
    assert "| Methods (CER %, test) | LSTMP, CE | then smbr |" in page
    assert "as published" in page and "| mono_best | test |" in page and "arXiv:1703.01024, LSTM, BMUF + EMA" in page
    assert "Synthetic speech in the layout of AISHELL-1." in page
    for name in ("fer_lstm", "cer_lstm", "lstmp_smbr"):
        assert (directory / f"out/exp/figures/{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert f"figures/{name}.png" in page


def test_every_system_has_its_results(finished):
    directory, tree, _ = finished
    records = json.loads((directory / "out/exp/results.json").read_text())
    results = {(record["system"], record["set"]): record for record in records}
    networks = [f"{name}_{kind}" for name in ("lstm", "lstmp", "lstmp_smbr") for kind in ("bmuf", "ma", "ema")]
    gmms = [name + end for name in ("mono", "tri5a") for end in ("", "_best")]
    expected = {(system, dataset) for system in networks + gmms for dataset in ("dev", "test")}
    assert {key for key in results if "@" not in key[0]} == expected
    assert len([system for system, _ in results if system.startswith("lstm_ema@")]) == 4
    characters = sum(len(tree.text[name].replace(" ", "")) for name in tree.good["test"])
    assert {results[key]["total"] for key in expected if key[1] == "test"} == {characters}
    assert min(results[f"{gmm}_best", "test"]["value"] for gmm in ("mono", "tri5a")) < 60


def test_what_is_odd_in_the_tree_is_reported(finished):
    directory, tree, result = finished
    lines = (directory / "out/data/local/left_out.txt").read_text().splitlines()
    found = dict(line.split(" ", 1) for line in lines)
    assert set(found) == set(tree.reasons)
    for utterance, reason in tree.reasons.items():
        assert found[utterance].startswith(reason)
    for count in ("left out: 1 x recording: truncated", "left out: 1 x recording without transcript"):
        assert count in result.stderr
    for split, utterances in tree.good.items():
        text = dict(line.split(" ", 1) for line in (directory / f"out/data/{split}/text").read_text().splitlines())
        assert sorted(text) == sorted(utterances)
        assert {name: words.replace(" ", "") for name, words in text.items()} == {
            name: tree.text[name].replace(" ", "") for name in utterances
        }
    assert "关闭电视" not in (directory / "out/data/train/text").read_text()  # split into two words of the lexicon
    assert sorted(path.name for path in (directory / "corpora").iterdir()) == ["data_aishell", "resource_aishell"]
    assert not list((directory / "corpora").rglob("*.tar.gz"))


def test_second_start_has_nothing_to_do(finished, repository):
    directory, _, result = finished
    start = time.monotonic()
    again = run(repository, directory)
    assert again.returncode == 0 and again.stderr == "" and time.monotonic() - start < 20
    assert again.stdout in result.stdout and "| BMUF + EMA |" in again.stdout
