"""The book of what was handed out and taken: order, bounds, staleness, deaths."""

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.sequence.hand_out import HandOut
from asrtool.sequence.options import SpeechOptions
from asrtool.sequence.outer_source import UtteranceOuter

ORDER = [(f"u{number}", number % 3) for number in range(20)]


def book_of(**options):
    usual = {"num_processes": 1, "batch_utterances": 4, "queue_utterances": 8, "refresh": 1}
    book = HandOut(SpeechOptions(**{**usual, **options}))
    book.begin(ORDER)
    return book


def finish(book, job, version=0):
    book.done(job.ticket, [UtteranceOuter(*request, version=version) for request in job.requests])


def test_batches_in_order_and_no_more_than_the_queue_holds():
    book = book_of()
    first, second = book.next_job(), book.next_job()
    assert first.requests == ORDER[:4] and second.requests == ORDER[4:8] and book.next_job() is None
    finish(book, second)
    assert not book.is_ready and book.num_ready == 4 and book.next_job() is None
    finish(book, first)
    for number in range(4):
        book.expect(f"u{number}")
        assert book.is_ready and book.take(number).name == f"u{number}"
        job = book.next_job()
        assert (job is None) == (number < 3)  # whole batches
    assert job.requests == ORDER[8:12]
    with pytest.raises(ValueError, match="u7 was taken, the order says u4"):
        book.expect("u7")


def test_the_last_batch_is_what_is_left():
    book = book_of(batch_utterances=6, queue_utterances=100)
    sizes = []
    while job := book.next_job():
        sizes.append(len(job.requests))
        finish(book, job)
    assert sizes == [6, 6, 6, 2]
    assert [book.take(0).name for _ in ORDER] == [name for name, _ in ORDER]
    with pytest.raises(ValueError, match="u0 was taken, the order says nothing more"):
        book.expect("u0")


def test_a_new_order_drops_what_is_out():
    book = book_of()
    old = book.next_job()
    book.begin(ORDER[10:])
    finish(book, old)
    book.died(old.ticket, "signal SIGKILL")
    assert book.num_ready == 0
    assert book.next_job().requests == ORDER[10:14]


def simulate(book, steps_per_take, frames_of_delay=0):
    """One process that is never late: the staleness of every take, and how often work was done again."""
    step, staleness, again = 0, [], 0
    for name, _ in ORDER * 5:
        while job := book.next_job():
            finish(book, job, version=max(step - frames_of_delay, 0))
        book.expect(name)
        while book.is_stale(step):
            book.again()
            again += 1
            finish(book, book.next_job(), version=step)
        result = book.take(step)
        staleness.append(step - result.version)
        step += steps_per_take
    return staleness, again


@pytest.mark.parametrize("max_staleness", [0, 1, 5, 12, 60])
@pytest.mark.parametrize("steps_per_take", [1, 3])
def test_staleness_is_bounded(max_staleness, steps_per_take):
    book = book_of(max_staleness=max_staleness, queue_utterances=40)
    book.begin(ORDER * 5)
    staleness, again = simulate(book, steps_per_take)
    if max_staleness:
        assert max(staleness) <= max_staleness
        assert again <= 2 * max_staleness + 1  # only until the pace is known
        assert max(staleness[50:]) > 0 or max_staleness < 2 * steps_per_take + 1
    else:
        assert max(staleness) >= 35 * steps_per_take and again == 0


def test_less_is_handed_out_ahead_where_the_limit_asks_for_it():
    book = book_of(max_staleness=12, queue_utterances=40)
    book.begin(ORDER * 5)
    assert book.ahead == 11  # the pace is not known yet
    simulate(book, 3)
    assert book.options.publish_every == 1 and book.ahead == (12 - 1) // 3


def test_the_utterances_of_a_dead_process_go_out_again_one_by_one():
    book = book_of(max_deaths=3)
    job, other = book.next_job(), book.next_job()
    book.died(job.ticket, "signal SIGKILL")
    again = [book.next_job() for _ in range(4)]
    assert [one.requests for one in again] == [[request] for request in ORDER[:4]]
    finish(book, again[0])
    finish(book, other)
    book.died(again[1].ticket, "signal SIGKILL")
    last = book.next_job()
    assert last.requests == [ORDER[1]]
    with pytest.raises(AsrtoolError, match=r"died 3 times over u1 \(signal SIGSEGV\); is there too little memory"):
        book.died(last.ticket, "signal SIGSEGV")
    assert book.take(0).name == "u0"


def test_random_runs_keep_order_and_bounds():
    random = np.random.default_rng(0)
    for _ in range(30):
        options = {"batch_utterances": int(random.integers(1, 6)), "max_staleness": int(random.integers(0, 20))}
        book = book_of(**options, queue_utterances=int(random.integers(6, 15)), max_deaths=1000)
        step, out, taken = 0, [], []
        while len(taken) < len(ORDER):
            choice = random.random()
            if choice < 0.4 and len(out) < 3 and (job := book.next_job()):
                assert all(place < book.taken + book.options.queue for place in job.places)
                out.append((job, step))
            elif choice < 0.75 and out:
                job, version = out.pop(random.integers(len(out)))
                if random.random() < 0.15:
                    book.died(job.ticket, "signal SIGKILL")
                else:
                    finish(book, job, version)
            elif book.is_ready:
                if book.is_stale(step):
                    book.again()
                    continue
                result = book.take(step)
                assert not book.options.max_staleness or step - result.version <= book.options.max_staleness
                taken.append(result.name)
                step += int(random.integers(0, 4))
        assert taken == [name for name, _ in ORDER]
