"""Flat buffers that the ranks of one host read from each other directly, without sending."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


class SharedMemory:
    """The flat buffers that ranks of this host have in common, mapped into this process.

    A buffer stays mapped as long as this object lives.
    """

    def __init__(self, rank: int, hosts: Sequence[int]) -> None:
        self.rank = rank
        self._members = [other for other, host in enumerate(hosts) if host == hosts[rank]]
        self._buffers: list[dict[int, Tensor]] = []

    def allocate(self, num_elements: int, dtype: torch.dtype, all_gather: Callable[[Tensor], Tensor]) -> Tensor | None:
        """A buffer of zeros that the others of the host see, or None (on all ranks) unless all could be mapped; collective."""
        flats = share(num_elements, dtype, self.rank, self._members, all_gather)
        if flats is None:
            return None
        self._buffers.append(flats)
        return flats[self.rank]

    def find(self, flat: Tensor) -> Mapping[int, Tensor] | None:
        """For a contiguous slice of one of the buffers: rank -> the same slice of that rank, for the ranks of this host."""
        for flats in self._buffers:
            own = flats[self.rank]
            offset = (flat.data_ptr() - own.data_ptr()) // own.element_size()
            inside = offset >= 0 and offset + flat.numel() <= own.numel()
            if inside and flat.dtype == own.dtype and flat.device == own.device and flat.is_contiguous():
                return {rank: other[offset : offset + flat.numel()] for rank, other in flats.items()}
        return None


def share(
    num_elements: int, dtype: torch.dtype, rank: int, members: Sequence[int], all_gather: Callable[[Tensor], Tensor]
) -> dict[int, Tensor] | None:
    """Buffers of zeros of the ranks `members`, or None on all ranks of all hosts unless each could map those of its host.

    The memory is anonymous (memfd): it leaves no file behind, /dev/shm's size does not limit it, and it is opened through
    /proc/PID/fd. A random token in the buffer tells a rank on this host from one with the same PID on another.

    Args:
        all_gather: [n] of int64 of every rank, of whatever host -> [size * n].
    """
    bytes_needed = max(num_elements * dtype.itemsize, 8)
    token = secrets.randbits(62)
    descriptor = -1
    try:
        descriptor = os.memfd_create("asrtool", os.MFD_CLOEXEC)
        os.posix_fallocate(descriptor, 0, bytes_needed)
        os.pwrite(descriptor, token.to_bytes(8, "little"), 0)
    except (OSError, AttributeError):  # no memfd on this system, or no memory
        token = -1
    rows = all_gather(torch.tensor([os.getpid(), descriptor, token], dtype=torch.int64)).view(-1, 3).tolist()
    flats = {other: _open(*rows[other], num_elements, dtype) for other in members}
    complete = all(flat is not None for flat in flats.values())
    agreed = all_gather(torch.tensor([int(complete)])).min().item() == 1  # also: everyone has opened, descriptors may close
    if descriptor >= 0:
        os.close(descriptor)
    if not agreed:
        return None
    flats[rank].view(torch.uint8)[:8].zero_()  # the token
    all_gather(torch.zeros(1, dtype=torch.int64))
    return flats


def _open(pid: int, descriptor: int, token: int, num_elements: int, dtype: torch.dtype) -> Tensor | None:
    path = f"/proc/{pid}/fd/{descriptor}"
    try:
        with open(path, "rb") as file:
            if token < 0 or file.read(8) != token.to_bytes(8, "little"):
                return None
        return torch.from_file(path, shared=True, size=num_elements, dtype=dtype)
    except (OSError, RuntimeError):
        return None
