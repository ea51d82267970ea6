"""The clocks of virtual workers: what computing, collectives, requests and overlapped exchanges take."""

import pytest
import torch

from asrtool.parallel.simulation.in_process import run_workers
from asrtool.parallel.simulation.simulated_time import Link, SimulatedTime


class Sink:
    """A server that takes everything."""

    def open(self, source, piece, header):
        return header

    def update(self, source, piece, begin, end, values):
        pass


def test_collectives_start_with_the_last_and_take_their_time():
    link = Link(bytes_per_s=1000.0, latency_s=0.5)
    times = SimulatedTime(seconds_per_frame=[1.0, 2.0, 4.0, 4.0], link=link, update_s_per_element=1e-9)

    def work(comm):
        comm.computed(10)
        comm.exchange(torch.ones(400), [1.0] * 4, lambda begin, end, total: None)
        return comm.clocks

    clocks = run_workers(4, work, times, hosts=range(4))[0]
    exchange = 2 * (3 / 4) * 400 * 4 / 1000 + 2 * 0.5  # each way three quarters of 1600 bytes
    assert clocks.now == pytest.approx([40 + exchange] * 4)
    assert clocks.waiting_s == pytest.approx([30, 20, 0, 0]) and clocks.compute_s == [10, 20, 40, 40]
    assert clocks.communication_s == pytest.approx([exchange] * 4)
    assert clocks.bytes_sent == [2 * 3 * 400] * 4
    hierarchical = run_workers(4, work, times, hosts=[0, 0, 1, 1])[0]
    # to the other host: sums of its two pieces and the two own pieces back, by both ranks together
    assert hierarchical.now[0] == pytest.approx(40 + 2 * (1 / 2) * 400 * 4 / 1000 + 2 * 0.5)


def test_small_collectives_cost_rings_and_trees():
    times = SimulatedTime(seconds_per_frame=0.0, link=Link(100.0, 1.0))

    def clock_after(what):
        def work(comm):
            comm.computed(1)
            what(comm)
            return comm.clocks.now[comm.rank]

        return run_workers(5, work, times, hosts=range(5))

    assert clock_after(lambda comm: comm.all_gather(torch.zeros(5))) == pytest.approx([4 * (1 + 0.2)] * 5)
    assert clock_after(lambda comm: comm.all_reduce_(torch.zeros(5))) == pytest.approx([8 * (1 + 0.04)] * 5)
    assert clock_after(lambda comm: comm.broadcast_(torch.zeros(5))) == pytest.approx([3 * (1 + 0.2)] * 5)
    assert clock_after(lambda comm: comm.barrier()) == [3.0] * 5


def test_setting_up_and_what_follows_a_sync_take_no_time():
    def work(comm):
        comm.all_gather(torch.zeros(100))
        before = comm.clocks.now[comm.rank]
        comm.computed(1)
        comm.barrier()
        if comm.rank == 0:
            comm.clocks.stand_still()
        comm.all_gather(torch.zeros(100))
        return before, comm.clocks.now[comm.rank], comm.clocks.bytes_sent

    assert run_workers(2, work, SimulatedTime(link=Link(1.0, 1.0)), hosts=[0, 1]) == [(0.0, 2.0, [0, 0])] * 2


@pytest.mark.parametrize(("frames", "expected"), [(2, 6.0), (10, 10.0)])
def test_an_exchange_beside_the_computation_costs_what_it_does_not_hide(frames, expected):
    times = SimulatedTime(link=Link(1000.0))

    def work(comm):
        comm.computed(0)
        flat = torch.full((500,), float(comm.rank))
        pending = comm.start_exchange(flat, [1.0, 1.0], lambda begin, end, total: total.add_(1.0))
        comm.computed(frames)
        pending.wait()
        assert flat.tolist() == [2.0] * 500
        return comm.clocks.now[comm.rank]

    cost = 2 * (1 / 2) * 500 * 4 / 1000
    assert cost == 2.0
    assert run_workers(2, work, times, hosts=[0, 1]) == [max(frames, cost)] * 2

    def three(comm):
        comm.computed(0)
        pending = [comm.start_exchange(torch.ones(500), [1.0, 1.0], lambda begin, end, total: None) for _ in range(3)]
        comm.computed(frames)
        for exchange in pending:
            exchange.wait()
        return comm.clocks.now[comm.rank]

    assert run_workers(2, three, times, hosts=[0, 1]) == [expected] * 2  # one after the other over the same link


def test_gradients_hide_behind_the_backward_pass_that_is_booked_after_them():
    def clock(frames):
        def work(comm):
            comm.computed(0)
            buckets = [comm.start_exchange(torch.ones(500), [1.0, 1.0], lambda begin, end, total: None) for _ in range(2)]
            for bucket in buckets:
                bucket.wait()
            comm.computed(frames)
            return comm.clocks.now[0]

        return run_workers(2, work, SimulatedTime(link=Link(1000.0), backward_share=0.5), hosts=[0, 1])[0]

    assert clock(10) == 10.0  # 4 s behind half of 10
    assert clock(4) == 6.0  # 2 of them behind half of 4


def test_requests_queue_at_a_link():
    def clocks(queueing):
        def work(comm):
            comm.serve(Sink())
            comm.computed(1)
            comm.request([0] * 3, [], torch.zeros(300), receive=False)
            comm.barrier()
            return comm.clocks.communication_s[comm.rank]

        times = SimulatedTime(link=Link(400.0, 0.25), queueing=queueing)
        return run_workers(3, work, times, hosts=range(3))

    barrier = 2 * 0.25
    # without queues each of the three pieces takes a second and a latency, side by side, and a latency for the answer
    assert clocks(False) == pytest.approx([barrier, 1.5 + barrier, 1.5 + barrier])
    # with them: rank 1's three pieces arrive after 3.25 s, rank 2's behind them
    assert clocks(True) == pytest.approx([barrier, 3.5 + barrier, 6.5 + barrier])


def test_rates_differ_by_seed_not_by_the_number_of_workers():
    times = SimulatedTime(2.0, spread=0.2)
    assert times.rates(4) == times.rates(8)[:4] and len(set(times.rates(8))) == 8
    assert SimulatedTime(2.0, spread=0.2, seed=2).rates(4) != times.rates(4)

    def work(comm):
        for _ in range(50):
            comm.computed(1)
        return comm.clocks.now[comm.rank]

    jitter = SimulatedTime(2.0, jitter=0.1)
    first = run_workers(3, work, jitter)
    assert first == run_workers(3, work, jitter) and len(set(first)) == 3
    assert all(95 < seconds < 105 for seconds in first)


@pytest.mark.parametrize("bad", [{"spread": -1.0}, {"seconds_per_frame": -1.0}, {"backward_share": 2.0}])
def test_settings_are_checked(bad):
    with pytest.raises(ValueError, match="must"):
        SimulatedTime(**bad)
