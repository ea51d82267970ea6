"""Gradients that are exchanged while the backward pass goes on."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from asrtool.parallel.flat_buffer import ALIGNMENT, FlatBuffer, pack_gradient, shard_size, unpack_gradient
from asrtool.parallel.protocol import Comm, Pending, UpdateRange


class _Bucket:
    """Gradients that go together.

    Attributes:
        flat: [size * shard]
        places: each parameter with its part of `flat`, in its shape.
        missing: parameters whose gradient is not there yet in this step.
    """

    def __init__(self, parameters: list[nn.Parameter], like: Tensor, comm: Comm) -> None:
        sizes = [-(-parameter.numel() // ALIGNMENT) * ALIGNMENT for parameter in parameters]
        self.flat = comm.allocate(comm.size * shard_size(sum(sizes), comm.size), like.dtype, like.device)
        parts = self.flat[: sum(sizes)].split(sizes)
        self.places = [(p, part[: p.numel()].view(p.shape)) for p, part in zip(parameters, parts)]
        self.missing = len(parameters)


class GradientBuckets:
    """The gradients of a model in buckets, from the last parameter to the first, as the backward pass makes them.

    A bucket is exchanged as soon as all its gradients are there and the buckets before it are under way: every worker
    exchanges them in the same order. A parameter without a gradient in a step holds its bucket and those after it back until
    `finish`. Each worker's own gradients stay in `grad` until `unpack`.

    Memory: one flat buffer, in parts. Gradients must not change between backward and `unpack`; one backward pass a step.
    Virtual workers of one process must be on the CPU: a GPU has one thread for all their backward passes, which would wait for
    itself.

    Args:
        bucket_bytes: a bucket is closed when it has so many or more.
        begin: called with `has_gradient` before the first bucket of a step, perhaps within the backward pass: agrees with the
            other workers on the weights, one a rank, and on the update of the sums.
    """

    def __init__(
        self, buffer: FlatBuffer, comm: Comm, bucket_bytes: float, begin: Callable[[bool], tuple[Sequence[float], UpdateRange]]
    ) -> None:
        self.comm = comm
        self._begin = begin
        self._agreed: tuple[Sequence[float], UpdateRange] | None = None
        self._pending: list[Pending] = []
        self.buckets: list[_Bucket] = []
        waiting: list[nn.Parameter] = []
        for parameter in reversed([parameter for parameter, _ in buffer.views(buffer.flat)]):
            waiting.append(parameter)
            if sum(p.numel() for p in waiting) * buffer.flat.element_size() >= bucket_bytes:
                self.buckets.append(_Bucket(waiting, buffer.flat, comm))
                waiting = []
        if waiting:
            self.buckets.append(_Bucket(waiting, buffer.flat, comm))
        for bucket in self.buckets:
            for parameter, place in bucket.places:
                parameter.register_post_accumulate_grad_hook(self._hook(bucket, place))

    def _hook(self, bucket: _Bucket, place: Tensor) -> Callable[[nn.Parameter], None]:
        def ready(parameter: nn.Parameter) -> None:
            if bucket.missing == 0:
                raise RuntimeError("bsp with overlap exchanges gradients in the backward pass: one pass for each step")
            pack_gradient(parameter, place)
            bucket.missing -= 1
            if bucket.missing == 0:
                self._start_those_ready()

        return ready

    def _start_those_ready(self) -> None:
        for bucket in self.buckets[len(self._pending) :]:
            if bucket.missing:
                return
            if self._agreed is None:
                self._agreed = self._begin(True)
            self._start(bucket)

    def _start(self, bucket: _Bucket) -> None:
        self._pending.append(self.comm.start_exchange(bucket.flat, *self._agreed))

    def finish(self, has_gradient: bool) -> None:
        """Exchanges what is left and waits for all of it.

        Args:
            has_gradient: this worker has been through a backward pass; if not, its weight must be 0. Where nobody has, nothing
                is exchanged.
        """
        if self._agreed is None:
            self._agreed = self._begin(has_gradient)
        if not any(self._agreed[0]):
            self._agreed = None
            return
        for bucket in self.buckets[len(self._pending) :]:
            if has_gradient:
                for parameter, place in bucket.places:
                    pack_gradient(parameter, place)
            self._start(bucket)
        for pending in self._pending:
            pending.wait()
        self._pending, self._agreed = [], None
        for bucket in self.buckets:
            bucket.missing = len(bucket.places)

    def exchange_again(self, weights: Sequence[float], update: UpdateRange) -> None:
        """All at once from `grad`, with other weights; with none, the results are zero."""
        for bucket in self.buckets:
            for parameter, place in bucket.places:
                pack_gradient(parameter, place)
            if any(weights):
                self.comm.exchange(bucket.flat, weights, update)
            else:
                bucket.flat.zero_()

    def unpack(self) -> None:
        """Results -> `grad`."""
        for bucket in self.buckets:
            for parameter, place in bucket.places:
                unpack_gradient(parameter, place)
