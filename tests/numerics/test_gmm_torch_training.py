"""Training and alignment with torch on the CPU equal those with numba; which of them a program takes; what a killed run does."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from gmm_backend_training import TRAININGS, compare, deltas, make_corpus, mono
from gmm_toy import RUN, SCHEDULE, Killed, kill_after, results

from asrtool.errors import AsrtoolError
from asrtool.gmm import backend as backends
from asrtool.gmm.backend import CPU, choose_backend, gpu_in_sight
from asrtool.gmm.torch_backend import TorchBackend, why_no_gpu
from asrtool.train import gmm_trainer
from asrtool.train.gmm_mono import MonoOptions, train_mono


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("backends"))


@pytest.mark.parametrize("train", TRAININGS.values(), ids=TRAININGS)
def test_torch_equals_numba(corpus, tmp_path, train):
    compare(train, corpus, tmp_path, TorchBackend("cpu", 200_000))


def test_a_run_is_the_same_again_and_with_other_threads(corpus, tmp_path):
    for name, threads in (("one", 1), ("two", 3)):
        run = replace(RUN, backend=TorchBackend("cpu", 200_000), num_threads=threads)
        schedule = replace(SCHEDULE, num_iters=3)
        train_mono(corpus / "data", corpus / "lang", tmp_path / name, MonoOptions(schedule, run))
    assert results(tmp_path / "one") == results(tmp_path / "two")


@pytest.mark.parametrize("train", [mono, deltas])
def test_a_killed_run_never_mixes_backends(corpus, tmp_path, monkeypatch, capsys, train):
    """It goes on where it was begun, and starts anew elsewhere; a finished one is done everywhere."""
    paths, other = (corpus / "data", corpus / "lang"), TorchBackend("cpu")
    train(*paths, tmp_path / "whole", CPU)
    updates = []
    update = gmm_trainer.GmmTrainer._update
    monkeypatch.setattr(gmm_trainer.GmmTrainer, "_update", lambda self, *args: updates.append(1) or update(self, *args))
    for first, second, left in ((other, CPU, 3), (CPU, other, 3), (CPU, CPU, 1)):
        out = tmp_path / f"{first.name} then {second.name}"
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, 2 if train is mono else 3)
            train(*paths, out, first)
        updates.clear()
        capsys.readouterr()
        train(*paths, out, second)
        assert len(updates) == left
        said = capsys.readouterr().err
        assert ("starting anew (--use-gpu" in said) == (first is not second)
        assert (results(out) == results(tmp_path / "whole")) or second is other
        updates.clear()
        train(*paths, out, first)
        assert not updates, "a finished model counts wherever it was made"


def test_choice_of_the_backend(tmp_path, monkeypatch):
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        (tmp_path / "nvidia0").touch()
        assert not gpu_in_sight(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpu_in_sight(tmp_path) and not gpu_in_sight(tmp_path / "other")
    monkeypatch.setattr(backends, "gpu_in_sight", lambda: False)
    assert choose_backend("auto") is choose_backend("no") is choose_backend("false") is choose_backend("optional") is CPU
    with pytest.raises(AsrtoolError, match="expected auto, yes or no"):
        choose_backend("maybe")


def test_without_a_device_torch_is_not_even_loaded():
    script = "import sys, asrtool.train.gmm_mono, asrtool.gmm.backend as b; assert b.choose_backend('auto').name == 'cpu'; "
    script += "assert 'torch' not in sys.modules"
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    assert subprocess.run([sys.executable, "-c", script], env=environment, timeout=60, check=False).returncode == 0


def test_a_gpu_that_cannot_be_used(monkeypatch, capsys):
    monkeypatch.setattr(backends, "gpu_in_sight", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_backend("auto") is CPU
    assert "WARNING: torch finds no GPU" in capsys.readouterr().err
    with pytest.raises(AsrtoolError, match="--use-gpu yes: torch finds no GPU"):
        choose_backend("yes")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1 << 28, 1 << 34))
    assert "256 MiB of free memory, 1024 are needed" in why_no_gpu()

    def busy():
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore")

    monkeypatch.setattr(torch.cuda, "mem_get_info", busy)
    assert why_no_gpu() == "the GPU does not answer (CUDA error: all CUDA-capable devices are busy or unavailable)"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1 << 34, 1 << 34))
    found = choose_backend("auto")
    assert found.name == "torch cuda" and found.one_at_a_time


def test_out_of_memory_says_what_to_do(monkeypatch):
    backend = TorchBackend("cpu")

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(backend, "_model", full)
    parameters = np.zeros((1, 3), np.float32)
    with pytest.raises(AsrtoolError, match=r"no memory left for a block of frames.*--use-gpu no"):
        list(backend.pdf_loglikes([np.ones((4, 1), np.float32)], parameters, np.array([0, 1]), [np.array([0], np.int32)]))
    assert not backend._lock.locked()
