"""utils/recipe.sh: what recipes share, where no speech is needed."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def recipe(repository, tmp_path):
    """Runs lines of a recipe of egs/aishell that works in tmp_path/work."""

    def run(lines: str) -> subprocess.CompletedProcess:
        head = f"""set -euo pipefail
            here={repository}/egs/aishell/s5 dir=work nj=1 seed=1 num_workers=1 command_line=run.sh metric=cer dev_set=dev
            nnet_config=conf/{{network}}.yaml train_set=train valid_set=dev test_sets="dev test"
            . "$here/utils/recipe.sh"
            """
        return subprocess.run(["bash", "-c", head + lines], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


def touch(path: Path, when: int) -> None:
    path.write_text("")
    os.utime(path, (when, when))


def test_directories_are_absolute_and_there(recipe, repository, tmp_path):
    result = recipe('pwd; echo "$data $exp $averages"; ls -d "$dir"')
    assert result.returncode == 0, result.stderr
    work = tmp_path / "work"
    assert result.stdout.splitlines() == [f"{repository}/egs/aishell/s5", f"{work}/data {work}/exp bmuf ma ema", str(work)]


@pytest.mark.parametrize(
    ("target", "sources", "fresh"),
    [(2, (1, 2), True), (1, (1, 2), False), (None, (1,), False), (1, (None,), True), (1, (), True)],
)
def test_up_to_date(recipe, tmp_path, target, sources, fresh):
    if target is not None:
        touch(tmp_path / "target", 1_000_000 + target)
    for number, when in enumerate(sources):
        if when is not None:
            touch(tmp_path / f"source{number}", 1_000_000 + when)
    names = " ".join(f"{tmp_path}/source{number}" for number in range(len(sources)))
    result = recipe(f"if up_to_date {tmp_path}/target {names}; then echo yes; else echo no; fi")
    assert result.stdout == ("yes\n" if fresh else "no\n")


def test_lists_sets_and_features(recipe):
    result = recipe(
        'in_list "a bc" bc && ! in_list "a bc" b && dev_of test && features_of lstm && features_of lstmp_smbr && features_of dnn'
    )
    assert result.returncode == 0 and result.stdout.split() == ["dev", "fbank", "fbank40", "fbank"]


def test_a_gmm_that_is_not_wanted_is_passed_over(recipe):
    assert recipe('gmms="mono tri1"; train_gmm tri5a train_sat').returncode == 0
    assert recipe('gmms="mono"; kaldi_ali=/exp; train_gmm mono train_mono').returncode == 0


def test_too_little_room_stops(recipe, tmp_path):
    for name in ("wav.scp", "utt2spk", "utt2dur"):
        (tmp_path / "work/data/train").mkdir(parents=True, exist_ok=True)
        (tmp_path / "work/data/train" / name).write_text("s1-1 s1\n" if name != "utt2dur" else "s1-1 3600000000000\n")
    result = recipe("check_disk features train; echo went on")
    assert result.returncode == 1 and "went on" not in result.stdout and str(tmp_path / "work") in result.stderr
    assert "Traceback" not in result.stderr
