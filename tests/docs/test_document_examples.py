"""The pages' commands and programs, run word for word in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from document_blocks import PAGES, ROOT, Block, blocks

RUN = ("docs/extend/corpus.md", "docs/kaldi_users.md", "docs/extend/model.md", "docs/extend/criterion.md")
RUN += ("docs/extend/parallel_algorithm.md",)
IN_PYTHON = ("README.md", "docs/decoding.md", "docs/features.md")  # with a network of random weights

# (page, how the block begins) -> why it is not run here; its verbs, scripts and options are checked all the same
NOT_RUN = {
    ("README.md", "egs/mini_mandarin"): "minutes, and the extra `synthesis`; tests/recipe/test_mini_mandarin.py runs the recipe",
    ("README.md", ". ./path.sh"): "looks at what the block before has made",
    ("docs/export.md", "import json"): "tests/unit/nnet/test_export_onnx.py runs it",
    ("docs/models.md", '"""A plain recurrent'): "tests/contract/test_models.py runs it",
    ("docs/augmentation.md", ""): "tests/shell/test_augmentation_steps.py and tests/shell/test_augment_step.py run its steps",
    (
        "docs/lhotse.md",
        "",
    ): "manifests of a corpus; tests/unit/data/test_lhotse_import.py and its neighbour run its verbs",
    ("docs/pronunciations.md", "steps/get_prons.sh"): "tests/shell/test_lexicon_steps.py runs its steps",
    ("docs/pronunciations.md", "steps/train_g2p.sh"): "tests/shell/test_lexicon_steps.py runs its steps",
}


def reason(block: Block) -> str | None:
    known = [why for (page, begins), why in NOT_RUN.items() if page == block.page and block.body.startswith(begins)]
    return known[0] if known else None


def test_every_block_is_run_or_has_a_reason():
    without = []
    for page in PAGES:
        for block in blocks(page):
            run_here = block.page in RUN or (block.info == "python" and block.page in IN_PYTHON)
            if block.info in ("sh", "python") and not run_here and reason(block) is None:
                without.append(f"{block.page}:{block.line}")
    assert not without
    used = {(page, begins) for page, begins in NOT_RUN for block in blocks(ROOT / page) if block.body.startswith(begins)}
    assert used == set(NOT_RUN)
    tests = {name for why in NOT_RUN.values() for name in re.findall(r"tests/[\w/]+\.py", why)}
    assert all((ROOT / name).is_file() for name in tests)


def link_or_copy(source: str, destination: str) -> None:
    """What is compiled already is used as it is; no program writes into such files, they are replaced."""
    if source.endswith((".pyc", ".nbi", ".nbc")):
        try:
            os.link(source, destination)
            return
        except OSError:
            pass  # another file system
    shutil.copy2(source, destination)


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of the sources, whose path.sh installs nothing."""
    root = tmp_path_factory.mktemp("documents") / "asrtool"
    root.mkdir()
    ignore = shutil.ignore_patterns("data", "exp", "corpus", "tour")
    for name in ("asrtool", "conf", "docs", "egs", "steps", "tests", "utils"):
        below_egs = ignore if name == "egs" else None
        shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=below_egs, copy_function=link_or_copy)
    shutil.copy2(ROOT / "pyproject.toml", root)
    scripts = Path(sys.executable).parent
    (root / "path.sh").write_text(
        f"export PATH={scripts}:{root}/utils:$PATH PYTHONPATH={root} LC_ALL=C.UTF-8 PYTHONUTF8=1 PYTHONUNBUFFERED=1\n"
    )
    return root


def run(clone: Path, script: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        ["bash", "-c", script],
        cwd=clone,
        env=environment,
        text=True,
        timeout=600,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-4000:]
    return finished.stdout


def run_page(clone: Path, name: str) -> str:
    """All blocks of a page in one shell, files put where their first line says; returns what was printed.

    A block of text right after them is what they print: it must be among that, numbers aside but for error rates.
    """
    script, expected, before = ["set -euo pipefail"], [], None
    folder = clone / "blocks" / name.replace("/", "_")
    folder.mkdir(parents=True)
    for number, block in enumerate(blocks(ROOT / name)):
        path = folder / f"{number}{'.py' if block.info == 'python' else ''}"
        path.write_text(block.content, encoding="utf-8")
        if block.file:
            target = clone / block.file
            script.append(f"mkdir -p {target.parent} && rm -f {target} && cp {path} {target}")
        elif block.info == "python":
            script.append(f"python {path}")
        elif block.info == "sh":
            script.append(block.body)
        elif block.info == "text" and before in ("sh", "python") and not re.match(r"steps/|asrtool |show-", block.body):
            expected += block.body.splitlines()
        before = block.info
    output = run(clone, "\n".join(script))
    for line in expected:
        pattern = re.escape(line).replace(re.escape("..."), ".*")
        pattern = pattern if line.startswith("%WER") else re.sub(r"\d+", r"\\d+", pattern)
        assert re.search(pattern, output), f"{name}: not printed: {line}\n{output[-3000:]}"
    return output


@pytest.fixture(scope="module")
def tones(clone) -> Path:
    """The recipe of docs/extend/corpus.md, run."""
    run_page(clone, "docs/extend/corpus.md")
    return clone / "egs" / "tones" / "s5"


@pytest.mark.timeout(900)
def test_a_new_corpus(tones, clone):
    assert (tones / "exp/mono/final.mdl").is_file()
    again = run(clone, "egs/tones/s5/run.sh")
    assert again.startswith("%WER 0.00") and len(again.splitlines()) == 1, "a second start should have nothing to do"


@pytest.mark.timeout(900)
def test_a_kaldi_experiment_out_and_in(tones, clone):
    output = run_page(clone, "docs/kaldi_users.md")
    (rate,) = re.findall(r"^%WER ([\d.]+) .*exp/dnn/", output, re.MULTILINE)
    assert float(rate) < 20
    assert "nnet-forward" in (tones / "kaldi/dnn/nnet1.txt").read_text()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "new"), [("model", 12), ("criterion", 5), ("parallel_algorithm", 19)])
def test_extensions_pass_the_contracts(clone, kind, new):
    output = run_page(clone, f"docs/extend/{kind}.md")
    (passed,) = re.findall(r"(\d+) passed", output)
    assert int(passed) >= new and "failed" not in output


PREPARE = """
import os, shutil, sys
import numpy as np, torch
from asrtool.feat.pipeline import FeatureOptions
from asrtool.hmm.transition_model import TransitionModel
from asrtool.nnet.input import InputOptions
from asrtool.nnet.log_prior import log_prior
from asrtool.nnet.model_file import ModelBundle, save_model
from asrtool.nnet.registry import make_model

torch.manual_seed(1)
num_pdfs = TransitionModel.read_file("exp/mono/final.mdl").num_pdfs
settings, window, features = {"kind": "lstm", "num_cells": 8, "fc_dim": 8}, InputOptions(1, 1, 3, 2), FeatureOptions()
model = make_model(settings, 3 * 84, num_pdfs)
bundle = ModelBundle(model, settings, features, window, torch.zeros(84), torch.ones(84), log_prior(np.ones(num_pdfs)))
for root in (".", "tour"):
    os.makedirs(f"{root}/exp/lstm", exist_ok=True)
    os.makedirs(f"{root}/exp/tri", exist_ok=True)
    save_model(f"{root}/exp/lstm/final_ema.pt", bundle)
    shutil.copy("exp/mono/final.mdl", f"{root}/exp/lstm/final.mdl")
    os.symlink(os.path.abspath("exp/mono/graph"), f"{root}/exp/tri/graph")
os.makedirs("tour/data")
os.symlink(os.path.abspath("data/test"), "tour/data/test")
shutil.copy(open("data/test/wav.scp").readline().split()[1], "question.wav")
bundle.features = FeatureOptions(cmvn="online")  # of docs/features.md, with what it speaks of
bundle.global_cmvn = np.concatenate([np.zeros((2, 28)), [[100.0], [0.0]]], 1)
bundle.global_cmvn[1, :28] = 100
for name in sys.argv[1:]:
    print(f"== {name}", flush=True)
    exec(open(name).read(), {"bundle": bundle, "blocks": [np.ones((7, 28), np.float32)] * 3})
"""


@pytest.mark.timeout(900)
def test_programs_in_python(tones, clone):
    files = []
    for name in IN_PYTHON:
        for block in blocks(ROOT / name):
            if block.info == "python":
                files.append(clone / f"{name.replace('/', '_')}-{block.line}.py")
                files[-1].write_text(block.body, encoding="utf-8")
    (clone / "prepare.py").write_text(PREPARE, encoding="utf-8")
    words = " ".join(map(str, files))
    output = run(clone, f". ./path.sh; cd {tones}; python {clone}/prepare.py {words}")
    assert output.count("== ") == len(files) == 3
