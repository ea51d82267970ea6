"""Exchanges on a thread of their own, in the order in which they were started."""

import queue
import threading
from collections.abc import Callable

import torch

from asrtool.errors import AsrtoolError


class Job:
    """An exchange under way."""

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        self.work = work
        self.cuda = device.type == "cuda"
        self.ready = torch.cuda.current_stream(device).record_event() if self.cuda else None
        self.device = device
        self.finished = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with torch.no_grad():
                self._run_in_stream() if self.cuda else self.work()
        except BaseException as error:  # raised again by `wait`, on the thread that needs the result
            self.failure = error
        self.finished.set()

    def _run_in_stream(self) -> None:
        stream = torch.cuda.Stream(self.device)
        stream.wait_event(self.ready)
        with torch.cuda.stream(stream):
            self.work()
        stream.synchronize()

    def wait(self) -> None:
        self.finished.wait()
        if self.failure is None:
            return
        if isinstance(self.failure, AsrtoolError):
            raise AsrtoolError(str(self.failure)) from self.failure
        raise self.failure


class Background:
    """A thread that runs jobs one after the other; after a failure the later ones fail too: the ranks are out of step."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)
        self._thread.start()

    def start(self, work: Callable[[], None], device: torch.device) -> Job:
        job = Job(work, device)
        self._jobs.put(job)
        return job

    def close(self) -> None:
        """Ends the thread after the jobs that it has; does not wait for one that hangs."""
        self._jobs.put(None)
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        failure: BaseException | None = None
        while (job := self._jobs.get()) is not None:
            if failure is not None:
                job.failure = failure
                job.finished.set()
                continue
            job.run()
            failure = job.failure
