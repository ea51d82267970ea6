"""The LibriSpeech recipe end to end on a tree of the official layout (synthetic speech), its sizes from a --config file alone."""

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

pytest.importorskip("espeakng_loader", reason="speech needs the extra `synthesis`")

from lookalike_librispeech import UNKNOWN_WORD, WITHOUT_PRONUNCIATION, LookAlike, make_archives, make_corpus

pytestmark = pytest.mark.timeout(1800)
PARTS = {"train-clean-100": (4, 2, 8), "train-clean-360": (3, 2, 6), "dev-clean": (2, 1, 6), "test-clean": (2, 1, 6)}
CONFIG = """
disk_check=false test_sets="dev_clean test_clean" max_failed=0.3
download_opts="--data-url {url} --lm-url {url} --checksums {checksums}"
mono_utts=30 tri1_utts=50 tri2b_utts=60 gmm_opts="--num-iters 5 --max-iter-inc 4 --realign-iters 2"
mono_opts="--num-iters 10 --max-iter-inc 8 --totgauss 200"
tri1_size="60 250" tri2b_size="60 250" tri3b_size="60 250" tri4b_size="70 300" tri5b_size="80 400"
decode=tri5b lms=fglarge valid_share=0.1 num_workers=1
nnet_config="conf/{{network}}_mini.yaml"
nnet_opts="num_epochs=2 parallel.sync_frames=2000 parallel.block_momentum=0.3 loader.num_streams=4"
dnn_opts="model.num_layers=2 model.hidden_dim=96 loader.batch_windows=64"
cldnn_opts="features.delta_order=0 model.delta_order=0 model.num_maps=8 model.num_cells=48 model.projection_dim=24
  model.reduction_dim=24 model.fc_dim=48"
compare_config={compare} compare_workers=2 compare_networks=dnn compare_opts="--num-settings 1 --seeds 1 --decode false"
"""
OVERRIDES = {"num_epochs": 1, "parallel.sync_frames": "4000/N", "loader.batch_windows": 64}
SMALL_DNN = {"model.num_layers": 2, "model.hidden_dim": 96}
KEPT = 25.0  # a WER below this share says that what is recognised is what was said
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}  # other tests run beside: threads would wait for each other


@dataclass
class Finished:
    made: LookAlike
    directory: Path
    command: list
    output: str
    messages: str

    def results(self) -> dict[tuple[str, str], dict]:
        found = json.loads((self.directory / "exp/results.json").read_text())
        return {(record["system"], record["set"]): record for record in found}


def run(command: list, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=1500, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    """A run from the archives on: download, all stages of --parts 460, tables."""
    repository = Path(__file__).resolve().parents[2]
    directory = tmp_path_factory.mktemp("librispeech")
    made = make_corpus(directory / "made", PARTS, "train-clean-100")
    make_archives(made, directory / "archives")
    compare = yaml.safe_load((repository / "conf/compare_parallel_librispeech.yaml").read_text())
    compare |= {"network_config": "conf/{network}_mini.yaml", "simulate_above": 1, "diverged_fer": 100.5}
    compare["overrides"] |= OVERRIDES | SMALL_DNN
    (directory / "compare.yaml").write_text(yaml.safe_dump(compare, sort_keys=False))
    url = (directory / "archives").as_uri()
    config = CONFIG.format(url=url, checksums=directory / "archives/md5sum.txt", compare=directory / "compare.yaml")
    (directory / "tiny.conf").write_text(config)
    command = [repository / "egs/librispeech/s5/run.sh", "--config", directory / "tiny.conf", "--parts", "460", "--nj", "1"]
    command += ["--corpus", directory / "corpora", "--download", "true", "--dir", directory / "out"]
    result = run(command)
    assert result.returncode == 0, result.stderr[-3000:]
    return Finished(made, directory / "out", command, result.stdout, result.stderr)


def test_download_leaves_the_official_tree(finished):
    corpora = finished.directory.parent / "corpora"
    for part in PARTS:
        theirs = {path.relative_to(finished.made.corpus) for path in (finished.made.corpus / part).rglob("*")}
        assert {path.relative_to(corpora / "LibriSpeech") for path in (corpora / "LibriSpeech" / part).rglob("*")} == theirs
    assert not list(corpora.glob("*.tar.gz")) and (corpora / "librispeech-lm/4-gram.arpa.gz").is_file()


def test_what_is_wrong_in_the_tree_is_told(finished):
    problems = (finished.directory / "data/train_clean_100/problems.txt").read_text()
    for utterance, why in finished.made.left_out.items():
        assert re.search(rf"left out: {utterance}: .*{why}", problems), utterance
    assert all(f"mended: {name}: text made upper case" in problems for name in finished.made.lower_case)
    kept = [line.split()[0] for line in (finished.directory / "data/train_clean_100/text").read_text().splitlines()]
    assert kept == finished.made.used["train-clean-100"]
    for kind in ("mfcc", "fbank40"):  # that a file breaks off shows when it is read
        with_features = (finished.directory / f"data/{kind}/train_clean_100/feats.scp").read_text()
        assert [name for name in kept if name not in with_features] == finished.made.truncated
    assert re.search(rf": 1 of \d+ words \(0.\d+ %\) not in the lexicon: {UNKNOWN_WORD}\n", finished.messages)
    lexicon = (finished.directory / "data/local/dict_nosp/lexicon.txt").read_text()
    assert all(f"\n{word} " in lexicon for word in WITHOUT_PRONUNCIATION)


def test_tables(finished):
    page = (finished.directory / "exp/RESULTS.md").read_text()
    for text in (finished.output, page):
        for row in (
            "| Methods (WER %, test_clean) | DNN | CLDNN |",
            "| BMUF + EMA |",
            "| system | LM | dev_clean | test_clean |",
        ):
            assert row in text
        assert "| *Kaldi's tri5b, 460 h* | fglarge | 7.05 | 8.14 |" in text
        for label in ("SGD, one worker", "BSP (gradients)", "ASGD", "EASGD", "BMUF"):
            assert f"| {label} | " in text
    assert page.index("## Word error rates by language model") < page.index("## Parallel training algorithms")


def test_error_rates(finished):
    results = finished.results()
    systems = {"tri5b", "dnn_ema", "cldnn_ema"}
    for system in systems:
        for lm in ("tgsmall", "fglarge"):
            for dataset in ("dev_clean", "test_clean"):
                tuned, best = results[f"{system}_{lm}", dataset], results[f"{system}_{lm}_best", dataset]
                assert best["errors"] <= tuned["errors"] and tuned["total"] == best["total"] > 50
    values = {name: record["value"] for (name, dataset), record in results.items() if dataset == "test_clean"}
    assert values["tri5b_tgsmall"] < KEPT
    assert values["tri5b_fglarge"] <= values["tri5b_tgsmall"] + 5
    assert {f"{network}_{average}" for network in ("dnn", "cldnn") for average in ("bmuf", "ma", "ema")} <= values.keys()


def test_no_reader_trains_and_validates(finished):
    readers = {}
    for name in ("tr", "cv"):
        lines = (finished.directory / f"data/fbank40/train_clean_460_{name}/utt2spk").read_text().splitlines()
        readers[name] = {line.split("-")[0] for line in lines}
    assert readers["tr"] and readers["cv"] and not readers["tr"] & readers["cv"]


def test_second_start_has_nothing_to_do(finished):
    start = time.monotonic()
    again = run(finished.command)
    assert again.returncode == 0 and again.stderr == "" and time.monotonic() - start < 20
    assert again.stdout == finished.output[-len(again.stdout) :] and "| system | LM |" in again.stdout


def test_a_stage_again_leaves_alone_what_is_up_to_date(finished):
    model = finished.directory / "exp/tri4b/final.mdl"
    before = model.stat().st_mtime_ns
    again = run(finished.command, "--stage", "9", "--stop-stage", "9")
    assert again.returncode == 0 and model.stat().st_mtime_ns == before


def test_other_options_for_the_same_directory_are_refused(finished):
    result = run(finished.command, "--seed", "2")
    assert result.returncode == 1 and "was made with other options" in result.stderr
