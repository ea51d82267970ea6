"""Flat buffers that the ranks of one host read from each other directly, without sending."""

import os
import secrets
from collections.abc import Callable

import torch
from torch import Tensor


class SharedBuffers:
    """The flat buffer of every rank, mapped into this process.

    Attributes:
        flats: in the order of ranks, [num_elements] each; the own one is an ordinary tensor to train on.
    """

    def __init__(self, flats: list[Tensor], rank: int) -> None:
        self.flats = flats
        self.rank = rank

    def is_own(self, flat: Tensor) -> bool:
        own = self.flats[self.rank]
        return flat.data_ptr() == own.data_ptr() and flat.numel() == own.numel() and flat.dtype == own.dtype


def share(num_elements: int, dtype: torch.dtype, rank: int, all_gather: Callable[[Tensor], Tensor]) -> SharedBuffers | None:
    """Buffers of zeros for all ranks, or None (on all ranks) unless every rank can map every other's.

    The memory is anonymous (memfd): it leaves no file behind, /dev/shm's size does not limit it, and it is opened through
    /proc/PID/fd. A random token in the buffer tells a rank on this host from one with the same PID on another.
    """
    bytes_needed = num_elements * dtype.itemsize
    token = secrets.randbits(62)
    descriptor = -1
    try:
        descriptor = os.memfd_create("asrtool", os.MFD_CLOEXEC)
        os.posix_fallocate(descriptor, 0, bytes_needed)
        os.pwrite(descriptor, token.to_bytes(8, "little"), 0)
    except (OSError, AttributeError):  # no memfd on this system, or no memory
        token = -1
    rows = all_gather(torch.tensor([os.getpid(), descriptor, token], dtype=torch.int64)).view(-1, 3).tolist()
    flats = [_open(pid, number, expected, num_elements, dtype) for pid, number, expected in rows]
    complete = all(flat is not None for flat in flats)
    agreed = all_gather(torch.tensor([int(complete)])).min().item() == 1  # also: everyone has opened, descriptors may close
    if descriptor >= 0:
        os.close(descriptor)
    if not agreed:
        return None
    flats[rank].zero_()  # the token
    all_gather(torch.zeros(1))
    return SharedBuffers(flats, rank)


def _open(pid: int, descriptor: int, token: int, num_elements: int, dtype: torch.dtype) -> Tensor | None:
    path = f"/proc/{pid}/fd/{descriptor}"
    try:
        with open(path, "rb") as file:
            if token < 0 or file.read(8) != token.to_bytes(8, "little"):
                return None
        return torch.from_file(path, shared=True, size=num_elements, dtype=dtype)
    except (OSError, RuntimeError):
        return None
