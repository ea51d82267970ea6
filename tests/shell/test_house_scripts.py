"""path.sh, parse_options.sh, stages.sh, run.py and slurm.py: usage, exit status, messages."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest


def bash(script: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", script], cwd=cwd, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


@pytest.fixture
def options_script(tmp_path, repository) -> Path:
    path = tmp_path / "step.sh"
    path.write_text(
        f'# Does a thing.\nset -euo pipefail\nnj=4\nuse_it=false\n. {repository}/utils/parse_options.sh\necho "$nj $use_it $*"\n'
    )
    return path


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("--nj 2 --use-it true a b", 0, "2 true a b"),
        ("a --nj 2", 0, "4 false a --nj 2"),
        ("--njobs 2", 1, "unknown option --njobs"),
        ("--use-it maybe", 1, "--use-it takes true or false, not 'maybe'"),
        ("--nj", 1, "the option --nj needs a value"),
        ("--nj=2", 1, "options are written '--name value', not '--nj=2'"),
        ("--config none.conf", 1, "none.conf: no such config file"),
    ],
)
def test_parse_options(options_script, words, code, text):
    result = bash(f"bash {options_script} {words}", options_script.parent)
    assert result.returncode == code and text in result.stdout + result.stderr


def test_path_sh_says_which_python_is_missing_or_too_old(tmp_path, repository):
    for name in ("path.sh", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((repository / name).read_bytes())
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    result = bash(". ./path.sh; echo went on", tmp_path, ASRTOOL_PYTHON="no-such-python")
    assert result.returncode == 1 and "no-such-python not found: install Python 3.11 or newer" in result.stderr
    result = bash(". ./path.sh; echo went on", tmp_path, ASRTOOL_PYTHON=str(old))
    assert result.returncode == 1 and "is Python 3.9.2: asrtool needs Python 3.11 or newer" in result.stderr
    assert "went on" not in result.stdout


def test_path_sh_says_that_venv_is_missing(tmp_path, repository):
    for name in ("path.sh", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((repository / name).read_bytes())
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = -m ] && { echo "No module named venv" >&2; exit 1; }\nexit 0\n')
    python.chmod(0o755)
    result = bash(". ./path.sh", tmp_path, ASRTOOL_PYTHON=str(python))
    assert result.returncode == 1 and "install Python's venv module (on Debian: apt install python3-venv)" in result.stderr


def test_run_py_writes_a_log_a_job(tmp_path, repository):
    result = bash(f"{repository}/utils/run.py JOB=1:3 log/x.JOB.log echo 'two words' JOB '|' tr a-z A-Z", tmp_path)
    assert result.returncode == 0
    log = (tmp_path / "log/x.2.log").read_text()
    assert (
        log.startswith('# echo "two words" 2 | tr a-z A-Z\n# Started at ')
        and "TWO WORDS 2\n" in log
        and "# Ended (code 0)" in log
    )


def test_run_py_fails_if_any_job_fails_and_shows_why(tmp_path, repository):
    result = bash(
        f"{repository}/utils/run.py JOB=1:2 x.JOB.log bash -c 'test JOB = 1 || {{ echo job JOB is ill; exit 3; }}'", tmp_path
    )
    assert result.returncode == 1
    assert "1 of 2 failed, log is in x.2.log" in result.stderr and "job 2 is ill" in result.stderr
    assert "# Ended (code 3)" in (tmp_path / "x.2.log").read_text()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("JOB=1:2 x.log true", "must contain JOB"),
        ("JOB=2:1 x.JOB.log true", "bad job range"),
        ("--no-such 1 x.log true", "unknown option --no-such"),
        ("x.log", "run.py [options]"),
    ],
)
def test_run_py_usage(tmp_path, repository, words, text):
    result = bash(f"{repository}/utils/run.py {words}", tmp_path)
    assert result.returncode == 1 and text in result.stderr


def test_run_py_passes_a_signal_on(tmp_path, repository):
    process = subprocess.Popen([repository / "utils/run.py", "x.log", "bash", "-c", "echo $$ > pid; exec sleep 60"], cwd=tmp_path)
    deadline = time.monotonic() + 20
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) != 0
    pid = int((tmp_path / "pid").read_text())
    while Path(f"/proc/{pid}").exists() and "sleep" in Path(f"/proc/{pid}/cmdline").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_run_py_starts_no_waiting_job_after_a_signal(tmp_path, repository):
    command = [
        repository / "utils/run.py",
        "--max-jobs-run",
        "1",
        "JOB=1:3",
        "x.JOB.log",
        "bash",
        "-c",
        "echo > begun.JOB; exec sleep 60",
    ]
    process = subprocess.Popen(command, cwd=tmp_path)
    deadline = time.monotonic() + 20
    while not (tmp_path / "begun.1").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun.1", "x.1.log"]


def test_slurm_py_submits_one_array(tmp_path, repository):
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(
        '#!/bin/bash\nfor a; do s=$a; done\nfor i in 1 2; do SLURM_ARRAY_TASK_ID=$i bash "$s" || e=1; done; exit ${e:-0}\n'
    )
    sbatch.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    slurm = f"{repository}/utils/slurm.py --mem 4G --gpu 1 JOB=1:2 log/x.JOB.log"
    result = bash(f"{slurm} echo job JOB", tmp_path, PATH=path)
    assert result.returncode == 0, result.stderr
    assert "job 2\n" in (tmp_path / "log/x.2.log").read_text() and "# Ended (code 0)" in (tmp_path / "log/x.1.log").read_text()
    script = (tmp_path / "log/x.batch.log.sh").read_text()
    assert "#SBATCH --array=1-2\n" in script and "#SBATCH --mem=4G\n" in script and "#SBATCH --gres=gpu:1\n" in script
    assert bash(f"{slurm} test JOB = 1", tmp_path, PATH=path).returncode == 1


RECIPE = """set -euo pipefail
stage=; stop_stage=
. {utils}/parse_options.sh
. {utils}/stages.sh
stage_first() {{ echo first; }}
stage_second() {{ echo second; test ! -f fail; echo well; }}
run_stages exp "${{settings:-a}}" first second
"""


def test_stages_are_done_once_and_go_on_after_a_failure(tmp_path, repository):
    (tmp_path / "run.sh").write_text(RECIPE.format(utils=repository / "utils"))
    (tmp_path / "fail").touch()
    result = bash("bash run.sh", tmp_path)
    assert result.returncode != 0 and result.stdout == "first\nsecond\n"
    (tmp_path / "fail").unlink()
    assert bash("bash run.sh", tmp_path).stdout == "second\nwell\n"
    assert bash("bash run.sh", tmp_path).stdout == ""
    assert bash("bash run.sh --stage 0 --stop-stage 0", tmp_path).stdout == "first\n"
    changed = bash("settings=b bash run.sh", tmp_path)
    assert changed.returncode == 1 and "exp was made with other options (a)" in changed.stderr
