"""Sums over ranks and hosts, the bytes that exchanges send, updates in one pass: against plain loops and torch's operations."""

import itertools

import pytest
import torch

from asrtool.parallel.exchange import traffic
from asrtool.parallel.exchange.single_comm import SingleComm
from asrtool.parallel.exchange.summation import host_groups, may_hold_sum, sum_dtype, weighted_sum_
from asrtool.parallel.range_updates import block_momentum_, follow_exponential_, follow_mean_

HOSTS = [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 1], [0, 1, 0, 2]]
WEIGHTS = [[1, 1, 1, 1], [0.3, 1, 0.7, 1], [0, 1, 0.5, 1], [1, 0, 0, 2], [0, 0, 0, 0.1], [0, 0, 0, 0]]


def slow_sum(pieces, weights, hosts, dtype):
    """Element by element, in the stated order, each operation rounded to `dtype`."""
    grouped = 1 < len(set(hosts)) < len(hosts)
    total = None
    for host in sorted(set(hosts)) if grouped else [None]:
        part = None
        for rank, piece in enumerate(pieces):
            if weights[rank] != 0 and (host is None or hosts[rank] == host):
                term = piece.to(dtype) * weights[rank] if weights[rank] != 1 else piece.to(dtype)
                part = term if part is None else part + term
        if part is not None:
            total = part if total is None else total + part
    return torch.zeros_like(pieces[0], dtype=dtype) if total is None else total


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("hosts", HOSTS)
def test_sum_is_taken_within_hosts_first(hosts, dtype):
    generator = torch.Generator().manual_seed(1)
    for weights in WEIGHTS:
        pieces = [torch.randn(37, generator=generator).to(dtype) for _ in hosts]
        for rank, weight in enumerate(weights):
            if weight == 0:
                pieces[rank][5] = float("nan")  # a worker that is left out must not spoil the sum
        kind = sum_dtype(dtype)
        expected = slow_sum(pieces, weights, hosts, kind)
        out = torch.full([37], 7.0, dtype=kind)
        weighted_sum_(pieces, weights, out, hosts)
        assert torch.equal(out, expected)
        for rank in range(4):
            if kind == dtype and may_hold_sum(rank, weights, hosts):
                own = [piece.clone() for piece in pieces]
                weighted_sum_(own, weights, own[rank], hosts)
                assert torch.equal(own[rank], expected)


def test_first_two_in_the_order_of_summation_may_hold_the_sum():
    holders = [rank for rank in range(4) if may_hold_sum(rank, [1, 0, 1, 1], [0, 0, 0, 0])]
    assert holders == [0, 2]
    assert [rank for rank in range(4) if may_hold_sum(rank, [0, 1, 1, 1], [0, 1, 1, 0])] == [3]  # alone on the first host


def test_groups_are_hosts_only_where_sums_differ():
    assert host_groups([0, 0, 0]) == [[0, 1, 2]]
    assert host_groups([0, 1, 2]) == [[0, 1, 2]]
    assert host_groups([0, 1, 0]) == [[0, 2], [1]]


def count_messages(hosts, weights, shard_bytes, sum_bytes, give_back):
    """Bytes from each rank to each other by going through every piece's journey."""
    size = len(hosts)
    sent = torch.zeros(size, size, dtype=torch.int64)
    grouped = 1 < len(set(hosts)) < size
    for piece in range(size):
        for host in sorted(set(hosts)):
            members = [rank for rank in range(size) if hosts[rank] == host]
            active = [rank for rank in members if weights[rank] != 0]
            if not grouped:
                meeting = piece
            else:
                meeting = piece if piece in members else members[piece % len(members)]
            for rank in active:
                sent[rank, meeting] += shard_bytes
            if grouped and meeting != piece and active:
                sent[meeting, piece] += sum_bytes
            if give_back and grouped and meeting != piece:
                sent[piece, meeting] += shard_bytes
            if give_back:
                for rank in members:
                    sent[meeting, rank] += shard_bytes
    return sent.fill_diagonal_(0)


@pytest.mark.parametrize("hosts", HOSTS)
@pytest.mark.parametrize("give_back", [True, False])
def test_bytes_of_an_exchange(hosts, give_back):
    for weights, sum_bytes in itertools.product(WEIGHTS, [100, 200]):
        sent = count_messages(hosts, weights, 100, sum_bytes, give_back)
        for rank in range(4):
            found = traffic.of_exchange(rank, hosts, weights, 100, sum_bytes, give_back)
            far = sum(int(sent[rank, other]) for other in range(4) if hosts[other] != hosts[rank])
            assert found == (int(sent[rank].sum()) - far, far)


def test_bytes_between_hosts_fall_by_the_ranks_of_a_host():
    hosts = [rank // 8 for rank in range(32)]
    grouped = sum(traffic.of_exchange(rank, hosts, [1.0] * 32, 1000).between for rank in range(32))
    direct = 32 * 24 * 2 * 1000  # every rank with the 24 ranks of other hosts, both ways
    assert grouped * 8 == direct
    assert traffic.of_exchange(5, range(32), [1.0] * 32, 1000).total == 2 * 31 * 1000


def test_alone_bfloat16_is_updated_in_float32_and_rounded_once():
    flat = torch.randn(1000).bfloat16()
    before = flat.clone()
    seen = []

    def update(begin, end, total):
        seen.append(total.dtype)
        total.add_(1e-3).mul_(3.0)

    SingleComm().exchange(flat, [0.3], update)
    assert seen == [torch.float32]
    assert torch.equal(flat, before.float().mul(0.3).add(1e-3).mul(3.0).bfloat16())


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("zeta", [1.0, 0.7])
def test_updates_in_one_pass_equal_torch_to_the_bit(nesterov, zeta):
    """The sliced twin is not contiguous and so goes through torch's operations; ranges of odd lengths stand at odd places."""
    generator = torch.Generator().manual_seed(2)
    size = 1003
    fast = [torch.randn(size, generator=generator) for _ in range(5)]
    slow = [torch.stack([tensor, tensor], dim=1)[:, 0] for tensor in fast]
    exact = [tensor.double() for tensor in fast]
    for count in (2, 3, 7):
        for tensors, step in ((fast, 101), (slow, size), (exact, size)):
            for begin in range(0, size, step):
                mean, weights, momentum, average, exponential = (tensor[begin : begin + step] for tensor in tensors)
                block_momentum_(mean, weights, momentum, 0.875, zeta, nesterov)
                follow_mean_(average, weights, count)
                follow_exponential_(exponential, weights, 0.99)
    for one, other, reference in zip(fast, slow, exact):
        assert torch.equal(one, other)
        torch.testing.assert_close(one.double(), reference, rtol=1e-5, atol=1e-5)
