"""The shell steps in local/ of mini_mandarin and speechocean762: usage, exit status, and what they pass on."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = [
    ("mini_mandarin", "make_corpus.sh"),
    ("mini_mandarin", "prepare_data.sh"),
    ("speechocean762", "data_prep.sh"),
    ("speechocean762", "prepare_dict.sh"),
    ("speechocean762", "download_and_untar.sh"),
]


def run(repository: Path, directory: Path, corpus: str, command: str) -> subprocess.CompletedProcess:
    """In a recipe directory with the corpus's local/ and a path.sh that installs nothing."""
    if not (directory / "local").exists():
        (directory / "local").symlink_to(repository / "egs" / corpus / "s5" / "local")
        (directory / "utils").symlink_to(repository / "utils")
        (directory / "path.sh").write_text(f"export PATH={Path(sys.executable).parent}:$PATH LC_ALL=C.UTF-8\n")
    return subprocess.run(["bash", "-c", command], cwd=directory, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("corpus", "script"), SCRIPTS)
def test_wrong_arguments_print_the_usage(repository, tmp_path, corpus, script):
    done = run(repository, tmp_path, corpus, f"local/{script} one two three")
    assert done.returncode == 1
    assert "Usage: local/" in done.stderr
    assert " e.g.: local/" in done.stderr
    done = run(repository, tmp_path, corpus, f"local/{script} --no-such-option 1 x")
    assert done.returncode == 1
    assert "unknown option --no-such-option" in done.stderr


@pytest.mark.parametrize("script", ["data_prep.sh", "prepare_dict.sh"])
def test_the_corpus_must_be_named(repository, tmp_path, script):
    done = run(repository, tmp_path, "speechocean762", f"local/{script} out")
    assert done.returncode == 1
    assert "Usage" in done.stderr


@pytest.mark.parametrize(
    ("corpus", "command", "message"),
    [
        ("mini_mandarin", "make_corpus.sh --hours 101 corpus", "make_corpus.py: ERROR: --hours 101.0: expected"),
        ("mini_mandarin", "prepare_data.sh nowhere data", "prepare_data.py: ERROR: nowhere: no finished corpus"),
        ("speechocean762", "data_prep.sh --corpus nowhere data", "data_prep.py: ERROR: nowhere/speechocean762/train: no such"),
        (
            "speechocean762",
            "prepare_dict.sh --corpus nowhere dict",
            "prepare_dict.py: ERROR: nowhere/speechocean762/resource/lex",
        ),
        (
            "speechocean762",
            "download_and_untar.sh --url file:///none/x.tar.gz d",
            "asrtool download: ERROR: file:///none/x.tar.gz",
        ),
    ],
)
def test_failures_pass_through(repository, tmp_path, corpus, command, message):
    done = run(repository, tmp_path, corpus, f"local/{command}")
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
