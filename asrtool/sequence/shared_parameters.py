"""A model's weights in memory that processes of one host share: one writes, the others read, and never half of each."""

import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

_PAGE = 4096  # the header's: int64 [slot of the newest weights, version of slot 0, version of slot 1]
NOTHING = -1  # version before the first publication


class SharedParameters:
    """Two slots of float32 [num_elements]: the writer fills the one that is not the newest, then names it the newest.

    A slot is locked (fcntl) while it is written or read, so a reader that is overtaken twice waits instead of mixing versions; a
    lock ends with its process, however that ends. The memory is anonymous (memfd) and goes with the last process that has it.

    Args:
        descriptor: of a SharedParameters made by another process of the same size; it is closed by `close`.
    """

    def __init__(self, num_elements: int, descriptor: int | None = None) -> None:
        self.num_elements = num_elements
        self._slot_bytes = -(-num_elements * 4 // _PAGE) * _PAGE
        size = _PAGE + 2 * self._slot_bytes
        if descriptor is None:
            self.descriptor = os.memfd_create("asrtool-parameters", os.MFD_CLOEXEC)
            os.posix_fallocate(self.descriptor, 0, size)  # now rather than by a signal when it is written to
        else:
            self.descriptor = descriptor
        self._map = mmap.mmap(self.descriptor, size)
        self._header = np.frombuffer(self._map, np.int64, 3)
        if descriptor is None:
            self._header[:] = (0, NOTHING, NOTHING)
        self._slots = [
            torch.from_numpy(np.frombuffer(self._map, np.float32, num_elements, _PAGE + slot * self._slot_bytes))
            for slot in range(2)
        ]

    def publish(self, fill: Callable[[Tensor], None], version: int) -> None:
        """`fill` writes the weights into the float32 [num_elements] that it is given. For one writer."""
        slot = 1 - int(self._header[0])
        with self._locked(slot, fcntl.LOCK_EX):
            fill(self._slots[slot])
            self._header[1 + slot] = version
            self._header[0] = slot  # under the lock: who has read these weights does not get older ones next

    def read(self, flat: Tensor) -> int:
        """Copies the newest weights into `flat`, float32 [num_elements]; returns their version, NOTHING where there are none."""
        slot = int(self._header[0])
        with self._locked(slot, fcntl.LOCK_SH):
            flat.copy_(self._slots[slot])
            return int(self._header[1 + slot])

    @contextmanager
    def _locked(self, slot: int, kind: int) -> Iterator[None]:
        place = (self._slot_bytes, _PAGE + slot * self._slot_bytes)
        fcntl.lockf(self.descriptor, kind, *place)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, *place)

    def close(self) -> None:
        """The memory stays mapped as long as this object lives."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
