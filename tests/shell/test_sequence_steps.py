"""The steps of sequence training: usage, bad input, stored lattices and training on them, a study with stand-ins."""

import gzip
import json
import math
import os
import runpy
import subprocess
from pathlib import Path

import pytest

TOY = runpy.run_path(str(Path(__file__).parents[1] / "distributed" / "sequence_toy.py"))
STEPS = {
    "make_denlats": "<data-dir> <lang-dir> <src-dir> <denlats-dir>",
    "nnet/make_denlats": "<data-dir> <lang-dir> <src-dir-or-model> <denlats-dir>",
    "nnet/make_denominator_graph": "<train-data-dir> <lang-dir> <ali-or-model-dir> <graph-dir>",
    "nnet/train_seq": "<den-graph-dir> <src-dir-or-model> <exp-dir>",
    "nnet/train_smbr": "<src-dir-or-model> <ali-dir> <denlats-dir> <exp-dir>",
    "nnet/train_mmi": "<src-dir-or-model> <ali-dir> <denlats-dir> <exp-dir>",
    "nnet/compare_sequence": "<lang-dir> <graph-dir> <dev-data> <test-data> <dir>",
}


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=280, env=environment)


@pytest.fixture
def files(recipe, repository) -> Path:
    """A recipe directory with empty files where steps look for some."""
    (recipe / "conf").symlink_to(repository / "conf")
    wanted = [
        *("ali/final.mdl", "ali/tree", "lang/words.txt", "lang/L_disambig.fst", "lang/L.fst", "graph/HCLG.fst", "graph/words.txt")
    ]
    wanted += [f"{name}/{file}" for name in ("train", "valid", "dev", "test") for file in ("feats.scp", "text")]
    wanted += ["lang/phones/silence.csl", "denlats/decode.json", "ce/final_ema.pt", "ce/final.mdl"]
    for name in wanted:
        (recipe / name).parent.mkdir(parents=True, exist_ok=True)
        (recipe / name).touch()
    (recipe / "lang/oov.txt").write_text("<UNK>\n")
    return recipe


@pytest.mark.parametrize(("step", "arguments"), STEPS.items())
def test_usage(recipe, step, arguments):
    result = run(recipe, f"steps/{step}.sh one")
    assert result.returncode == 1 and "Usage:" in result.stderr and "e.g.:" in result.stderr and arguments in result.stderr
    result = run(recipe, f"steps/{step}.sh --no-such-option 1 a b c")
    assert result.returncode == 1 and "unknown option --no-such-option" in result.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nnet/make_denominator_graph.sh none lang ali exp", "none/text: no such file"),
        ("nnet/make_denominator_graph.sh --order 0 train lang ali exp", "--order takes a number from 1 to 9, not '0'"),
        ("nnet/make_denominator_graph.sh train lang ali exp", "lm/text"),
        ("nnet/make_denlats.sh train lang none exp", "none: no model file, and no directory with final_ema.pt"),
        ("nnet/make_denlats.sh --graph none train lang ce exp", "none/HCLG.fst: no such file; make it with steps/nnet/make_den"),
        ("make_denlats.sh train lang ce exp", "ce/tree: no such file"),
        ("nnet/train_seq.sh ali train valid lang - ce exp", "give a graph, or --denlats"),
        ("nnet/train_seq.sh --dev-data dev ali train valid lang graph ce exp", "needs both --dev-data and --dev-graph"),
        (
            "nnet/train_seq.sh --num-workers two ali train valid lang graph ce exp",
            "--num-workers takes a number from 1, not 'two'",
        ),
        ("nnet/train_seq.sh --nnet-config none.yaml ali train valid lang graph ce exp", "none.yaml: no such file"),
        ("nnet/train_smbr.sh --criterion mmi train lang ce ali denlats exp", "--criterion takes smbr, mpfe or mpe, not 'mmi'"),
        ("nnet/train_smbr.sh train lang ce ali graph exp", "graph/decode.json: no such file"),
        ("nnet/train_mmi.sh --num-iters x train lang ce ali denlats exp", "--num-iters takes a number from 1, not 'x'"),
        ("nnet/train_mmi.sh --regenerate 4 train lang ce ali denlats exp", "give rising numbers below --num-iters 4"),
        ("nnet/train_mmi.sh --regenerate 1 train lang ce ali denlats exp", "need the denominator's graph: --graph"),
        ("nnet/compare_sequence.sh ali none valid lang graph dev test exp", "none/feats.scp: no such file"),
        ("nnet/compare_sequence.sh --tables 4 ali train valid lang graph dev test exp", "no table '4'; known: 1, 2, 3, criteria"),
    ],
)
def test_bad_input(files, command, message):
    result = run(files, f"steps/{command}")
    assert result.returncode == 1 and message in result.stderr, result.stderr


def test_the_conf_files_are_valid(repository):
    from asrtool.io.config import load_config
    from asrtool.train.sequence_config import SequenceTrainConfig

    for name in ("smbr", "mmi"):
        for suffix in ("", "_mini"):
            config = load_config(SequenceTrainConfig, repository / "conf" / f"{name}{suffix}.yaml")
            assert config.sequence.criterion == name and config.sequence.acoustic_scale == 0.1 and config.speech.lattice_beam == 7


def test_kaldis_language_makes_a_denominator_graph(recipe, kaldi_reference):
    words = [line.split()[0] for line in (kaldi_reference / "lang/words.txt").read_text().splitlines()][5:8]
    (recipe / "train").mkdir()
    (recipe / "train/text").write_text(f"u1 {words[0]} {words[1]}\nu2 {words[0]} no_such_word\nu3 {words[2]}\n")
    command = f"steps/nnet/make_denominator_graph.sh --order 1 train {kaldi_reference}/lang {kaldi_reference}/gmm/mono graph"
    result = run(recipe, command)
    assert result.returncode == 0, result.stderr
    assert "WARNING: 1 words that are not in words.txt count as" in result.stderr
    oov = (kaldi_reference / "lang/oov.txt").read_text().strip()
    assert (recipe / "graph/lm/text").read_text() == f"u1 {words[0]} {words[1]}\nu2 {words[0]} {oov}\nu3 {words[2]}\n"
    # relative frequencies of five words and three sentence ends
    text = gzip.decompress((recipe / "graph/lm/lm1.arpa.gz").read_bytes()).decode()
    arpa = dict(line.split("\t")[1::-1] for line in text.splitlines() if line.count("\t"))
    assert float(arpa[words[0]]) == pytest.approx(math.log10(2 / 8), abs=1e-4)
    assert float(arpa["</s>"]) == pytest.approx(math.log10(3 / 8), abs=1e-4)
    made = (recipe / "graph/HCLG.fst").stat().st_mtime_ns
    assert run(recipe, command).returncode == 0 and (recipe / "graph/HCLG.fst").stat().st_mtime_ns == made


@pytest.fixture
def toy(recipe) -> Path:
    TOY["make_sequence_toy"](recipe / "toy", num_utterances=12, epochs=1)
    (recipe / "toy/ali/tree").touch()
    (recipe / "toy/lang/words.txt").write_text((recipe / "toy/graph/words.txt").read_text() + "<UNK> 7\n")
    (recipe / "toy/lang/oov.txt").write_text("<UNK>\n")
    (recipe / "toy/ce/final.mdl").write_bytes((recipe / "toy/ali/final.mdl").read_bytes())
    return recipe


def test_stored_lattices_and_training_on_them(toy):
    make = "steps/nnet/make_denlats.sh --nj 1 --acwt 0.5 --graph toy/graph toy/train toy/lang toy/ce/final_single.pt exp/denlats"
    result = run(toy, make)
    assert result.returncode == 0, result.stderr
    assert "12 utterances: 12 lattices of" in result.stderr and "reference in the lattice:" in result.stderr
    summary = json.loads((toy / "exp/denlats/summary.json").read_text())
    assert summary["lattices"] == 12 and summary["depth"] > 1
    before = {path.name: path.stat().st_mtime_ns for path in (toy / "exp/denlats").iterdir() if path.is_file()}
    assert run(toy, make).returncode == 0
    assert before == {path.name: path.stat().st_mtime_ns for path in (toy / "exp/denlats").iterdir() if path.is_file()}

    train = (
        "steps/nnet/train_smbr.sh --nnet-config toy/seq.yaml --num-workers 1 --nj 1 --num-iters 2 --regenerate 1 --acwt 0.5 "
        "--learn-rate 0.001 --halving-factor 0.5 toy/train toy/lang toy/ce/final_single.pt toy/ali exp/denlats exp/smbr "
        "parallel.ma=false parallel.ema_alpha=[]"
    )
    result = run(toy, train)
    assert result.returncode == 0, result.stderr
    assert (toy / "exp/smbr/final_single.pt").is_file() and (toy / "exp/smbr/denlats1/summary.json").is_file()
    settings = (toy / "exp/smbr/part1/config.yaml").read_text(), (toy / "exp/smbr/config.yaml").read_text()
    for text, first, last in zip(settings, ("0.002", "0.001"), ("0.001", "0.0005")):  # 0.001 / acwt, halved after each iteration
        assert f"  learning_rate: {first}\n  final_learning_rate: {last}\n" in text and "gradient: sum" in text
    run_json = json.loads((toy / "exp/smbr/run.json").read_text())
    assert "exp/smbr/part1/final_single.pt" in run_json["command"] and "exp/smbr/denlats1" in run_json["command"]
    records = [json.loads(line) for line in (toy / "exp/smbr/metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if "sequence_loss" in record] == [0, 1]
    again = run(toy, train)
    assert again.returncode == 0 and "exp/smbr: training is done already" in again.stderr


STAND_INS = {
    "train": 'd=${*: -1:0}; for w in "$@"; do case "$w" in seq/ce/*) d=$w ;; esac; done\n'
    'mkdir -p "$d/models/ema"; touch "$d"/final_{single,ema}.pt "$d/models/ema/1.1.pt" "$d/done"\n',
    "align": 'mkdir -p "${!#}"; touch "${!#}/final.mdl"\n',
    "make_denominator_graph": 'mkdir -p "${!#}"; touch "${!#}/HCLG.fst"\n',
    "train_seq": 'for w in "$@"; do case "$w" in seq/sequence/*) d=$w ;; esac; done; mkdir -p "$d/log"\n'
    'case "$d" in *3gram*) echo "x: ERROR: lower schedule.learning_rate" >"$d/log/train.log"; exit 1 ;; esac\n'
    'touch "$d"/final_{single,ema}.pt "$d/done"\n',
    "evaluate": 'for d in "${12}" "${!#}"; do mkdir -p "$d/scoring_kaldi"; echo "u a b" >"$d/scoring_kaldi/test_filt.txt"\n'
    'echo "u a c" >"$d/scoring_kaldi/hyp_filt.txt"\n'
    'echo "%WER 50.00 [ 1 / 2, 0 ins, 0 del, 1 sub ] $d/wer_hyp" >"$d/scoring_kaldi/best_wer"; done\n',
}
"""In place of the steps: they leave the files that theirs would."""


def test_a_study_goes_on_where_it_stopped(files, repository):
    (files / "steps").unlink()
    (files / "steps/nnet").mkdir(parents=True)
    (files / "steps/nnet/compare_sequence.sh").symlink_to(repository / "steps/nnet/compare_sequence.sh")
    for name, text in STAND_INS.items():
        step = files / f"steps/nnet/{name}.sh"
        step.write_text("#!/usr/bin/env bash\nset -eu\n" + text)
        step.chmod(0o755)
    command = (
        "steps/nnet/compare_sequence.sh --nj 2 --tables '1 2' --seeds 1 --ce-epochs 2 --switch-epochs 1 "
        "ali train valid lang graph dev test seq"
    )
    result = run(files, f"{command.replace('--nj', '--stop-stage 1 --nj')}")
    assert result.returncode == 0, result.stderr
    assert (files / "seq/alignments/valid-s1/final.mdl").is_file() and not (files / "seq/ce/ce-lstm-s1").exists()
    result = run(files, command)
    assert result.returncode == 0, result.stderr
    assert " ce: " not in result.stderr and "ce_again: 1 job(s)" in result.stderr and "sequence: 4 job(s)" in result.stderr
    page = (files / "seq/RESULTS.md").read_text()
    assert "| CE | 1-gram | 2-gram | 3-gram |" in page and "| 50.00 | 50.00 | 50.00 | -, 1 diverged |" in page
    again = run(files, command)
    assert again.returncode == 0 and "job(s)" not in again.stderr


@pytest.mark.parametrize("name", ["mini_mandarin", "speechocean762"])
def test_local_run_seq(repository, tmp_path, name):
    script = repository / f"egs/{name}/s5/local/run_seq.sh"
    result = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and "Usage: local/run_seq.sh" in result.stdout
    result = subprocess.run([script, "--dir", tmp_path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "final.mdl: no such file" in result.stderr
