"""The arithmetic of GMMs in torch, for a GPU: what `gmm_kernels` and `fmllr_kernels` do on the CPU, a block of frames at a time.

Runs of frames of one pdf ("tasks") and utterances differ in their numbers of frames and Gaussians. They are sorted by them,
padded to the largest of a block, and multiplied block by block; a block's largest array has BLOCK_ELEMENTS elements, so that
less than 1 GiB of the device is taken, whatever the corpus. Products are float32 (never TF32: they are differences of large
numbers) over at most SLAB_FRAMES frames, sums of these float64, as on the CPU; nothing is added in an order that may change from
run to run.

Threads take turns: one block of one thread is on the device at a time, on the default stream, while the others align or search.
Processes that share a GPU have a copy of the model and a block each, and take turns by the driver.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.gmm.torch_blocks import SLAB_FRAMES, Block, extended_frames, products, segment_loglikes, slab_products, to_device

BLOCK_ELEMENTS = 1 << 24  # float32: 64 MiB
ROUND_FRAMES = 8192  # of a task that are taken at a time
FEWEST_FRAMES = 16  # that a task is padded to
FREE_BYTES = 1 << 30  # that a GPU must have


def why_no_gpu() -> str:
    """Why no GPU can be used; empty where one can."""
    if not torch.cuda.is_available():
        return "torch finds no GPU (is there a driver, and a torch with CUDA?)"
    try:
        free, _ = torch.cuda.mem_get_info()
    except RuntimeError as error:
        return f"the GPU does not answer ({str(error).splitlines()[0]})"
    if free < FREE_BYTES:
        return f"the GPU has {free >> 20} MiB of free memory, {FREE_BYTES >> 20} are needed"
    return ""


class TorchBackend:
    """See `backend.Backend`.

    Args:
        device: "cuda", or "cpu" for tests.
        block_elements: see above.
    """

    one_at_a_time = True

    def __init__(self, device: str = "cuda", block_elements: int = BLOCK_ELEMENTS) -> None:
        self.device = torch.device(device)
        self.name = f"torch {self.device.type}"
        self.block_elements = block_elements
        torch.set_float32_matmul_precision("highest")
        self._lock = threading.Lock()
        self._models: list[tuple[np.ndarray, Tensor]] = []  # parameters that are on the device already

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock, torch.inference_mode():
            try:
                yield
            except torch.OutOfMemoryError:
                raise AsrtoolError(
                    "the GPU has no memory left for a block of frames, other programs hold it: wait for them, or --use-gpu no"
                ) from None

    def _put(self, array: np.ndarray, dtype: type = np.int64) -> Tensor:
        return to_device(array, self.device, dtype)

    def _model(self, parameters: np.ndarray) -> Tensor:
        """A model's parameters, which do not change, on the device."""
        for known, tensor in self._models:
            if known is parameters:
                return tensor
        self._models = [*self._models[-3:], (parameters, self._put(parameters, np.float32))]
        return self._models[-1][1]

    # log-likelihoods

    def pdf_loglikes(self, frames, parameters, pdf_begin, pdf_ids):
        """Utterances in blocks, the longest first; a long one in pieces."""
        sizes = [pdf_begin[pdfs + 1] - pdf_begin[pdfs] for pdfs in pdf_ids]
        rows = np.array([int(size.sum()) for size in sizes], dtype=np.int64)
        lengths = np.array([len(one) for one in frames], dtype=np.int64)
        order = np.lexsort((rows, -lengths))
        for index in order[(rows[order] == 0) | (lengths[order] == 0)]:
            yield int(index), np.zeros((len(pdf_ids[index]), len(frames[index])), np.float32)
        order = order[(rows[order] > 0) & (lengths[order] > 0)]
        width = parameters.shape[1]
        for block in _cut(
            order, lambda part: len(part) * _area(rows[part].max(), lengths[part].max(), width), self.block_elements
        ):
            gaussians = np.zeros((len(block), int(rows[block].max())), np.int64)
            for row, index in enumerate(block):
                first = np.repeat(pdf_begin[pdf_ids[index]] - (np.cumsum(sizes[index]) - sizes[index]), sizes[index])
                gaussians[row, : rows[index]] = first + np.arange(rows[index])
            segments = np.concatenate([[*sizes[index], gaussians.shape[1] - rows[index]] for index in block])
            step = max(1, self.block_elements // (len(block) * max(gaussians.shape[1], width)))
            pieces = []
            for start in range(0, int(lengths[block].max()), step):
                with self._turn():
                    rows_of = self._model(parameters)[self._put(gaussians)]
                    pieces.append(segment_loglikes(rows_of, self._padded(frames, block, start, step), self._put(segments)))
            result, first = np.concatenate(pieces, axis=1) if len(pieces) > 1 else pieces[0], 0
            for index in block:
                last = first + len(pdf_ids[index])
                yield int(index), np.ascontiguousarray(result[first:last, : lengths[index]])
                first = last + 1

    def _padded(self, frames, block, start: int, step: int) -> Tensor:
        """float32 [M, T, 1 + 2D] of some frames of each utterance of a block, beyond their ends of zeros."""
        parts = [frames[index][start : start + step] for index in block]
        padded = np.zeros((len(parts), max(map(len, parts)), parts[0].shape[1]), np.float32)
        for row, part in enumerate(parts):
            padded[row, : len(part)] = part
        return extended_frames(self._put(padded, np.float32))

    # statistics of EM

    def accumulate(
        self, features, frame_order, task_frames, task_gaussians, task_out, parameters, first_task, end_task, stats, loglikes
    ):
        tasks = slice(first_task, end_task)
        out = task_out[tasks]
        loglikes[tasks] = 0
        with self._turn():
            frames, order = self._put(features, np.float32), self._put(frame_order)
            for which, task, posterior, loglike in self._tasks(
                frames, order, task_frames[tasks], task_gaussians[tasks], self._model(parameters)
            ):
                sums = slab_products(posterior, task.extended).cpu().numpy()
                loglikes[first_task + which] += loglike.sum(1).cpu().numpy()
                row = np.arange(task.most)
                inside = row < task.size[:, None]
                stats[(out[which][:, None] + row)[inside]] += sums[inside]

    def _tasks(self, features, order, ranges, gaussians, parameters):
        """Blocks of tasks: (which they are int64 [M], Block, posteriors float32 [M, S, F], 0 in the padding, and log-likelihoods
        float64 [M, F])."""
        size = gaussians[:, 1] - gaussians[:, 0]
        start, width = ranges[:, 0].copy(), parameters.shape[1]
        while np.any(left := np.minimum(ranges[:, 1] - start, ROUND_FRAMES) > 0):
            count = np.minimum(ranges[:, 1] - start, ROUND_FRAMES)
            padded = _padded_lengths(count)
            some = np.lexsort((size, padded))[::-1]
            some = some[left[some]]

            def area(part, size=size, padded=padded):
                same = padded[part[0]] == padded[part[-1]]
                return len(part) * _area(size[part].max(), padded[part[0]], width) if same else self.block_elements + 1

            for which in _cut(some, area, self.block_elements):
                block = Block(features, order, start[which], count[which], gaussians[which], int(padded[which[0]]))
                yield which, block, *block.posteriors(parameters)
            start += ROUND_FRAMES

    # statistics of fMLLR and MLLT

    def accumulate_fmllr(self, features, frame_begin, pdf, weight, pdf_begin, parameters, targets, k, g):
        """Every (frame, pdf) counts as a frame of its own: the sums are linear in the posteriors."""
        if not len(pdf):
            return 0.0, 0.0
        frame = np.repeat(np.arange(len(features)), np.diff(frame_begin))
        order = np.argsort(pdf, kind="stable")
        used, first = np.unique(pdf[order], return_index=True)
        ranges = np.stack([first, np.append(first[1:], len(order))], axis=1)
        gaussians = np.stack([pdf_begin[used], pdf_begin[used + 1]], axis=1)
        dim, total = features.shape[1], 0.0
        with self._turn():
            weights = self._put(weight[order], np.float32)
            target, rows, plus = self._model(targets)[:, 1:], [], []
            places = self._put(frame[order])
            for _, block, posterior, loglike in self._tasks(
                self._put(features, np.float32), places, ranges, gaussians, self._model(parameters)
            ):
                its = weights[block.place]
                total += float((loglike * its).sum())
                moments = torch.bmm((posterior * its[:, None]).transpose(1, 2), target[block.gaussian])
                rows.append(moments[block.inside])
                plus.append(block.extended[..., : 1 + dim][block.inside])
            moments, extended = torch.cat(rows), torch.cat(plus).roll(-1, 1)  # (x, 1)
            linear, inverse = moments[:, :dim], -2 * moments[:, dim:]
            k += products(linear, extended).cpu().numpy()
            g += self._outer_products(inverse, extended)
        return float(weight.sum(dtype=np.float64)), total

    def add_outer_products(self, sums, parts):
        waiting: list[tuple[np.ndarray, np.ndarray]] = []
        number, most = 0, self.block_elements // 256
        for part in parts:
            waiting.append(part)
            number += len(part[0])
            if number >= most:
                self._add_waiting(sums, waiting)
                waiting, number = [], 0
        if number:
            self._add_waiting(sums, waiting)

    def _add_waiting(self, sums: np.ndarray, waiting: list[tuple[np.ndarray, np.ndarray]]) -> None:
        weights, rows = (np.concatenate(arrays) for arrays in zip(*waiting))
        with self._turn():
            sums += self._outer_products(self._put(weights, np.float32), self._put(rows, np.float32))

    def _outer_products(self, weights: Tensor, rows: Tensor) -> np.ndarray:
        """float64 [I, J (J + 1) / 2], see `add_outer_products`; weights float32 [N, I], rows float32 [N, J]."""
        one, two = (self._put(index) for index in np.triu_indices(rows.shape[1]))
        step = max(1, self.block_elements // (len(one) * SLAB_FRAMES)) * SLAB_FRAMES
        total = torch.zeros(weights.shape[1], len(one), dtype=torch.float64, device=self.device)
        for its, part in zip(weights.split(step), rows.split(step)):
            total += products(its, part[:, one] * part[:, two])
        return total.cpu().numpy()


def _padded_lengths(count: np.ndarray) -> np.ndarray:
    """int64: powers of two, which are whole slabs from a slab on."""
    return 1 << np.ceil(np.log2(np.maximum(count, FEWEST_FRAMES))).astype(np.int64)


def _area(size, length, width) -> int:
    """Elements of the largest array for one task or utterance."""
    return int(max(size * length, size * width, length * width))


def _cut(items: np.ndarray, area, limit: int) -> Iterator[np.ndarray]:
    """Runs of items of at most `limit` by `area`, or of one."""
    begin = 0
    while begin < len(items):
        end, step = begin + 1, 1
        while step:  # doubles the run, then halves the step
            if end + step <= len(items) and area(items[begin : end + step]) <= limit:
                end, step = end + step, 2 * step
            else:
                step //= 2
        yield items[begin:end]
        begin = end
