"""The steps that bring alignments in and experiments out: usage, a small run of each, and what they say of bad input."""

import os
import subprocess
from pathlib import Path


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=60, env=environment)


def test_export_says_how_it_is_used(recipe):
    result = run(recipe, "steps/export_kaldi.sh")
    assert result.returncode == 1 and "Usage:" in result.stderr and "e.g.:" in result.stderr and "<exp-dir>" in result.stderr
    result = run(recipe, "steps/export_kaldi.sh nothing out")
    assert result.returncode == 1 and "ERROR: nothing/final.mdl: no such file" in result.stderr


def test_pdf_ids_in_and_an_experiment_out(recipe):
    data = recipe / "data"
    data.mkdir()
    (data / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\n")
    (data / "utt2num_frames").write_text("a-1 4\na-2 3\nb-1 5\n")
    (recipe / "pdf.txt").write_text("a-1 0 0 1 1\na-2 2 2 2\nb-1 1 1 0 0 3\n")
    result = run(recipe, "steps/import_alignment.sh --format text-pdf --write-pdfs true pdf.txt data exp/ali")
    assert result.returncode == 0, result.stderr
    assert (recipe / "exp/ali/phones.ctm").read_text().startswith("a-1 1 0.00 0.02 pdf0\na-1 1 0.02 0.02 pdf1\n")
    result = run(recipe, ". ./path.sh; asrtool ali-to-pdf exp/ali/final.mdl exp/ali ark,t:pdf2.txt")
    assert result.returncode == 0 and (recipe / "pdf2.txt").read_text().split() == (recipe / "pdf.txt").read_text().split()
    result = run(recipe, "steps/export_kaldi.sh --nj 2 --data data exp/ali out")
    assert result.returncode == 0, result.stderr
    assert (recipe / "out/num_jobs").read_text() == "2\n" and (recipe / "out/ali.2.gz").is_file()
    assert "| ali.1.gz |" in (recipe / "out/README.md").read_text()


def test_lengths_that_differ_are_explained_in_the_log(recipe):
    data = recipe / "data"
    data.mkdir()
    (data / "utt2spk").write_text("a-1 a\n")
    (data / "utt2num_frames").write_text("a-1 12\n")
    (recipe / "pdf.txt").write_text("a-1 0 0 1 1\n")
    result = run(recipe, "steps/import_alignment.sh --format text-pdf pdf.txt data exp/ali")
    assert result.returncode == 1 and not (recipe / "exp/ali/final.mdl").exists()
    log = (recipe / "exp/ali/log/import_alignment.log").read_text()
    assert "a-1: 4 frames aligned, 12 frames of features" in log and "give --frame-subsampling-factor 3" in log
    result = run(recipe, "steps/import_alignment.sh pdf.txt data exp/ali")
    assert (
        result.returncode == 1
        and "pdf.txt: what is it? Give --format" in (recipe / "exp/ali/log/import_alignment.log").read_text()
    )
