"""Work done ahead by threads, stage behind stage, that ends when its consumer does."""

import atexit
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

Item = TypeVar("Item")


class Closed(BaseException):
    """Raised inside a stage whose consumer does not want any more; a BaseException so that no `except Exception` keeps it."""


@dataclass
class _Stage:
    depth: int
    ready: deque = field(default_factory=deque)
    ended: bool = False
    error: BaseException | None = None


class Stages:
    """Threads that each run an iterator some items ahead of whoever takes them, who may be the next stage.

    The order of the items does not depend on timing. An error in a stage is raised where its items are taken, behind the items
    made before it. `close` ends and joins all threads; it is called at the interpreter's exit at the latest.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self.closed = False
        _OPEN.add(self)

    def ahead(self, items: Iterator[Item], depth: int, name: str) -> Iterator[Item]:
        """The same items, of which up to `depth` are made before they are asked for (and none beyond these is begun)."""
        stage = _Stage(depth)
        thread = threading.Thread(target=self._produce, args=(items, stage), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return self._take(stage)

    def check(self) -> None:
        """To be called now and then in long work. Raises Closed when nobody wants the result any more."""
        if self.closed:
            raise Closed

    def close(self) -> None:
        """Ends the threads and waits for them."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _produce(self, items: Iterator[Any], stage: _Stage) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self.closed or len(stage.ready) < stage.depth)
                self.check()
                item = next(items, stage)
                if item is stage:
                    break
                with self._changed:
                    stage.ready.append(item)
                    self._changed.notify_all()
                item = None  # its memory belongs to the consumer
        except Closed:
            pass
        except BaseException as error:
            stage.error = error
        finally:
            if hasattr(items, "close"):
                items.close()
            with self._changed:
                stage.ended = True
                self._changed.notify_all()

    def _take(self, stage: _Stage) -> Iterator[Any]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.closed or stage.ready or stage.ended)
                self.check()
                if not stage.ready:
                    break
                item = stage.ready.popleft()
                self._changed.notify_all()
            yield item
            item = None
        if stage.error is not None:
            raise stage.error


_OPEN: "weakref.WeakSet[Stages]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for stages in list(_OPEN):
        stages.close()
