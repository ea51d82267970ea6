"""The comm that torchrun's environment asks for."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist

from asrtool.parallel.exchange.comm import TorchComm
from asrtool.parallel.exchange.single_comm import SingleComm
from asrtool.parallel.protocol import Comm
from asrtool.parallel.sockets.heartbeat import Heartbeat, end_process
from asrtool.parallel.sockets.rendezvous import Rendezvous, out_of_reach, store_from_environment
from asrtool.parallel.sockets.tcp_comm import TcpComm


class WatchedTorchComm(TorchComm):
    """Ends this process when another one is silent: the main thread may be waiting inside the backend."""

    def __init__(self, store: dist.Store, lost_after_s: float, timeout_s: float) -> None:
        super().__init__()
        rendezvous = Rendezvous(store, self.rank, self.size, timeout_s)
        try:
            self._heartbeat = Heartbeat(rendezvous, lost_after_s, end_process(self.rank, rendezvous.names), at_once=False)
        finally:
            rendezvous.close()

    def close(self) -> None:
        self._heartbeat.close()
        super().close()


def make_comm(
    backend: str | None = None, timeout_s: float = 1800.0, asynchronous: bool = False, lost_after_s: float = 30.0
) -> Comm:
    """SingleComm without WORLD_SIZE or with 1; TcpComm if `asynchronous`; else TorchComm.

    Where every local rank has a GPU of its own, that of LOCAL_RANK becomes current, and NCCL is the default backend.

    Args:
        backend: of torch.distributed: "gloo" or "nccl".
        timeout_s: how long a rank waits for the others before it gives up, although they show signs of life.
        asynchronous: for algorithms whose workers ask each other at any time: `registry.needs_servers`.
        lost_after_s: seconds without a sign of life after which a rank counts as lost; one that has died is noticed at once.

    Raises:
        AsrtoolError: the others cannot be reached.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return SingleComm()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    own_gpu = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", size))
    backend = backend or ("nccl" if own_gpu else "gloo")
    device = None
    if backend == "nccl":
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    rank = int(os.environ["RANK"])
    store = store_from_environment(timeout_s)
    if asynchronous:
        return TcpComm(dist.PrefixStore("tcp", store), rank, size, lost_after_s, timeout_s, native=backend == "nccl")
    try:
        dist.init_process_group(
            backend,
            store=dist.PrefixStore("group", store),
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout_s),
            device_id=device,
        )
    except (RuntimeError, ValueError) as error:
        raise out_of_reach(error) from error
    return WatchedTorchComm(dist.PrefixStore("heartbeat", store), lost_after_s, timeout_s)
