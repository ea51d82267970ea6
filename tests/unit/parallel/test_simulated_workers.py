"""Virtual workers: in what order they run, what their clocks show, what they get from each other's servers."""

import threading

import pytest
import torch

from asrtool.errors import AsrtoolError
from asrtool.parallel.exchange.summation import weighted_sum_
from asrtool.parallel.protocol import Comm
from asrtool.parallel.simulation.in_process import LostWorker, run_workers
from asrtool.parallel.simulation.simulated_time import Link, SimulatedTime


class Adding:
    """A server of pieces of `size` elements: adds what it is sent, answers with the total."""

    def __init__(self, size: int) -> None:
        self.total = torch.zeros(size)
        self.log: list[tuple[int, int]] = []

    def open(self, source, piece, header):
        self.log.append((source, piece))
        return [*header[:1], float(len(self.log))]

    def update(self, source, piece, begin, end, values):
        self.total[begin:end] += values
        values.copy_(self.total[begin:end])


def order_of_requests(rates: list[float], steps: int, frames: int = 2) -> list[int]:
    """Ranks in the order in which rank 0's server is asked."""

    def work(comm):
        server = Adding(1)
        comm.serve(server)
        flat = torch.zeros(comm.size)
        for _ in range(steps):
            comm.computed(frames)
            comm.request([0] * comm.size, [0.0], flat, receive=False)
        comm.barrier()
        return [source for source, piece in server.log if piece == 0]

    return run_workers(len(rates), work, SimulatedTime(seconds_per_frame=rates))[0]


def test_requests_come_in_the_order_of_virtual_time():
    rates, steps = [3.0, 1.0, 2.1], 6
    times = sorted((step * 2 * rate, rank) for rank, rate in enumerate(rates) for step in range(1, steps + 1))
    assert order_of_requests(rates, steps) == [rank for _, rank in times]


def test_equal_workers_take_turns():
    assert order_of_requests([1.0] * 4, 3) == [0, 1, 2, 3] * 3
    assert order_of_requests([1.0] * 3, 2, frames=0) == [0, 1, 2] * 2  # also when no time goes by


def test_servers_add_and_answer_as_asked():
    def work(comm):
        server = Adding(2)
        comm.serve(server)
        values = torch.full((4,), float(comm.rank + 1))
        comm.computed(1 + comm.rank)  # rank 0 asks first
        sent = values.clone()
        pushed = comm.request([0, 1], [7.0], sent, receive=False)
        comm.barrier()
        fetched = torch.zeros(4)
        comm.request([0, 1], [0.0], fetched, send=True)
        both = values.clone()
        answers = comm.request([1, 1], [0.0], both)  # both pieces from rank 1
        comm.barrier()
        return sent.tolist(), [reply[:2] for reply in pushed], len(answers[0]), fetched.tolist(), both.tolist(), comm.bytes_sent

    (sent, pushed, width, fetched, _, _), (other_sent, other_pushed, _, _, both, num_bytes) = run_workers(2, work)
    assert sent == [1.0] * 4 and other_sent == [2.0] * 4  # a push alone leaves the buffer as it is
    assert pushed == [[7.0, 1.0], [7.0, 1.0]] and other_pushed == [[7.0, 2.0], [7.0, 2.0]] and width == 8
    assert fetched == [3.0] * 4
    # rank 1's piece: 3, then rank 0 asks twice with 1, then rank 1 twice with 2
    assert both[2:] == [9.0, 9.0]
    # rank 1 pushed a piece of 8 bytes to rank 0, and later another; it answered three of rank 0's; headers are not counted
    assert num_bytes == 8 + 8 + 3 * 8


def test_without_a_server_a_request_is_an_error():
    with pytest.raises(AsrtoolError, match="rank 1 does not answer"):
        run_workers(2, lambda comm: comm.request([1, 1], [], torch.zeros(2)) if comm.rank == 0 else comm.barrier())


def test_sums_over_hosts_and_in_bfloat16():
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(4, 64, generator=generator)
    weights = [0.5, 0.0, 1.0, 2.0]
    for hosts in ([0, 0, 1, 1], [0, 1, 0, 1], [0] * 4):
        expected = torch.empty(64)
        weighted_sum_(list(values), weights, expected, hosts)

        def work(comm):
            flat = values[comm.rank].clone()
            comm.exchange(flat, weights, lambda begin, end, total: None)
            return flat

        assert all(torch.equal(flat, expected) for flat in run_workers(4, work, hosts=hosts))

    def low(comm):
        flat = values[comm.rank].bfloat16()
        comm.exchange(flat, weights, lambda begin, end, total: total.mul_(3))
        return flat

    exact = 3 * sum(weight * row.bfloat16().float() for weight, row in zip(weights, values))
    assert all(torch.equal(flat, exact.bfloat16()) for flat in run_workers(4, low))


def test_a_lost_worker_counts_as_zeros_and_answers_nothing():
    def work(comm: Comm):
        server = Adding(1)
        comm.serve(server)
        if comm.rank == 1:
            raise LostWorker
        total = torch.ones(1)
        comm.all_reduce_(total)
        gathered = comm.all_gather(torch.tensor([comm.rank + 1.0]))
        replies = comm.request([0, 1, 2], [0.0], torch.ones(3))
        with pytest.raises(AsrtoolError, match="rank 1"):
            comm.broadcast_(torch.zeros(1), source=1)
        return total.item(), gathered.tolist(), [reply is None for reply in replies], list(comm.alive)

    first, lost, third = run_workers(3, work, can_lose=True)
    assert first == third == (2.0, [1.0, 0.0, 3.0], [False, True, False], [0, 2]) and lost is None
    with pytest.raises(LostWorker):
        run_workers(3, work)


def test_every_worker_draws_as_if_it_were_alone():
    def work(comm):
        draws = []
        for _ in range(3):
            draws.append(torch.rand(1).item())
            comm.barrier()
        return draws

    torch.manual_seed(11)
    expected = [torch.rand(1).item() for _ in range(3)]
    torch.manual_seed(11)
    assert run_workers(3, work) == [expected] * 3
    assert torch.rand(1).item() == expected[0]  # the caller's own state is untouched


def test_the_first_error_is_raised_and_all_threads_end():
    def work(comm):
        comm.barrier()
        if comm.rank == 2:
            raise ValueError("rank 2 has had enough")
        comm.barrier()

    before = threading.active_count()
    with pytest.raises(ValueError, match="had enough"):
        run_workers(5, work)
    with pytest.raises(AsrtoolError, match="rank 1 has ended"):
        run_workers(2, lambda comm: None if comm.rank == 1 else comm.barrier())
    assert threading.active_count() == before


def test_a_shard_of_each_of_64_workers():
    def work(comm):
        flat = torch.arange(640.0) + comm.rank
        comm.exchange(flat, [1.0] * 64, lambda begin, end, total: total.div_(64))
        return flat, threading.active_count()

    before = threading.active_count()
    results = run_workers(64, work)
    assert all(torch.equal(flat, torch.arange(640.0) + 31.5) for flat, _ in results)
    assert results[0][1] <= before + 63  # rank 0 runs on the caller's thread


def test_numbers_of_workers_must_fit():
    with pytest.raises(ValueError, match="2 numbers for 3 workers"):
        run_workers(3, lambda comm: None, SimulatedTime([1.0, 2.0]))
    with pytest.raises(ValueError, match="2 entries for 3 workers"):
        run_workers(3, lambda comm: None, hosts=[0, 1])
    with pytest.raises(ValueError, match="bandwidth"):
        Link(0.0)
