"""A source of outer gradients that can be computed again: a double for the speech module."""

import zlib

import numpy as np

from asrtool.criterion.sequence import Outer
from asrtool.lattice.posteriors import merge_pairs
from asrtool.sequence.outer_source import UtteranceOuter


def dense_outer(name, shift, version, num_frames, num_pdfs):
    """float32 [T, P] of an utterance, some of it 0, rows summing to 0."""
    generator = np.random.default_rng([zlib.crc32(name.encode()), shift, version])
    dense = generator.standard_normal((num_frames, num_pdfs)) * (generator.random((num_frames, num_pdfs)) < 0.5)
    dense[:, 0] -= dense.sum(1)
    return dense.astype(np.float32)


class ComputedSource:
    """An OuterSource over `dense_outer` that makes `batch` results together and keeps a log.

    Attributes:
        orders: what `begin` was given.
        taken: (name, shift, version) of every result that was handed out.
        skipped: utterances that give nothing.
    """

    def __init__(self, num_frames, num_pdfs, batch=1, skipped=(), versions=False):
        self.num_frames, self.num_pdfs, self.batch, self.skipped, self.versions = num_frames, num_pdfs, batch, skipped, versions
        self.orders, self.taken, self.published, self.ready, self.closed = [], [], [], [], False

    def begin(self, order):
        self.order, self.ready = list(order), []
        self.orders.append(list(order))

    def take(self, utterance):
        if not self.ready:
            now, self.order = self.order[: self.batch], self.order[self.batch :]
            self.ready = [self._make(name, shift) for name, shift in now]
        result = self.ready.pop(0)
        assert result.name == utterance, f"{utterance} was taken before {result.name}"
        self.taken.append((result.name, result.shift, result.version))
        return result

    def _make(self, name, shift):
        version = self.published[-1]
        if name in self.skipped:
            return self.failed(name, shift, version)
        length = self.num_frames[name]
        dense = dense_outer(name, shift, version if self.versions else 0, length, self.num_pdfs)
        frame, pdf = dense.nonzero()
        gradient = merge_pairs(frame, pdf.astype(np.int32), dense[frame, pdf], length)
        return UtteranceOuter(name, shift, Outer(gradient, np.float64(0.25) * length, length), version=version, num_frames=length)

    @staticmethod
    def failed(name, shift=0, version=0):
        return UtteranceOuter(name, shift, reason="nan", version=version)

    def publish(self, model, step):
        self.published.append(step)

    def ahead(self):
        return list(self.ready)

    def take_over(self, results):
        self.order, self.ready = self.order[len(results) :], list(results)

    def notes(self):
        return {}

    def close(self):
        self.closed = True
