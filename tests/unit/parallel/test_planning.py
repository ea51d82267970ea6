"""The advice on block momentum, sync period and amount of data."""

import pytest

from asrtool.errors import AsrtoolError
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.planning import Situation, describe, make_plan, parse_link, too_few_data
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.parallel.simulation.simulated_time import Link, SimulatedTime


def situation(link_mbit: float, **settings) -> Situation:
    values = {"num_parameters": 13_000_000, "frames_per_s": 5000.0, **settings}
    return Situation(times=SimulatedTime(link=Link(link_mbit * 1e6 / 8, 1e-4)), **values)


def test_a_fast_link_leaves_the_rule_to_bind():
    plan = make_plan(situation(100_000), 8)
    assert (plan.block_momentum, plan.sync_frames, plan.bound_by_link) == (0.875, 15_000, False)
    exchange = 2 * 7 / 8 * 13e6 * 4 / (100e9 / 8) + 2 * 1e-4
    assert plan.sync_s == pytest.approx(exchange + 3 * 7 * 1e-4, rel=1e-3)  # the vote's ring, and the report's two
    assert plan.efficiency == pytest.approx(3.0 / (3.0 + plan.sync_s)) and plan.speed_up == 8 * plan.efficiency
    assert plan.bytes_per_sync == pytest.approx(2 * 7 / 8 * 13e6 * 4, rel=1e-4)


def test_a_slow_link_asks_for_longer_blocks():
    plan = make_plan(situation(1000), 8)
    assert plan.bound_by_link and plan.sync_frames > 15_000
    assert plan.link_frames <= plan.sync_frames < plan.link_frames + 100
    assert 0.95 <= plan.efficiency < 0.9505
    half = make_plan(situation(1000, element_bytes=2), 8)
    assert half.sync_s == pytest.approx(plan.sync_s / 2, rel=0.01) and half.bytes_per_sync == plan.bytes_per_sync / 2
    assert make_plan(situation(1000, share=0.01), 8).efficiency >= 0.99


def test_hosts_of_several_workers_send_less():
    alone, together = make_plan(situation(1000), 8), make_plan(situation(1000, workers_per_host=4), 8)
    # a host's link carries the whole model once each way instead of 7/4 of it for each of its workers
    assert together.sync_s == pytest.approx(alone.sync_s * 4 / 7, rel=0.02)
    assert make_plan(situation(1000, workers_per_host=8), 8).sync_s == 0.0


def test_memory_is_the_stated_share_and_one_flat_buffer():
    plan = make_plan(situation(1000, num_averages=2), 4)
    assert plan.memory_bytes == pytest.approx(4 * ((3 + 2) * 13e6 / 4 + 13e6), rel=1e-4)


def test_one_worker_is_free():
    plan = make_plan(situation(1000), 1)
    assert (plan.block_momentum, plan.sync_s, plan.efficiency, plan.bytes_per_sync) == (0.0, 0.0, 1.0, 0)


def test_the_plan_is_what_the_simulation_comes_to():
    """Clocks of virtual workers that exchange a buffer of that size, vote and report."""
    plan = make_plan(situation(1000, num_parameters=64_000, workers_per_host=2), 8)

    def work(comm):
        import torch

        comm.computed(0)
        comm.all_gather(torch.zeros(3, dtype=torch.float64))
        comm.exchange(torch.zeros(64_000), [1.0] * 8, lambda begin, end, total: None)
        comm.all_reduce_(torch.zeros(20, dtype=torch.float64))
        return comm.clocks.now[comm.rank]

    seconds = run_workers(8, work, situation(1000).times, hosts=[rank // 2 for rank in range(8)])
    assert seconds == pytest.approx([plan.sync_s] * 8)


def test_too_few_data():
    config = ParallelConfig(algorithm="bmuf", sync_frames=10_000)
    assert too_few_data(640_000, 8, config) is None
    warning = too_few_data(639_999, 8, config)
    assert "8.0 synchronisations" in warning and "at most 7 workers" in warning and "at most 9,999 (now 10,000)" in warning
    assert "at most 1 worker," in too_few_data(30_000, 8, config)
    assert too_few_data(10, 1, config) is None
    for name in ("bsp", "asgd", "easgd", "single"):
        assert too_few_data(10, 8, ParallelConfig(algorithm=name)) is None


@pytest.mark.parametrize(
    ("text", "bytes_per_s"), [("1gbit", 125e6), ("100Mbit", 12.5e6), ("25 Gbit/s", 3.125e9), ("1000", 125e6), ("64kbit", 8000)]
)
def test_links(text, bytes_per_s):
    assert parse_link(text) == bytes_per_s


@pytest.mark.parametrize("text", ["fast", "0gbit", "1GB", "-1mbit", ""])
def test_links_that_are_none(text):
    with pytest.raises(AsrtoolError, match="1gbit or 100mbit"):
        parse_link(text)


def test_the_advice_says_what_binds():
    text = describe(situation(1000), 8, total_frames=1e6)
    frames = -(-19 * 5000 * make_plan(situation(1000), 8).sync_s // 100) * 100  # 19 times as long as a sync
    assert f"parallel.sync_frames={frames:.0f}   (the link binds; with 15,000" in text
    assert "WARNING: 1,000,000 frames are few for 8 workers" in text
    assert [line.split()[0] for line in text.splitlines()[-7:]] == ["1", "2", "4", "8", "16", "32", "64"]
    text = describe(situation(100_000), 12, total_frames=1e9)
    assert "parallel.sync_frames=10000   (the rule binds" in text and ": enough" in text
    assert "12" in [line.split()[0] for line in text.splitlines()[-8:]]


@pytest.mark.parametrize("bad", [{"num_parameters": 0}, {"frames_per_s": 0.0}, {"share": 1.0}, {"workers_per_host": 0}])
def test_settings_are_checked(bad):
    with pytest.raises(AsrtoolError):
        situation(1000, **bad)
