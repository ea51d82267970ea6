"""The exchange of one rank that is alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from asrtool.parallel.exchange.summation import sum_dtype, update_in_ranges, weighted_sum_
from asrtool.parallel.protocol import ShardServer, UpdateRange


class Done:
    """An exchange that was over at once."""

    def wait(self) -> None:
        pass


class SingleComm:
    """One rank: nobody to talk to."""

    rank = 0
    size = 1
    host = (0,)
    alive = (0,)
    bytes_sent = 0

    def computed(self, num_frames: int) -> None:
        pass

    def allocate(self, num_elements: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.zeros(num_elements, dtype=dtype, device=device)

    def all_reduce_(self, tensor: Tensor) -> None:
        pass

    def all_gather(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        shard = torch.empty_like(flat, dtype=sum_dtype(flat.dtype))
        weighted_sum_([flat], weights or [1.0], shard)
        return shard

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        total = flat if sum_dtype(flat.dtype) == flat.dtype else torch.empty_like(flat, dtype=sum_dtype(flat.dtype))
        weighted_sum_([flat], weights, total)
        update_in_ranges(0, total, update)
        if total is not flat:
            flat.copy_(total)

    def start_exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> Done:
        self.exchange(flat, weights, update)
        return Done()

    def serve(self, server: ShardServer) -> None:
        self._server = server

    def request(
        self, owners: Sequence[int], header: Sequence[float], flat: Tensor, send: bool = True, receive: bool = True
    ) -> list[list[float] | None]:
        reply = self._server.open(0, 0, header)
        update_in_ranges(0, flat, lambda begin, end, values: self._server.update(0, 0, begin, end, values))
        return [reply]

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        pass

    def barrier(self) -> None:
        pass

    def close(self) -> None:
        pass
