"""Weights that one process writes and another reads: whole ones, whatever the two do."""

import os
import signal
import time

import pytest
import torch

from asrtool.sequence.shared_parameters import NOTHING, SharedParameters

SIZE = 300_000


def test_what_was_published_last_is_read():
    shared = SharedParameters(5)
    flat = torch.zeros(5)
    assert shared.read(flat) == NOTHING
    for version in (3, 4, 9):
        shared.publish(lambda out, version=version: out.copy_(torch.arange(5.0) + version), version)
        assert shared.read(flat) == version and flat.tolist() == [version + number for number in range(5)]
    other = SharedParameters(5, os.dup(shared.descriptor))
    assert other.read(flat) == 9
    other.close()
    shared.close()
    shared.close()


@pytest.fixture
def child():
    """Forks a process that runs a function over and over until the test is over."""
    pids = []

    def start(work):
        pid = os.fork()
        if pid == 0:
            try:
                count = 0
                while True:
                    work(count)
                    count += 1
            finally:
                os._exit(1)
        pids.append(pid)
        return pid

    yield start
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def fill(value):
    def write(out):
        half = len(out) // 2
        out[:half].fill_(value)
        time.sleep(0.0005)  # a reader that took no lock would see two halves
        out[half:].fill_(value)

    return write


@pytest.mark.filterwarnings("ignore:This process")
def test_a_reader_never_sees_half_of_one(child):
    shared, flat, seen = SharedParameters(SIZE), torch.zeros(SIZE), set()
    shared.publish(fill(0), 0)
    child(lambda count: shared.publish(fill(count), count))
    deadline = time.monotonic() + 20
    while len(seen) < 60 and time.monotonic() < deadline:
        version = shared.read(flat)
        assert flat[0] == version and flat.min() == flat.max()
        assert version >= max(seen, default=0)
        seen.add(version)
    assert len(seen) >= 60
    shared.close()


@pytest.mark.filterwarnings("ignore:This process")
def test_a_writer_that_is_killed_leaves_the_last_ones(child):
    shared, flat = SharedParameters(SIZE), torch.zeros(SIZE)
    shared.publish(fill(0), 0)
    pid = child(lambda count: shared.publish(fill(count), count))
    while shared.read(flat) < 3:
        pass
    os.kill(pid, signal.SIGKILL)
    version = shared.read(flat)  # must not wait for the dead one's lock
    assert version >= 3 and flat.min() == flat.max() == version
    shared.close()
