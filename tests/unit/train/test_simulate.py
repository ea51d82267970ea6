"""`simulate-parallel`: what it writes, that it goes on after a stop, and what a machine's speed is taken to be."""

import json
import os
import signal
import threading
from itertools import pairwise

import pytest
import torch

from asrtool.errors import AsrtoolError
from asrtool.io.config import load_config
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.train import simulate
from asrtool.train.config import TrainConfig
from asrtool.train.measure_speed import seconds_per_frame, update_seconds_per_element
from asrtool.train.run import TrainPaths, train_network
from asrtool.train.simulate import KIND, Recorder, Simulation, simulate_training
from asrtool.train.stop import Stopped

FIXED = {"seconds_per_frame": 1e-3, "link_mbit": 1.0, "latency_ms": 2.0, "use_gpu": False}


@pytest.fixture(autouse=True)
def known_update(monkeypatch):
    monkeypatch.setattr(simulate, "update_seconds_per_element", lambda config, num_workers: 1e-6)


def settings(toy, experiment, *overrides):
    return (
        load_config(TrainConfig, toy / "config.yaml", list(overrides)),
        TrainPaths(toy / "ali", toy / "train", toy / "valid", experiment),
    )


def test_it_trains_what_virtual_workers_train_and_models_the_time(runs, toy, tmp_path, capsys):
    config, paths = settings(toy, tmp_path / "plain")
    run_workers(3, lambda comm: train_network(config, paths, comm))
    summary = simulate_training(*settings(toy, tmp_path / "exp"), Simulation(3, spread=0.2, **FIXED))
    ours, plain = runs.models(tmp_path / "exp"), runs.models(tmp_path / "plain")
    assert list(ours) == list(plain) and all(ours[name][key].equal(plain[name][key]) for name in plain for key in plain[name])
    kinds = ("train", "valid", "frames", "event")
    assert runs.records(tmp_path / "exp", *kinds, timeless=True) == runs.records(tmp_path / "plain", timeless=True)

    assert json.loads((tmp_path / "exp" / "simulation.json").read_text()) == summary
    frames = sum(record["total"] for record in runs.records(tmp_path / "exp", "frames"))
    assert summary["frames"] == frames and summary["one_worker_s"] == pytest.approx(1e-3 * frames)
    parts = summary["compute_s"] + summary["communication_s"] + summary["waiting_s"]
    assert parts == pytest.approx(summary["modelled_s"]) and min(summary["communication_s"], summary["waiting_s"]) > 0
    assert summary["speed_up"] == pytest.approx(1e-3 * frames / summary["modelled_s"])
    assert summary["efficiency"] == pytest.approx(summary["speed_up"] / 3) and summary["measured"] is False
    assert summary["frames_per_s"] == pytest.approx(frames / summary["modelled_s"])
    records = runs.records(tmp_path / "exp", KIND)
    assert records[-1]["modelled_s"] == pytest.approx(summary["modelled_s"], abs=1e-6)
    assert [record["epoch"] for record in records][-1] == 2.0 and len(records) > 6
    assert all(before["modelled_s"] <= after["modelled_s"] for before, after in pairwise(records))
    assert f"3 workers would have taken {summary['modelled_s']:.1f} s" in capsys.readouterr().err


def test_the_slower_the_link_the_longer_it_takes(runs, toy, tmp_path):
    def seconds(name, **link):
        return simulate_training(*settings(toy, tmp_path / name), Simulation(2, **{**FIXED, **link}))["modelled_s"]

    exchange = 2 * (1 / 2) * 2740 * 4 / (1e6 / 8)  # of 2740 parameters, padding left out
    fast, slow = seconds("fast", link_mbit=1e6), seconds("slow")
    syncs = len({record["frames"] for record in runs.records(tmp_path / "slow", KIND)})  # the others found nothing to exchange
    assert slow - fast == pytest.approx(syncs * exchange, rel=0.1)
    assert seconds("host", workers_per_host=2) < fast


def test_sigterm_saves_and_the_next_start_goes_on(runs, toy, tmp_path, monkeypatch):
    """Also the modelled time goes on from the checkpoint's, by the speed of the first start."""
    simulation = Simulation(3, **{**FIXED, "seconds_per_frame": None, "use_gpu": None})
    monkeypatch.setattr(simulate, "seconds_per_frame", lambda config, paths, train: 1e-3)
    whole = simulate_training(*settings(toy, tmp_path / "whole"), simulation)
    original, syncs = Recorder.__call__, []

    def struck(self, report):
        original(self, report)
        syncs.append(report)
        if len(syncs) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Recorder, "__call__", struck)
    threads = threading.active_count()
    with pytest.raises(Stopped):
        simulate_training(*settings(toy, tmp_path / "exp"), simulation)
    assert threading.active_count() == threads
    monkeypatch.setattr(simulate, "seconds_per_frame", lambda config, paths, train: 5.0)
    again = simulate_training(*settings(toy, tmp_path / "exp"), simulation)
    ours, expected = runs.models(tmp_path / "exp"), runs.models(tmp_path / "whole")
    assert list(ours) == list(expected) and all(ours[name][key].equal(expected[name][key]) for name in ours for key in ours[name])
    assert {key: value for key, value in again.items() if not isinstance(value, float)} == {
        key: value for key, value in whole.items() if not isinstance(value, float)
    }
    for key, value in whole.items():
        assert again[key] == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value), key
    assert simulate_training(*settings(toy, tmp_path / "exp"), simulation) == again  # done: it only says so


def test_the_speed_is_that_of_the_training_alone(toy, tmp_path, monkeypatch):
    """A clock that goes by one for each minibatch and by 1000 for each epoch's end."""
    from asrtool.train import measure_speed
    from asrtool.train.epoch_end import EpochEnd
    from asrtool.train.minibatch import MinibatchStep

    now, frames = [0.0], []
    monkeypatch.setattr(measure_speed, "clock", lambda: now[0])
    step, end = MinibatchStep.__call__, EpochEnd.__call__

    def stepping(self, batch, rate):
        now[0] += 1.0
        frames.append(batch.num_frames)
        step(self, batch, rate)

    def ending(self):
        now[0] += 1000.0
        end(self)

    monkeypatch.setattr(MinibatchStep, "__call__", stepping)
    monkeypatch.setattr(EpochEnd, "__call__", ending)
    config, paths = settings(toy, tmp_path / "exp", "schedule.kind=newbob")
    measured = seconds_per_frame(config, paths, seconds=30.0)
    assert 31 < len(frames) < 50 and not (tmp_path / "exp").exists()
    assert min(frames) <= 1 / measured <= max(frames)
    assert measured == pytest.approx(len(frames) / sum(frames), rel=0.1)


def test_an_update_costs_some_nanoseconds(toy):
    config = load_config(TrainConfig, toy / "config.yaml")
    two, many = (update_seconds_per_element(config.parallel, num_workers) for num_workers in (2, 64))
    assert 1e-10 < two < many < 1e-6


@pytest.mark.parametrize("bad", [{"num_workers": 0}, {"seconds_per_frame": 0.0}, {"workers_per_host": 0}])
def test_settings_are_checked(bad):
    with pytest.raises(AsrtoolError):
        Simulation(**{"num_workers": 2, **bad})
    if not torch.cuda.is_available():
        with pytest.raises(AsrtoolError, match="no GPU"):
            Simulation(2, use_gpu=True)
    with pytest.raises(AsrtoolError, match="simulation: a link needs a bandwidth"):
        Simulation(2, link_mbit=0.0).times(1.0, 0.0)
