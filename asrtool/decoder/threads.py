"""Work in threads whose results come back in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from asrtool.errors import AsrtoolError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item], num_threads: int) -> Iterator[Result]:
    """function(item) for each item, in the order of `items`, of which only a few are taken ahead of what was yielded.

    Fast only where `function` spends its time without the GIL. Its exceptions are raised here.
    """
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * num_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def outcomes(
    decode: Callable[[Item], Result], items: Iterable[tuple[str, Item]], num_threads: int
) -> Iterator[tuple[str, Result | AsrtoolError]]:
    """(name, decode(item)) of each (name, item), in order and in threads; an AsrtoolError where one was raised."""

    def outcome(named: tuple[str, Item]) -> tuple[str, Result | AsrtoolError]:
        try:
            return named[0], decode(named[1])
        except AsrtoolError as error:
            return named[0], error

    yield from in_threads(outcome, items, num_threads)
