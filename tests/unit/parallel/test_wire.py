"""Messages over sockets, finding each other, and requests as they go over a connection."""

import contextlib
import socket
import threading
import time

import pytest
import torch
import torch.distributed as dist

from asrtool.errors import AsrtoolError
from asrtool.parallel.sockets import rendezvous as rendezvous_module
from asrtool.parallel.sockets import wire
from asrtool.parallel.sockets.rendezvous import HELLO, Rendezvous, close_all, own_address
from asrtool.parallel.sockets.shard_requests import Requests
from asrtool.parallel.sockets.shard_service import ShardService


@pytest.fixture
def pair():
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        left = stack.enter_context(socket.create_connection(listener.getsockname()))
        right = stack.enter_context(contextlib.closing(listener.accept()[0]))
        yield left, right


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool])
def test_memory_is_the_tensor_s_own(dtype):
    tensor = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(dtype)
    memory = wire.memory_of(tensor)
    assert len(memory) == 6 * dtype.itemsize
    memory[:] = bytes(wire.memory_of(torch.tensor([5, 4, 3, 2, 1, 0]).to(dtype)))
    assert torch.equal(tensor, torch.tensor([[5, 4, 3], [2, 1, 0]]).to(dtype))
    assert len(wire.memory_of(tensor[:0])) == 0


def test_what_is_sent_arrives(pair):
    left, right = pair
    numbers = torch.randn(300_000)
    for body in (numbers[:10], numbers):  # joined to the head, and on its own
        thread = threading.Thread(target=wire.send, args=(left, b"head", wire.memory_of(body)))
        thread.start()
        assert wire.receive_bytes(right, 4) == b"head"
        arrived = torch.empty_like(body)
        wire.receive(right, wire.memory_of(arrived))
        thread.join()
        assert torch.equal(arrived, body)


def test_an_end_and_a_silence_are_told_apart(pair):
    left, right = pair
    wire.set_time_limit(right, 0.2)
    with pytest.raises(wire.ConnectionLost, match="does not answer"):
        wire.receive_bytes(right, 1)
    with pytest.raises(wire.ConnectionLost, match="does not answer"):  # the other end reads nothing
        wire.send(right, b"", memoryview(bytearray(50_000_000)))
    wire.hang_up(left)
    with pytest.raises(wire.ConnectionLost, match="has ended"):
        wire.receive_bytes(right, 1)
    wire.hang_up(left)


def test_hanging_up_wakes_a_thread_that_waits(pair):
    left, _ = pair
    outcome = []

    def wait():
        try:
            wire.receive_bytes(left, 1)
        except wire.ConnectionLost as error:
            outcome.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    wire.hang_up(left)
    thread.join(5)
    assert outcome == ["its connection has ended"]


def meeting(tmp_path, size):
    """The rendezvous of `size` ranks, made by threads."""
    store = dist.FileStore(str(tmp_path / "store"), size)
    made = {}

    def join(rank):
        made[rank] = Rendezvous(dist.FileStore(str(tmp_path / "store"), size), rank, size, 10, "127.0.0.1")

    threads = [threading.Thread(target=join, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del store
    return [made[rank] for rank in range(size)]


def test_strangers_and_early_connections_do_not_disturb(tmp_path, monkeypatch):
    monkeypatch.setattr(rendezvous_module, "HELLO_LIMIT_S", 0.1)
    first, second, third = meeting(tmp_path, 3)
    place = ("127.0.0.1", first.addresses[0].port)
    with contextlib.ExitStack() as stack:
        for rendezvous in (first, second, third):
            stack.callback(rendezvous.close)
        silent = stack.enter_context(socket.create_connection(place))
        stranger = stack.enter_context(socket.create_connection(place))
        stranger.sendall(HELLO.pack(b"x" * 16, b"hub", 1))
        early = stack.enter_context(contextlib.closing(second.connect(0, "request")))
        mine = {1: second.connect(0, "hub"), 2: third.connect(0, "hub")}
        stack.callback(close_all, mine)
        accepted = first.accept({1, 2}, "hub")
        stack.callback(close_all, accepted)
        for rank, connection in mine.items():
            wire.send(connection, bytes([rank]))
            assert wire.receive_bytes(accepted[rank], 1) == bytes([rank])
        assert stranger.recv(1) == silent.recv(1) == b""
        wire.send(early, b"e")
        request = first.accept({1}, "request")
        stack.callback(close_all, request)
        assert wire.receive_bytes(request[1], 1) == b"e"


def test_a_rank_that_does_not_come_is_named(tmp_path):
    with pytest.raises(AsrtoolError, match="rank 0: rank 1 has not come"):
        Rendezvous(dist.FileStore(str(tmp_path / "store"), 2), 0, 2, 0.3, "127.0.0.1")


def test_own_address_is_that_of_the_way_to_the_master():
    assert own_address("127.0.0.1").startswith("127.")
    with pytest.raises(AsrtoolError, match="xxx: the master's host has no address"):
        own_address(100 * "x")  # longer than a name can be


class Recorder:
    """Doubles what it gets."""

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = [], fail_at

    def open(self, source, piece, header):
        self.calls.append((source, piece))
        return [float(number) + 1 for number in header]

    def update(self, source, piece, begin, end, values):
        if begin == self.fail_at:
            raise ValueError("a fault")
        self.calls.append((source, piece, begin, end))
        values.mul_(2)


@pytest.fixture
def asking(pair):
    """Rank 0 that asks rank 1 over a connection; (requests, own service, rank 1's service, whom rank 0 lost)."""
    left, right = pair
    own, other, lost = ShardService(0), ShardService(1), []
    own.use(Recorder(), torch.device("cpu"))
    other.use(Recorder(), torch.device("cpu"))
    other.start({0: right})
    requests = Requests({1: left}, own, 1.0, lambda rank, reason: lost.append((rank, reason)))
    yield requests, own, other, lost
    requests.close()
    own.close()
    other.close()


def ask(requests, owners, flat, send=True, receive=True, lost=()):
    pieces = flat.view(len(owners), -1)
    return requests.ask(owners, lambda rank: rank in lost, [1.0] * 8, pieces, pieces, send, receive)


def test_pieces_of_one_owner_share_a_connection(asking):
    requests, own, other, lost = asking
    before = torch.randn(5 * 400_000)
    flat = before.clone()
    assert ask(requests, [1, 0, 1, 1, 0], flat) == [[2.0] * 8] * 5
    assert torch.equal(flat, before * 2)
    assert [call[1] for call in other._server.calls if len(call) == 2] == [0, 2, 3]
    assert [call[1] for call in own._server.calls if len(call) == 2] == [1, 4]
    assert requests.bytes_sent == other.bytes_sent == 3 * 400_000 * 4
    assert lost == []


def test_only_sent_values_stay_and_are_taken_in_before_the_reply(asking):
    requests, _, other, _ = asking
    flat = torch.ones(2 * 300_000)
    ask(requests, [0, 1], flat, receive=False)
    assert torch.equal(flat, torch.ones(600_000))
    assert other._server.calls[-1][3] == 300_000


def test_a_lost_owner_gives_none(asking):
    requests, _, other, lost = asking
    flat = torch.ones(20)
    assert ask(requests, [0, 1], flat, lost=[1]) == [[2.0] * 8, None]
    assert torch.equal(flat, torch.cat([torch.full((10,), 2.0), torch.ones(10)]))
    other.hang_up(0)
    assert ask(requests, [0, 1], flat)[1] is None
    assert lost == [(1, "its connection has ended")]


def test_an_owner_without_progress_is_given_up(pair):
    left, _ = pair
    lost = []
    service = ShardService(0)
    requests = Requests({1: left}, service, 0.4, lambda rank, reason: lost.append((rank, reason)))
    assert requests.ask([1], lambda rank: False, [0.0] * 8, torch.ones(1, 10), torch.ones(1, 10), True, True) == [None]
    assert lost == [(1, "no answer for 0.4 s")]


def test_a_fault_of_the_server_reaches_its_own_rank(asking, capsys):
    requests, _, other, lost = asking
    other._server.fail_at = 0
    assert ask(requests, [1], torch.ones(10)) == [None]
    other.wait_for_end(0)
    with pytest.raises(AsrtoolError, match="rank 1: a fault"):
        other.check()
    assert "ValueError: a fault" in capsys.readouterr().err
    assert lost == [(1, "its connection has ended")]
