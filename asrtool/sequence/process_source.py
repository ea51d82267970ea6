"""The speech module in processes beside the trainer (Sak et al. 2014, Figures 1 to 3), with a bounded queue between them."""

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
from torch import nn

from asrtool.criterion.sequence import SequenceOptions
from asrtool.decoder.graph_dir import load_graph
from asrtool.decoder.network import load_network
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.sequence.failures import Failures
from asrtool.sequence.hand_out import HandOut
from asrtool.sequence.notes import SourceNotes
from asrtool.sequence.options import SpeechOptions, SpeechPaths
from asrtool.sequence.outer_source import Request, UtteranceOuter
from asrtool.sequence.parameters import FlatParameters
from asrtool.sequence.shared_parameters import SharedParameters
from asrtool.sequence.stored_lattices import StoredLattices
from asrtool.sequence.worker import Setup, Work
from asrtool.sequence.worker_pool import WorkerPool

_PATIENCE_S = 60.0  # from one line that the trainer waits to the next


class ProcessSource:
    """An OuterSource of `options.num_processes` processes.

    They take the parameters that were published last when they begin a batch of utterances. A thread hands the batches out in the
    trainer's order and keeps what comes back; `take` waits for the one that is next. See HandOut for how staleness is bounded.

    Raises:
        AsrtoolError: files that are missing, damaged or do not fit each other.
    """

    def __init__(self, options: SpeechOptions, paths: SpeechPaths, criterion_options: SequenceOptions) -> None:
        self.options = options
        self.layout, self._alignments = _prepare(options, paths)
        self.failures = Failures(options)
        self._notes = SourceNotes()
        self._shared = SharedParameters(self.layout.num_elements)
        self._model: nn.Module | None = None
        self._step, self._published = 0, -1
        self._changed = threading.Condition()  # guards what follows
        self._book = HandOut(options)
        self._error: BaseException | None = None
        self._lost = 0
        self._closed = False
        self._woken, self._wake = os.pipe()
        setup = Setup(options, paths, criterion_options, self.layout.num_elements)
        self._pool = WorkerPool(options.num_processes, setup, self._shared)
        self._thread = threading.Thread(target=self._run, name="speech module", daemon=True)
        self._thread.start()

    def begin(self, order: Sequence[Request]) -> None:
        if self._model is None:
            raise ValueError("the trainer's parameters are published before it asks for utterances")
        with self._changed:
            self._book.begin(order)
        self._wake_up()

    def publish(self, model: nn.Module, step: int) -> None:
        self._model, self._step = model, step
        if self._published < 0 or not 0 <= step - self._published < self.options.publish_every:
            self._copy()

    def _copy(self) -> None:
        self._shared.publish(lambda flat: self.layout.pack(self._model, flat), self._step)
        self._published = self._step

    def take(self, utterance: str) -> UtteranceOuter:
        start = time.perf_counter()
        with self._changed:
            num_ready = self._book.num_ready
            self._book.expect(utterance)
            self._wait()
            while self._book.is_stale(self._step):
                self._copy()
                self._book.again()
                self._notes.count("recomputed")
                self._wake_up()
                self._wait()
            result = self._book.take(self._step)
            self._notes.count("lost_processes", self._lost)
            self._lost = 0
        self._wake_up()
        self._notes.count("wait_s", time.perf_counter() - start)
        self._notes.taken(result, self._step - result.version, num_ready)
        self.failures.judge(result)
        return result

    def _wait(self) -> None:
        """Until the next result is there; says now and then that it waits."""
        start = time.perf_counter()
        while not self._changed.wait_for(lambda: self._book.is_ready or self._error is not None or self._closed, _PATIENCE_S):
            name, seconds = self._book.order[self._book.taken][0], time.perf_counter() - start
            print(f"waiting for the outer gradient of {name} since {seconds:.0f} s", file=sys.stderr, flush=True)
        if self._error is not None:
            raise self._error
        if self._closed:
            raise ValueError("the source is closed")

    def notes(self) -> dict[str, float]:
        return self._notes.collect()

    def close(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._wake_up()
        self._thread.join()
        self.failures.close()
        self._pool.close()
        self._shared.close()
        os.close(self._wake)
        os.close(self._woken)

    def _wake_up(self) -> None:
        os.write(self._wake, b"!")

    def _run(self) -> None:
        try:
            while not self._closed:
                with self._changed:
                    self._give_work()
                done, deaths = self._pool.receive([self._woken])
                if wait([self._woken], 0):
                    os.read(self._woken, 1 << 16)
                with self._changed:
                    for ticket, results in done:
                        self._book.done(ticket, results)
                    for ticket, how in deaths:
                        self._lost += 1
                        self._book.died(ticket, how)
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _give_work(self) -> None:
        for one in self._pool.idle:
            job = self._book.next_job()
            if job is None:
                return
            numerators = None
            if self._alignments is not None:
                numerators = [self._alignments.get(name) for name, _ in job.requests]
            self._pool.give(one, Work(job.ticket, job.requests, numerators))


def _prepare(options: SpeechOptions, paths: SpeechPaths) -> tuple[FlatParameters, Mapping[str, np.ndarray] | None]:
    """What the trainer's side needs, and what is better made once, before the processes ask for it all at the same time."""
    final_mdl = Path(paths.ali_dir) / "final.mdl"
    model = TransitionModel.read_file(final_mdl)
    bundle = load_network(paths.model, model.num_pdfs, final_mdl)
    if paths.denlats_dir is not None:
        StoredLattices(paths.denlats_dir).close()
    if paths.graph_dir is not None:
        load_graph(paths.graph_dir, model)
    alignments = read_alignments(paths.ali_dir) if options.numerator == "alignment" else None
    return FlatParameters(bundle.model), alignments
