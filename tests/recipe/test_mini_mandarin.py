"""The main recipe end to end on three minutes of speech, and its second start."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1800)
OPTIONS = [
    *("--hours", "0.05", "--corpus-opts", "--train-speakers 6 --held-out-speakers 2", "--lm-sentences", "3000"),
    *("--totgauss", "300", "--tri-opts", "150 900", "--curve-utts", "6", "--tune-utts", "20", "--num-workers", "2"),
    *(
        "--nnet-opts",
        "parallel.sync_frames=1000 loader.num_streams=4 loader.batch_windows=32 num_epochs=5 parallel.block_momentum=0.3",
    ),
    *("--seq-network", "lstm"),
    *("--seq-opts", "parallel.sync_frames=1000 loader.num_streams=4 parallel.block_momentum=0.3 held_out.max_utterances=10"),
]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}  # other tests run beside: threads would wait for each other


def run(repository: Path, directory: Path, *words: str) -> subprocess.CompletedProcess:
    command = [repository / "egs/mini_mandarin/s5/run.sh", "--dir", directory, *OPTIONS, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """The directory and the output of a run that was killed on its way and started again."""
    repository = Path(__file__).resolve().parents[2]
    directory = tmp_path_factory.mktemp("mini")
    command = [repository / "egs/mini_mandarin/s5/run.sh", "--dir", directory, *OPTIONS]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=ENVIRONMENT
    )
    deadline = time.monotonic() + 300
    while not (directory / "exp/mono/state.npz").exists():
        assert process.poll() is None and time.monotonic() < deadline, "the recipe ended before the monophones"
        time.sleep(0.1)
    os.killpg(process.pid, 9)
    process.wait()
    result = run(repository, directory)
    assert result.returncode == 0, result.stderr[-3000:]
    return directory, result.stdout


def test_table_and_pictures(finished):
    directory, output = finished
    for row in ("| Methods (CER %, test) | LSTM | DNN |", "| BMUF |", "| BMUF + MA |", "| BMUF + EMA |"):
        assert row in output
    assert "| Methods (CER %, test) | LSTM, CE | then smbr |" in output
    for name in ("fer_lstm", "cer_lstm", "fer_dnn", "cer_dnn", "lstm_smbr"):
        assert (directory / f"exp/figures/{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert "synthetic" in (directory / "exp/RESULTS.md").read_text()


def test_error_rates_are_those_of_a_recogniser(finished):
    directory, _ = finished
    results = {record["system"]: record for record in json.loads((directory / "exp/results.json").read_text())}
    final = {name: record["value"] for name, record in results.items() if "@" not in name}
    assert set(final) == {"tri", *(f"{n}_{a}" for n in ("lstm", "dnn", "lstm_smbr") for a in ("bmuf", "ma", "ema"))}
    assert 40 < final["tri"] < 92  # so little speech of so few speakers teaches no more
    assert 50 < min(value for name, value in final.items() if name != "tri") < 99
    for record in results.values():
        assert record["errors"] == record["ins"] + record["del"] + record["sub"] and record["total"] > 0
        assert record["value"] == pytest.approx(100 * record["errors"] / record["total"], abs=1e-3)
    assert len([name for name in results if name.startswith("lstm_ema@")]) == 20  # four an epoch


def test_second_start_has_nothing_to_do(finished, repository):
    directory, output = finished
    start = time.monotonic()
    again = run(repository, directory)
    assert again.returncode == 0 and again.stderr == "" and time.monotonic() - start < 20
    assert again.stdout == output[-len(again.stdout) :] and "| BMUF + EMA |" in again.stdout


def test_other_options_for_the_same_directory_are_refused(finished, repository):
    directory, _ = finished
    result = run(repository, directory, "--seed", "2")
    assert result.returncode == 1 and "was made with other options" in result.stderr
