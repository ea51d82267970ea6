"""What stages need: the rates, the table, the check of the disk, hours of data directories."""

import subprocess
import sys
from pathlib import Path

import pytest

from asrtool.bin import plan_resources as verb
from asrtool.errors import AsrtoolError
from asrtool.report.resources import Task, check_disk, data_hours, load_resources, table

RATES = """
measured_on: a machine
stages:
  features: {what: filterbanks, source: a test, disk_mb_per_hour: 100, cpu_s_per_hour: 36, memory_gb: 0.5}
  networks: {what: networks, source: a test, speech: perturbed, disk_gb: 2, memory_mb_per_hour: 10}
gpu: {source: a paper, frames_per_s: {cross_entropy: 20000, sequence: 1000}, speed_up: {1: 1.0, 4: 3.6, 8: 6.4}}
"""


@pytest.fixture
def rates(tmp_path) -> Path:
    path = tmp_path / "resources.yaml"
    path.write_text(RATES)
    return path


def write_data(path: Path, **tables: str) -> Path:
    path.mkdir()
    for name, text in {"utt2spk": "a-1 a\nb-1 b\n", **tables}.items():
        (path / name).write_text(text)
    return path


def test_every_rate_of_the_toolkit_has_a_source():
    resources = load_resources()
    assert {"download", "features", "perturb", "gmm", "align", "networks", "decode"} <= set(resources.stages)
    for name, rates in resources.stages.items():
        assert len(rates.source) > 20 and "provisional" not in rates.source, name
    assert "published" in table(resources, Task(100)).lower()


def test_the_table(rates):
    text = table(load_resources(rates), Task(hours=200, copies=3, cores=4, gpus=(1, 4, 6, 16), epochs=2))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert rows[2] == ["features: filterbanks", "200", "20 GB", "500 MB", "2.0", "30 min 00 s"]
    assert rows[3] == ["networks: networks", "600", "2.0 GB", "6.0 GB", "0.0", "0 s"]
    assert rows[4] == ["all", "", "22 GB", "6.0 GB", "2.0", "30 min 00 s"]
    # 600 h x 360,000 frames x 2 epochs / 20,000 a second = 6 h; 6 GPUs at the efficiency of 4, 16 at that of 8
    assert rows[7] == ["cross_entropy, 2 epochs", "20,000", "6", "6 h 00 min", "100 min 00 s", "66 min 40 s", "28 min 08 s"]
    assert rows[8][:3] == ["sequence, 1 epoch", "1,000", "60"]
    assert text.splitlines()[-1] == "Published, not measured with asrtool: a paper"
    faster = table(load_resources(rates), Task(200, epochs=2, frames_per_s=40000, skip=["networks"]))
    assert "| cross_entropy, 2 epochs | 40,000 | 3 |" in faster and "networks" not in faster
    assert "From --frames-per-s 40000" in faster


def test_the_disk_is_checked(rates, tmp_path):
    resources = load_resources(rates)
    assert "features needs about 1.0 GB for 10 h" in check_disk(resources, "features", 10, tmp_path / "not/there/yet")
    with pytest.raises(AsrtoolError, match=r"are free, features needs about 100000 TB for 1e\+09 h of speech; make room"):
        check_disk(resources, "features", 1e9, tmp_path)
    with pytest.raises(AsrtoolError, match="no stage 'feature' in the rates; known: features, networks"):
        check_disk(resources, "feature", 1, tmp_path)
    with pytest.raises(AsrtoolError, match="nan hours"):
        check_disk(resources, "features", float("nan"), tmp_path)


def test_hours_of_data_directories(tmp_path, capsys):
    frames = write_data(tmp_path / "frames", utt2num_frames="a-1 180000\nb-1 180000\n")
    durations = write_data(tmp_path / "durations", utt2dur="a-1 1800\nb-1 0.0\n")
    segments = write_data(tmp_path / "segments", segments="a-1 r 0 900\nb-1 r 900 1800\n", **{"wav.scp": "r r.wav\n"})
    assert (data_hours(frames), data_hours(durations), data_hours(segments)) == (1.0, 0.5, 0.5)
    assert verb.main(["hours", str(frames), str(durations)]) == 0
    assert capsys.readouterr().out == "1.5000\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("measured_on: x", "expected measured_on, stages and gpu"),
        ("[1, 2]", "expected measured_on, stages and gpu"),
        (RATES.replace("cpu_s_per_hour", "cpu"), "features: unknown key 'cpu'"),
        (RATES.replace("perturbed", "dubbed"), "speech: 'dubbed'"),
        ("{", "expected measured_on"),
    ],
)
def test_bad_rates(tmp_path, text, message):
    path = tmp_path / "resources.yaml"
    path.write_text(text)
    with pytest.raises(AsrtoolError, match=message):
        load_resources(path)
    with pytest.raises(AsrtoolError, match="no such file"):
        load_resources(tmp_path / "none.yaml")


def test_bad_options(rates):
    for options, message in [(["--hours", "0"], "must be positive"), (["--hours", "1", "--skip", "x"], "no stage 'x'")]:
        with pytest.raises(AsrtoolError, match=message):
            verb.main(["--config", str(rates), "table", *options])
    with pytest.raises(SystemExit):
        verb.main(["table", "--hours", "1", "--gpus", "many"])


def test_require_disk_stops_a_recipe(repository, tmp_path):
    def run(words: str) -> subprocess.CompletedProcess:
        script = f"export PATH={Path(sys.executable).parent}:$PATH; . {repository}/utils/stages.sh; {words}; echo on"
        return subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    done = run("require_disk features 0.01 .")
    assert done.returncode == 0 and done.stdout == "on\n" and "features needs about" in done.stderr
    done = run("require_disk features 1e12 .")
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "ERROR: .: " in done.stderr
    assert run("disk_check=false; require_disk features 1e12 .").stdout == "on\n"


def test_stages_are_counted(repository, tmp_path):
    script = f"set -eu; . {repository}/utils/stages.sh; stage_a() {{ :; }}; stage_b() {{ :; }}; run_stages d same a b"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "stage 0 of 1: a\n" in done.stderr and "stage 1 of 1: b took 0 s" in done.stderr
