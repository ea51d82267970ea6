"""Layer 4: parallel training algorithms behind one protocol."""

from asrtool.parallel.comm import SingleComm
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.flat_buffer import loaded
from asrtool.parallel.make_comm import make_comm
from asrtool.parallel.protocol import Comm, ParallelAlgorithm, SyncReport
from asrtool.parallel.registry import ALGORITHMS, make_algorithm
from asrtool.parallel.state import merge_states

__all__ = [
    "ALGORITHMS",
    "Comm",
    "ParallelAlgorithm",
    "ParallelConfig",
    "SingleComm",
    "SyncReport",
    "loaded",
    "make_algorithm",
    "make_comm",
    "merge_states",
]
