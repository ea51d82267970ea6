"""steps/train_lm.sh with mixing and pruning, as a recipe calls it."""

import subprocess

import numpy as np
import pytest

from asrtool.lm.arpa import read_arpa


@pytest.fixture
def recipe(tmp_path, repository):
    """A recipe directory with two texts."""
    for name in ("utils", "steps"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "path.sh").write_text(f'. "{repository}/path.sh"\n')
    random = np.random.default_rng(0)
    for name, number in (("text", 80), ("dev", 20)):
        lines = (" ".join(f"w{word}" for word in np.minimum(random.zipf(1.4, 8), 9)) for _ in range(number))
        (tmp_path / name).write_text("".join(f"u{place} {line}\n" for place, line in enumerate(lines)))
    return tmp_path


def run(recipe, command):
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=280)


def test_train_mix_and_prune(recipe):
    result = run(
        recipe,
        "set -e; steps/train_lm.sh --order 2 --smoothing katz dev other.arpa\n"
        "steps/train_lm.sh --order 3 --min-counts '1 1 2' --nj 2 --dev-text dev --interpolate other.arpa "
        "--prune 1e-3 text lm.arpa.gz",
    )
    assert result.returncode == 0, result.stderr
    assert "weights: lm_trained.arpa.gz=0." in result.stderr and "dev: sentences=20 words=160" in result.stdout
    sizes = [sum(read_arpa(recipe / name).num_ngrams()) for name in ("lm.arpa.gz", "lm_trained.arpa.gz", "lm_mixed.arpa.gz")]
    assert sizes[0] < sizes[2] and sizes[1] < sizes[2] and (recipe / "lm_histories.arpa.gz").exists()


def test_mixing_needs_weights(recipe):
    result = run(recipe, "steps/train_lm.sh --interpolate other.arpa text lm.arpa.gz")
    assert result.returncode == 1 and "--interpolate needs --interpolate-weights or --dev-text" in result.stderr
