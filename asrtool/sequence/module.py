"""The speech module: from utterances to outer gradients (Sak et al. 2014, Figure 2).

Forward pass -> scaled log-likelihoods -> numerator and denominator lattice -> criterion -> outer gradient, for a batch of
utterances with the same parameters. What goes wrong with one utterance is said in its result and does not concern the others.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from asrtool.criterion.sequence import PhoneTables, SequenceCriterion
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.lattice.lattice import Lattice
from asrtool.nnet.forward import scaled_loglikes
from asrtool.nnet.model_file import ModelBundle
from asrtool.sequence.denominators import Denominators, NumeratorPaths, has_numerator, join
from asrtool.sequence.failures import UtteranceError
from asrtool.sequence.numerators import Numerators
from asrtool.sequence.options import SpeechOptions
from asrtool.sequence.outer_source import Request, UtteranceOuter
from asrtool.sequence.parameters import FlatParameters
from asrtool.sequence.stored_lattices import StoredLattices

MAX_SCORES = 1 << 26  # numbers of a forward pass, padding included: 256 MiB
cpu_seconds = time.process_time


@dataclass
class _Job:
    """An utterance on its way."""

    result: UtteranceOuter
    features: Tensor | None = None
    loglikes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    numerator: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    lattice: Lattice | None = None

    def free(self) -> None:
        """Lets go of what is large."""
        self.features, self.lattice, self.loglikes = None, None, self.loglikes[:0]


class SpeechModule:
    """Outer gradients of utterances with the parameters that `bundle.model` has.

    Args:
        pipeline: features by utterance.
        denominators: None for criteria without lattices.
        numerator_paths: for missing_numerator "add".
    Attributes:
        version: the trainer's step of the present parameters.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        pipeline: FeaturePipeline,
        criterion: SequenceCriterion,
        tables: PhoneTables,
        numerators: Numerators,
        denominators: Denominators | None,
        options: SpeechOptions,
        numerator_paths: NumeratorPaths | None = None,
    ) -> None:
        self.bundle, self.pipeline, self.criterion, self.tables = bundle, pipeline, criterion, tables
        self.numerators, self.denominators, self.options = numerators, denominators, options
        self.numerator_paths = numerator_paths
        self.layout = FlatParameters(bundle.model)
        self.version = 0

    def set_parameters(self, flat: Tensor, version: int) -> None:
        """Takes the weights of `flat`, see FlatParameters; they are copied."""
        self.layout.unpack(flat, self.bundle.model)
        self.version = version

    def outer_gradients(self, requests: Sequence[Request]) -> list[UtteranceOuter]:
        """The results of a batch of (utterance, shift), in their order."""
        jobs = [_Job(UtteranceOuter(name, shift, version=self.version)) for name, shift in requests]
        for part in _parts(_each(jobs, self._read), self.tables.num_pdfs):
            self._forward(part)
            self._criterion(_each(_each(part, self._check), self._prepare))
            for job in part:
                job.free()
        return [job.result for job in jobs]

    def _read(self, job: _Job) -> None:
        name, start = job.result.name, cpu_seconds()
        try:
            matrix = self.pipeline(name)
            job.features = self.bundle.normalise(matrix, name)
        except AsrtoolError as error:
            raise UtteranceError("features", str(error)) from None
        if not len(matrix):
            raise UtteranceError("features", "no frames")
        if not 0 <= job.result.shift < self.bundle.input.stride:
            raise ValueError(f"shift {job.result.shift} of windows with stride {self.bundle.input.stride}")
        job.result.num_frames = len(matrix)
        job.result.forward_s = cpu_seconds() - start

    def _forward(self, jobs: list[_Job]) -> None:
        start = cpu_seconds()
        scores = scaled_loglikes(self.bundle, [job.features for job in jobs], [job.result.shift for job in jobs])
        share = (cpu_seconds() - start) / sum(job.result.num_frames for job in jobs)
        for job, loglikes in zip(jobs, scores, strict=True):
            job.loglikes, job.features = loglikes, None
            job.result.forward_s += share * job.result.num_frames

    def _check(self, job: _Job) -> None:
        # the largest of each frame is NaN where one is; -inf everywhere is no use either
        if not np.isfinite(job.loglikes.max(axis=1)).all():
            frame = int(np.argmin(np.isfinite(job.loglikes.max(axis=1))))
            raise UtteranceError("nan", f"at frame {frame}; check its features and the training's learning rate")

    def _prepare(self, job: _Job) -> None:
        """Numerator and lattice."""
        start, result = cpu_seconds(), job.result
        try:
            job.numerator = self.numerators(result.name, job.loglikes)
            if self.denominators is not None:
                job.lattice = self.denominators(result.name, job.loglikes)
                self._look_for_numerator(job)
                result.depth = np.count_nonzero(job.lattice.arc_transition_id) / result.num_frames
        finally:
            result.search_s = cpu_seconds() - start

    def _look_for_numerator(self, job: _Job) -> None:
        lattice = job.lattice
        if not lattice.num_states or not (lattice.final_cost < np.inf).any():
            raise UtteranceError("lattice", "no path reaches its end")
        job.result.numerator_missing = not has_numerator(lattice, self.tables.tid_to_pdf, job.numerator)
        if not job.result.numerator_missing:
            return
        if self.options.missing_numerator == "skip":
            raise UtteranceError("numerator", "widen the beams, or keep or add such numerators")
        if self.options.missing_numerator == "add" and self.numerator_paths is not None:
            path = self.numerator_paths(job.numerator, job.loglikes)
            if path is not None:
                job.lattice = join(lattice, path)

    def _criterion(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        start = cpu_seconds()
        outers = self.criterion(
            [job.loglikes for job in jobs],
            [job.numerator for job in jobs],
            [job.lattice for job in jobs],
            [job.result.name for job in jobs],
        )
        for job, outer in zip(jobs, outers, strict=True):
            if isinstance(outer, AsrtoolError):
                job.result.reason, job.result.message = "criterion", str(outer)
            else:
                job.result.outer = outer
        share = (cpu_seconds() - start) / sum(job.result.num_frames for job in jobs)
        for job in jobs:
            job.result.criterion_s = share * job.result.num_frames

    def close(self) -> None:
        if isinstance(self.denominators, StoredLattices):
            self.denominators.close()


def _parts(jobs: list[_Job], num_pdfs: int) -> Iterator[list[_Job]]:
    """Runs of jobs whose log-likelihoods, padded to the longest, are at most MAX_SCORES numbers, or one job."""
    part: list[_Job] = []
    for job in jobs:
        longest = max(one.result.num_frames for one in (*part, job))
        if part and (len(part) + 1) * longest * num_pdfs > MAX_SCORES:
            yield part
            part = []
        part.append(job)
    if part:
        yield part


def _each(jobs: Iterable[_Job], work: Callable[[_Job], None]) -> list[_Job]:
    """Those that `work` succeeds with."""
    good = []
    for job in jobs:
        try:
            work(job)
            good.append(job)
        except UtteranceError as error:
            job.result.reason, job.result.message = error.kind, str(error)
    return good
