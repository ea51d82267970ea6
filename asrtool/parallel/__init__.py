"""Layer 4: parallel training algorithms behind one protocol.

protocol, config, registry          what trainers and algorithms know of each other; settings; names
global_model, averaging, state      what all algorithms share: pieces of the global model, MA and EMA, saving, re-sharding
block, bmuf, overlap, travel        blocks: model averaging, BMUF; block_adam: BMUF-Adam
bsp, buckets                        averaged gradients
asynchronous, asgd, easgd           parameter servers in the workers; piece_server, pushes
exchange/                           communication over torch.distributed: direct, shared memory, between hosts, NCCL
sockets/                            communication of asynchronous workers, lost ranks, signs of life
simulation/                         virtual workers and modelled time
planning                            advice: block momentum, sync period, efficiency
"""

from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.exchange.single_comm import SingleComm
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
