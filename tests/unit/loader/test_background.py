"""Stages: items in order, no more ahead than asked for, errors in their place, threads that end."""

import threading

import pytest

from asrtool.loader.background import Stages


@pytest.fixture
def stages():
    before = threading.active_count()
    result = Stages()
    yield result
    result.close()
    assert threading.active_count() == before


def test_items_come_in_order_through_several_stages(stages):
    numbers = stages.ahead(iter(range(500)), 1, "numbers")
    squares = stages.ahead((number * number for number in numbers), 3, "squares")
    assert list(squares) == [number * number for number in range(500)]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_no_more_items_are_begun_than_the_depth_allows(stages, depth):
    begun = []

    def items():
        for number in range(20):
            begun.append(number)
            yield number

    ahead = stages.ahead(items(), depth, "items")
    for number in range(20):
        assert next(ahead) == number
        # this one is in use; `depth` more may be ready or in the making
        assert len(begun) <= number + 1 + depth
    assert list(ahead) == []


def test_an_item_is_not_kept_by_the_stages(stages):
    import weakref

    class Thing:
        pass

    ahead = stages.ahead((Thing() for _ in range(3)), 1, "things")
    first = weakref.ref(next(ahead))
    next(ahead)
    assert first() is None


def test_an_error_comes_behind_the_items_before_it(stages):
    def items():
        yield 1
        yield 2
        raise ValueError("third")

    ahead = stages.ahead(stages.ahead(items(), 1, "inner"), 4, "outer")
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(ahead)


def test_closing_ends_the_iterators_and_stops_long_work(stages):
    ended, begun = [], threading.Event()

    def endless():
        try:
            yield 0
            begun.set()
            while True:
                stages.check()
        finally:
            ended.append(threading.current_thread().name)

    ahead = stages.ahead(stages.ahead(endless(), 1, "inner"), 1, "outer")
    assert next(ahead) == 0
    assert begun.wait(10)
    stages.close()
    assert ended == ["inner"]


def test_a_full_stage_is_closed_too(stages):
    ended = []

    def items():
        try:
            yield from range(100)
        finally:
            ended.append(True)

    ahead = stages.ahead(items(), 2, "items")
    assert next(ahead) == 0
    stages.close()
    assert ended == [True]
