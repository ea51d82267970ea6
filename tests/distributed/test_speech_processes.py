"""The speech module's processes: equal to the work in the trainer, and what happens when one side is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from speech_toy import make_speech_toy

from asrtool.criterion.sequence import SequenceOptions
from asrtool.errors import AsrtoolError
from asrtool.nnet.model_file import load_model
from asrtool.sequence.inline_source import InlineSource
from asrtool.sequence.load_module import load_module
from asrtool.sequence.make_source import make_source
from asrtool.sequence.options import SpeechOptions
from asrtool.sequence.process_source import ProcessSource

MMI = SequenceOptions("mmi")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make_speech_toy(tmp_path_factory.mktemp("processes") / "toy")
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.root / "model.pt").model


@pytest.fixture(scope="module")
def shared_source(toy):
    """Two processes for several tests, which differ in what they ask for only."""
    options = SpeechOptions(num_processes=2, batch_utterances=2, queue_utterances=6, refresh=1, min_counted=1000, max_deaths=2)
    source = make_source(options, toy.paths(), MMI)
    assert isinstance(source, ProcessSource)
    yield source
    source.close()
    source.close()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_results_are_those_of_the_work_in_the_trainer(toy, model, shared_source):
    """Nothing new is published, so that timing does not matter. An utterance without an alignment fails alike."""
    order = [(name, number % 3) for number, name in enumerate([*toy.names, "nobody", *toy.names[:5]])]
    inline = InlineSource(load_module(shared_source.options, toy.paths(), MMI))
    results = []
    for source in (inline, shared_source):
        source.publish(model, 0)
        source.begin(order)
        results.append([source.take(name) for name, _ in order])
    for (name, shift), one, other in zip(order, *results):
        assert (other.name, other.shift, other.version, other.reason) == (name, shift, 0, one.reason)
        assert (one.outer is None) == (other.outer is None) == (name == "nobody")
        if one.outer is not None:
            assert other.outer.objective == pytest.approx(one.outer.objective, rel=1e-4)
            assert other.outer.num_frames == one.outer.num_frames == len(toy.alignments[name])
            np.testing.assert_array_equal(one.outer.gradient.label, other.outer.gradient.label)
            np.testing.assert_allclose(one.outer.gradient.weight, other.outer.gradient.weight, atol=2e-5)
    notes = shared_source.notes()
    assert notes["lattices"] == len(order) - 1 and notes["failed_features"] == 1 and notes["search_s"] > 0
    assert notes["wait_s"] > 0 and notes["lattice_staleness_max"] == 0 and notes["recomputed"] == 0


def test_the_queue_is_bounded_and_works_ahead(toy, model, shared_source):
    shared_source.publish(model, 0)
    shared_source.begin([(name, 0) for name in toy.names])
    book = shared_source._book
    wait_until(lambda: book.num_ready == 6)
    time.sleep(0.3)
    assert book.num_ready == 6 and not book._out
    shared_source.take(toy.names[0])
    shared_source.take(toy.names[1])
    wait_until(lambda: book.num_ready == 6)
    assert shared_source.notes()["queue_mean"] == 5.5
    with pytest.raises(ValueError, match="the order says"):
        shared_source.take("another")


def test_staleness_is_that_of_the_parameters_and_bounded(toy, model, shared_source):
    """Every parameter set gives its own results, so the version that a result names can be checked."""
    order, names = [(name, 0) for name in toy.names * 2], toy.names * 2
    changing = load_model(toy.root / "model.pt").model
    shared_source.options.max_staleness = 4
    try:
        shared_source.publish(changing, 0)
        shared_source.begin(order)
        results, flats = [], {}
        for step, name in enumerate(names):
            flats[step] = torch.zeros(shared_source.layout.num_elements)
            shared_source.layout.pack(changing, flats[step])
            results.append((step, shared_source.take(name)))
            with torch.no_grad():
                for parameter in changing.parameters():
                    parameter.mul_(1.01)
            shared_source.publish(changing, step + 1)
    finally:
        shared_source.options.max_staleness = 0
    staleness = [step - result.version for step, result in results]
    assert 0 <= min(staleness) <= max(staleness) <= 4
    notes = shared_source.notes()
    assert notes["lattice_staleness_max"] == max(staleness)
    assert notes["lattice_staleness_mean"] == pytest.approx(np.mean(staleness))
    module = load_module(shared_source.options, toy.paths(), MMI)
    for step, result in results[::5]:
        module.set_parameters(flats[result.version], result.version)
        expected = module.outer_gradients([(names[step], 0)])[0]
        assert result.outer.objective == pytest.approx(expected.outer.objective, rel=1e-4)


def test_a_process_that_is_killed_is_replaced_and_its_work_done(toy, model, shared_source, capfd):
    names = toy.names * 3
    shared_source.publish(model, 0)
    shared_source.begin([(name, 0) for name in names])
    pids = [one.process.pid for one in shared_source._pool.workers]
    os.kill(pids[0], signal.SIGKILL)
    results = [shared_source.take(name) for name in names]
    assert [result.name for result in results] == names and all(result.outer is not None for result in results)
    wait_until(lambda: all(one.ready for one in shared_source._pool.workers))
    assert shared_source.notes()["lost_processes"] == 1
    assert "a process of the speech module died (signal SIGKILL)" in capfd.readouterr().err
    after = [one.process.pid for one in shared_source._pool.workers]
    assert pids[0] not in after and pids[1] in after and not is_running(pids[0])


def test_utterances_over_which_processes_die_are_named(toy, model, shared_source):
    """The last of the shared source's tests: it ends with an error."""
    shared_source.publish(model, 0)
    with shared_source._changed:  # so that the process is killed before it has answered
        for one in shared_source._pool.workers:
            os.kill(one.process.pid, signal.SIGSTOP)
    shared_source.begin([(name, 0) for name in toy.names])
    shared_source._book.options.max_deaths = 1
    wait_until(lambda: any(one.ticket for one in shared_source._pool.workers))
    for one in shared_source._pool.workers:
        os.kill(one.process.pid, signal.SIGKILL)
    with pytest.raises(AsrtoolError, match=rf"died 1 times over ({toy.names[0]}, {toy.names[1]}|.*) \(signal SIGKILL\)"):
        for name in toy.names:
            shared_source.take(name)


def test_files_that_are_wrong_for_a_process_are_said_in_one_line(toy, model, tmp_path):
    """What only the process reads: the lexicon for realigning."""
    lang = tmp_path / "lang"
    (lang / "phones").mkdir(parents=True)
    (lang / "phones" / "silence.csl").write_text("1:2\n")
    source = ProcessSource(SpeechOptions(num_processes=1, numerator="realign"), toy.paths(lang_dir=lang), MMI)
    source.publish(model, 0)
    source.begin([(toy.names[0], 0)])
    with pytest.raises(AsrtoolError, match=r"lang/words\.txt"):
        source.take(toy.names[0])
    source.close()
    with pytest.raises(AsrtoolError, match=r"no such model file"):
        ProcessSource(SpeechOptions(), toy.paths(model=tmp_path / "no.pt"), MMI)


def test_processes_end_with_a_trainer_that_is_killed(toy):
    command = [sys.executable, str(Path(__file__).with_name("speech_trainer.py")), str(toy.root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    trainer = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        pids = [int(pid) for pid in trainer.stdout.readline().split()]
        assert len(pids) == 1 and all(map(is_running, pids))
        trainer.kill()
        trainer.wait()
        wait_until(lambda: not any(map(is_running, pids)), limit_s=5.0)
    finally:
        os.killpg(trainer.pid, signal.SIGKILL) if trainer.poll() is None else None
        trainer.stdout.close()
