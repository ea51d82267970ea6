"""Messages over TCP: short heads of fixed length, and tensors straight from and into their memory."""

import contextlib
import socket
import struct

import torch
from torch import Tensor

JOINED_BYTES = 65_536  # up to this size a head and what follows go out as one packet
BUFFER_ERRORS = (BlockingIOError, TimeoutError)


class ConnectionLost(Exception):
    """The other end is gone, or silent for longer than the connection's limit."""


def memory_of(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, of any dtype: not a copy."""
    flat = tensor.detach().view(-1)
    if flat.numel() == 0:
        return memoryview(bytearray())
    return memoryview(flat.view(torch.uint8).numpy())


def set_time_limit(connection: socket.socket, seconds: float) -> None:
    """A blocking send or receive without any progress for so long fails; 0: no limit."""
    limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def send(connection: socket.socket, head: bytes, body: memoryview | None = None) -> None:
    """Sends all of it, or raises ConnectionLost."""
    try:
        if body is not None and len(body) <= JOINED_BYTES:
            connection.sendall(head + bytes(body))
            return
        connection.sendall(head)
        if body is not None:
            connection.sendall(body)
    except BUFFER_ERRORS as error:
        raise ConnectionLost("it does not answer") from error
    except OSError as error:
        raise ConnectionLost("its connection has ended") from error


def receive(connection: socket.socket, view: memoryview) -> None:
    """Fills `view`, or raises ConnectionLost."""
    try:
        while len(view):
            count = connection.recv_into(view, 0, socket.MSG_WAITALL)
            if count == 0:
                raise ConnectionLost("its connection has ended")
            view = view[count:]
    except BUFFER_ERRORS as error:
        raise ConnectionLost("it does not answer") from error
    except OSError as error:
        raise ConnectionLost("its connection has ended") from error


def receive_bytes(connection: socket.socket, count: int) -> bytearray:
    """So many bytes, or ConnectionLost."""
    data = bytearray(count)
    receive(connection, memoryview(data))
    return data


def hang_up(connection: socket.socket) -> None:
    """Ends a connection that another thread may be waiting on: that one sees its end. `close` is still to be called."""
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)
