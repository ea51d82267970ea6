"""Comparison of parallel algorithms: planned runs, choice of settings, lists of jobs, tables, sentences, pictures."""

import json
import sys

import numpy as np
import pytest

from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.io.config import from_dict
from asrtool.report.parallel_comparison import Cell, ComparisonConfig, cells, make_run, scaled
from asrtool.report.parallel_comparison_figures import band
from asrtool.report.parallel_comparison_jobs import Comparison, DataPaths, jobs, run_job, write_lists
from asrtool.report.parallel_comparison_page import read_cell, write_results
from asrtool.report.parallel_comparison_runs import CellResult, RunResult, Spread, read_run
from asrtool.report.parallel_comparison_table import cost_table, error_table, search_table, sentences
from asrtool.score.edit_distance import ErrorCounts
from asrtool.score.results import append_results, make_record

SETTINGS = {
    "networks": ["net"],
    "num_workers": [2, 8],
    "simulate_above": 2,
    "seeds": [1, 2],
    "overrides": {"num_epochs": 2, "parallel.ema_alpha": [0.9]},
    "algorithms": {
        "single": {
            "label": "SGD",
            "overrides": {"parallel.algorithm": "single"},
            "settings": {"slow": {}, "fast": {"rate_factor": 2}},
        },
        "bmuf": {
            "label": "BMUF",
            "overrides": {"parallel.algorithm": "bmuf"},
            "settings": {"short": {"parallel.sync_frames": "8000/N"}, "rate": {"rate_factor": "1.0*sqrt(N)"}},
        },
    },
}


@pytest.fixture
def comparison(tmp_path) -> Comparison:
    """Nothing trained yet; the network's rates are 0.1 to 0.02."""
    (tmp_path / "net.yaml").write_text(
        "model: {kind: dnn}\nschedule: {kind: exponential, learning_rate: 0.1, final_learning_rate: 0.02}\n"
    )
    config = from_dict(ComparisonConfig, {**SETTINGS, "network_config": str(tmp_path / "{network}.yaml")}, "settings")
    data = DataPaths("ali", "train", "valid", graph="graph", dev_data="data/dev", test_data="data/test", metric="cer")
    return Comparison(config, data, tmp_path / "compare")


def leave(run, fer: dict[str, list[float]], frames_per_s: float = 1000.0, diverged: bool = False, **more: float) -> None:
    """Makes the directory of a finished run: FER (fractions) of each model after each epoch."""
    run.directory.mkdir(parents=True)
    numbers = {"loss": 2.0, "targets": 100, "frames": 5000, "frames_per_s": frames_per_s}
    epochs = max(map(len, fer.values()))
    records = [{"kind": "train", "epoch": float(e), "model": "bmuf", "fer": 0.9, **numbers, **more} for e in range(1, epochs + 1)]
    for model, values in fer.items():
        records += [{"kind": "valid", "epoch": e, "model": model, "fer": value, **numbers} for e, value in enumerate(values, 1)]
    (run.directory / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (run.directory / ("diverged" if diverged else "done")).touch()


def fill(comparison: Comparison) -> None:
    """One worker: the first setting wins. BMUF at N = 2: the second; at N = 8 the first has diverged."""
    rows = {1: [(0.5, 0.6), (0.52,)], 2: [(0.7, 0.55), (0.57,)], 8: [(None, 0.45), (0.47,)]}
    for cell in cells(comparison.config):
        search, (other_seed,) = rows[cell.num_workers]
        speed = 1000.0 * cell.num_workers**0.5
        for run, fer in zip(comparison.search_runs(cell), search):
            leave(run, {cell.algorithm: [0.8, fer or 0.8], "ema": [0.8, (fer or 0.8) - 0.02]}, speed, fer is None, bytes_sent=4e6)
        chosen = comparison.chosen(cell)
        assert chosen.setting == {1: "slow", 2: "rate", 8: "rate"}[cell.num_workers]
        run = make_run(comparison.config, comparison.directory, cell, chosen.setting, 2)
        leave(run, {cell.algorithm: [0.8, other_seed], "ema": [0.8, other_seed - 0.01]}, speed, bytes_sent=4e6)


def test_rows_and_the_settings_of_their_runs(comparison):
    assert [cell.name for cell in cells(comparison.config)] == ["single-n1", "bmuf-n2", "bmuf-n8"]
    short, rate = comparison.search_runs(Cell("net", "bmuf", 8))
    assert short.directory == comparison.directory / "net/bmuf-n8/short-s1" and short.simulated
    assert short.overrides == (
        "num_epochs=2",
        "parallel.ema_alpha=[0.9]",
        "parallel.algorithm=bmuf",
        "parallel.sync_frames=1000",
        "seed=1",
    )
    assert "schedule.learning_rate=0.2828" in rate.overrides and "schedule.final_learning_rate=0.05656" in rate.overrides
    single = comparison.search_runs(Cell("net", "single", 1))[1]
    assert not single.simulated and {"schedule.learning_rate=0.2", "models_per_epoch=1"} <= set(single.overrides)
    assert "models_per_epoch=1" not in short.overrides  # bmuf's curves are wanted


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("120000/N", 15000),
        ("4*N", 32),
        ("1.0*sqrt(N)", 2.828),
        ("0.5*N", 4.0),
        ("3/N", 1),
        ("bmuf", "bmuf"),
        (0.25, 0.25),
        (None, None),
    ],
)
def test_values_that_depend_on_the_number_of_workers(value, result):
    assert scaled(value, 8, "here") == result and type(scaled(value, 8, "here")) is type(result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds must be one or more"),
        ({"num_workers": [1, 8]}, "num_workers must be above 1"),
        ({"networks": ["a b"]}, "the name 'a b' may have letters"),
        ({"algorithms": {"bsp": {"settings": {}}}}, r"budgets differ or are empty \(bsp 0\)"),
        (
            {"algorithms": {"bsp": {"settings": {"a": {}}}, "bmuf": {"settings": {"a": {}, "b": {}}}}},
            r"budgets differ or are empty \(bsp 1, bmuf 2\)",
        ),
        ({"algorithms": {"bsp": {"setting": {}}}}, "algorithms: bsp: unknown key 'setting'"),
    ],
)
def test_settings_that_are_refused(change, message):
    with pytest.raises(AsrtoolError, match=message):
        from_dict(ComparisonConfig, {**SETTINGS, **change}, "settings")


def test_a_selection(comparison):
    config = comparison.config.select(algorithms=["bmuf"], num_workers=[4], num_settings=1, seeds=None)
    assert [cell.name for cell in cells(config)] == ["bmuf-n4"] and config.seeds == [1, 2]
    with pytest.raises(AsrtoolError, match="no algorithm 'sgd' in the settings; known: single, bmuf"):
        comparison.config.select(algorithms=["sgd"])


def test_a_saved_comparison_is_the_same(comparison):
    comparison.save()
    assert Comparison.load(comparison.directory) == comparison
    with pytest.raises(AsrtoolError, match=r"comparison\.yaml: no such settings file"):
        Comparison.load(comparison.directory / "none")


def test_jobs_of_the_search_are_those_not_finished(comparison):
    found = jobs(comparison, "search", ["simulate"])
    assert {key: len(those) for key, those in found.items()} == {(1, "real"): 2, (2, "real"): 2, (1, "simulated"): 2}
    command = found[2, "real"][0]["commands"][0]
    assert command[:5] == [
        "steps/nnet/train.sh",
        "--nnet-config",
        str(comparison.directory.parent / "net.yaml"),
        "--num-workers",
        "2",
    ]
    assert command[5:9] == ["ali", "train", "valid", str(comparison.directory / "net/bmuf-n2/short-s1")]
    simulated = found[1, "simulated"][0]["commands"][0]
    assert simulated[2] == "simulate" and "--seconds-per-frame" not in simulated
    assert list(jobs(comparison, "reference", [])) == [(1, "real")]
    for run, speed in zip(comparison.search_runs(Cell("net", "single", 1)), (1500.0, 2500.0)):
        leave(run, {"single": [0.5]}, speed)
    found = jobs(comparison, "search", ["simulate"])
    assert (1, "real") not in found and jobs(comparison, "reference", []) == {}
    simulated = found[1, "simulated"][0]["commands"][0]
    assert simulated[simulated.index("--seconds-per-frame") + 1] == "0.0004"
    lines = write_lists(comparison, "search", found)
    assert lines[0] == f"1 2 {comparison.directory}/lists/search.simulated.1.jsonl" and len(lines) == 2


def test_the_other_seeds_need_a_finished_search(comparison):
    with pytest.raises(AsrtoolError, match=r"single-n1/slow-s1: this run is not finished; start the comparison again"):
        jobs(comparison, "seeds", [])
    fill(comparison)
    assert jobs(comparison, "seeds", []) == {}


def test_a_run_by_other_settings_is_named(comparison):
    run = comparison.search_runs(Cell("net", "bmuf", 2))[0]
    run.directory.mkdir(parents=True)
    (run.directory / "plan.json").write_text(json.dumps({**run.record(), "overrides": ["num_epochs=9"]}))
    with pytest.raises(AsrtoolError, match=r"plan\.json: the run was begun by other settings \(overrides\); remove .*short-s1"):
        jobs(comparison, "search", [])


def test_jobs_of_decoding(comparison):
    fill(comparison)
    runs = comparison.seed_runs(Cell("net", "bmuf", 2))
    found = jobs(comparison, "decode", [])[1, "real"]
    assert len(found) == 6
    ours = next(job for job in found if job["run"] == str(runs[0].directory))
    words = ours["commands"][1]
    assert len(ours["commands"]) == 2 and words[words.index("graph") + 1 :] == [
        "data/dev", f"{ours['run']}/final_ema.pt", f"{ours['run']}/decode_dev/ema",
        "data/test", "ema", f"{ours['run']}/final_ema.pt", f"{ours['run']}/decode_test/ema",
    ]  # fmt: skip
    comparison.data.tune_each = False
    (words,) = next(job for job in jobs(comparison, "decode", [])[1, "real"] if job["run"] == ours["run"])["commands"]
    assert words[words.index("data/dev") + 1] == f"{ours['run']}/final_bmuf.pt" and words[words.index("data/test") + 1 :: 3] == [
        "bmuf",
        "ema",
    ]
    comparison.data.tune_each = True
    counts = ErrorCounts(total=100, insertions=0, deletions=0, substitutions=9)
    append_results(runs[0].directory / "results.json", [make_record(model, "test", "cer", counts) for model in ("bmuf", "ema")])
    assert len(jobs(comparison, "decode", [])[1, "real"]) == 5
    (runs[0].directory / "models/ema").mkdir(parents=True)
    for label in ("1.1", "1.2", "2.1", "2.2"):
        (runs[0].directory / f"models/ema/{label}.pt").touch()
    (job,) = jobs(comparison, "curves", [])[1, "real"]
    assert [word for word in job["commands"][0] if "@" in word and "/" not in word] == ["ema@0.5", "ema@1", "ema@1.5", "ema@2"]


def list_of(tmp_path, script: str, phase: str = "search") -> tuple:
    run = tmp_path / "run"
    (run / "models").mkdir(parents=True)
    job = {"run": str(run), "plan": {"a": 1}, "phase": phase, "keep_models": False, "commands": [[sys.executable, "-c", script]]}
    (tmp_path / "list").write_text(json.dumps(job) + "\n")
    return tmp_path / "list", run


FAIL = "import os, sys; os.makedirs({0!r} + '/log'); open({0!r} + '/log/train.log', 'w').write({1!r}); sys.exit(1)"


def test_a_training_that_diverges_is_a_finished_job(tmp_path):
    text = "asrtool train-nnet: ERROR: epoch 1, minibatch 2: loss nan a target; check them, or lower schedule.learning_rate\n"
    jobs_file, run = list_of(tmp_path, FAIL.format(str(tmp_path / "run"), text))
    assert run_job(jobs_file, 1) == 0
    assert (run / "diverged").read_text() == text and json.loads((run / "plan.json").read_text()) == {"a": 1}


def test_any_other_failure_fails(tmp_path):
    jobs_file, run = list_of(tmp_path, FAIL.format(str(tmp_path / "run"), "asrtool: ERROR: the disk is full\n"))
    assert cli.main(["compare-parallel", "run", str(jobs_file), "1"]) == 1
    assert not (run / "diverged").exists() and (run / "models").exists()


def test_models_that_nobody_wants_are_removed(tmp_path):
    jobs_file, run = list_of(tmp_path, "pass")
    assert run_job(jobs_file, 1) == 0 and not (run / "models").exists()


def test_what_a_run_says(comparison):
    run = comparison.search_runs(Cell("net", "bmuf", 8))[0]
    leave(run, {"bmuf": [0.6, 0.4, 0.5], "ema": [0.6, 0.45, 0.35]}, bytes_sent=12e6, staleness_mean=3.0, staleness_max=9.0)
    (run.directory / "simulation.json").write_text(json.dumps({"frames_per_s": 7000.0, "speed_up": 6.5}))
    counts = ErrorCounts(total=200, insertions=1, deletions=2, substitutions=22)
    append_results(
        run.directory / "results.json", [make_record(s, "test", "cer", counts) for s in ("bmuf", "ema@1.5", "ema@0.5")]
    )
    result = read_run(run, 95.0, "test")
    assert result.fer == {"global": 40.0, "ema": 35.0} and not result.diverged
    assert result.curves["global"] == [(1, 60.0), (2, 40.0), (3, 50.0)]
    assert result.rates == {"global": 12.5} and result.rate_curves == {"ema": [(0.5, 12.5), (1.5, 12.5)]}
    assert (result.frames_per_s, result.speed_up, result.megabytes) == (7000.0, 6.5, 12.0 / 8)
    assert (result.staleness, result.max_staleness) == (3.0, 9.0)
    (run.directory / "config.yaml").write_text("keep_epoch: last\n")
    assert read_run(run, 95.0).fer["global"] == 50.0


def result_of(algorithm: str, number: int, fer: list[float], **averages: list[float]) -> CellResult:
    cell, runs = Cell("net", algorithm, number), []
    for seed, value in enumerate(fer):
        run = RunResult(run=type("Run", (), {"simulated": number > 2, "seed": seed})())
        run.fer = {"global": value, **{model: values[seed] for model, values in averages.items()}}
        runs.append(run)
    return CellResult(cell, algorithm.upper(), "a", runs, {"a": fer[0], "b": None}, 1)


def test_sentences_say_what_all_seeds_bear_out():
    one = result_of("single", 1, [50.0, 51.0, 52.0])
    better = result_of("bmuf", 8, [47.0, 48.0, 49.0], ma=[48.0, 47.0, 50.0], ema=[46.0, 47.0, 48.5])
    same, worse = result_of("asgd", 8, [49.0, 51.0, 53.5]), result_of("bsp", 8, [60.0, 61.0, 70.0])
    between = result_of("easgd", 8, [51.0, 53.0, 57.0])
    said = sentences([one, better, same, worse, between], "wer")
    assert said == [
        "8 workers: the lowest mean FER of the global model is that of BMUF (48.00 [47.00, 49.00]); "
        "within the spread of 3 seeds of ASGD.",
        "BMUF, 8 simulated workers: FER lower than that of SINGLE with every seed.",
        "ASGD, 8 simulated workers: FER no worse than that of SINGLE within the spread of 3 seeds.",
        "BSP, 8 simulated workers: FER higher than that of SINGLE with every seed.",
        "EASGD, 8 simulated workers: FER higher in the mean than that of SINGLE, but not with every one of 3 seeds.",
        "BMUF, 8 simulated workers: FER of EMA below; MA now below, now above the global model's, seed by seed.",
    ]
    assert "with every seed below all other algorithms" in sentences([one, better, worse], "wer")[0]
    assert sentences([result_of("single", 1, [50.0]), result_of("bmuf", 8, [47.0])], "wer") == []  # one seed says nothing


def test_tables():
    results = [result_of("single", 1, [50.0, 52.0]), result_of("bmuf", 8, [47.0, 48.0], ema=[46.0, 46.5])]
    for result, speed in zip(results, (1000.0, 6000.0)):
        for run in result.runs:
            run.frames_per_s = speed
    header, _, single, bmuf = error_table(results, "wer")
    assert header == "| algorithm | workers | setting | FER %, global model | FER %, EMA | diverged |"
    assert single == "| SINGLE | 1 | a | 51.00 [50.00, 52.00] | - | 1 |"
    assert bmuf == "| BMUF | 8 (simulated) | a | 47.50 [47.00, 48.00] | 46.25 [46.00, 46.50] | 1 |"
    assert cost_table(results)[3] == "| BMUF | 8 (simulated) | 6,000 | 6.00 | 75 | - | - |"
    results[1].runs[0].speed_up = results[1].runs[1].speed_up = 7.0
    assert "| 7.00 | 88 |" in cost_table(results)[3]
    assert search_table(results)[2] == "| SINGLE | 1 | **a: 50.00** | b: diverged |"
    results[1].runs[1].diverged = True
    assert results[1].spread("fer", "global") == Spread(47.0, 47.0, 47.0, 1)


def test_a_band_has_the_epochs_that_all_seeds_have():
    epochs, mean, low, high = band([[(1, 5.0), (2, 4.0)], [(1, 7.0), (2, 3.0), (3, 2.0)]])
    assert epochs.tolist() == [1, 2] and np.array_equal([mean, low, high], [[6.0, 3.5], [5.0, 3.0], [7.0, 4.0]])


def test_the_page_and_its_pictures(comparison):
    fill(comparison)
    result = read_cell(comparison, Cell("net", "bmuf", 8))
    assert result.diverged == 1 and result.search == {"short": None, "rate": pytest.approx(45.0)} and len(result.runs) == 2
    counts = ErrorCounts(total=100, insertions=0, deletions=0, substitutions=9)
    records = [make_record(system, "test", "cer", counts) for system in ("bmuf", "ema", "ema@0.5", "ema@1")]
    append_results(result.runs[0].run.directory / "results.json", records)
    page = "\n".join(write_results(comparison, "Title", "the command", "abc"))
    assert page.startswith("# Title\n") and "- seeds: 1, 2\n" in page and "- command: `the command`" in page
    row = "| BMUF | 8 (simulated) | rate | 46.00 [45.00, 47.00] | 44.50 [43.00, 46.00] | 9.00 | 9.00 | 1 |"
    assert row in page and "- BMUF, 8 simulated workers: FER lower than that of SGD with every seed." in page
    names = ["fer_net_n2", "fer_net_n8", "speed_net", "averages_net_bmuf-n2", "averages_net_bmuf-n8"]
    for name in names:
        assert f"![{name}](figures/{name}.png)" in page
        assert (comparison.directory / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (comparison.directory / "RESULTS.md").read_text() == page + "\n"


def test_begin_checks_all_settings_first(comparison, tmp_path, capsys):
    import yaml

    settings = {**SETTINGS, "network_config": str(tmp_path / "{network}.yaml")}
    settings["algorithms"] = {"bmuf": {"settings": {"a": {"parallel.algorithm": "bmuf", "parallel.no_such": 1}}}}
    (tmp_path / "compare.yaml").write_text(yaml.safe_dump(settings))
    words = [
        "compare-parallel",
        "begin",
        "--config",
        str(tmp_path / "compare.yaml"),
        "ali",
        "train",
        "valid",
        str(tmp_path / "out"),
    ]
    assert cli.main(words) == 1 and "unknown key 'no_such'" in capsys.readouterr().err
    settings["algorithms"]["bmuf"]["settings"] = {"a": {"parallel.algorithm": "downpour"}}
    (tmp_path / "compare.yaml").write_text(yaml.safe_dump(settings))
    assert cli.main(words) == 1 and "algorithm 'downpour' is unknown" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_settings_that_come_with_the_toolkit_are_valid(repository, monkeypatch, tmp_path):
    from asrtool.io.config import load_config
    from asrtool.parallel.registry import make_algorithm
    from asrtool.train.config import TrainConfig

    monkeypatch.chdir(repository)
    files = sorted((repository / "conf").glob("compare_parallel*.yaml"))
    assert len(files) == 2
    for file in files:
        config = load_config(ComparisonConfig, file).select(networks=["lstm", "cldnn", "dnn"])
        assert len(config.algorithms) >= 7
        for cell in cells(config):
            for run in Comparison(config, DataPaths("", "", ""), tmp_path).search_runs(cell):
                make_algorithm(load_config(TrainConfig, run.network_config, list(run.overrides)).parallel)
