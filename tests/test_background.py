"""The consumer and the producer thread: order, errors on either side, and no thread left behind."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator

import pytest

from thg_zoo.background import Ahead, Consumer


def test_everything_is_consumed_in_order_before_leaving() -> None:
    seen: list[int] = []

    def slowly(item: int) -> None:
        time.sleep(0.002)
        seen.append(item)

    with Consumer(slowly) as consumer:
        for item in range(20):
            consumer.put(item)
    assert seen == list(range(20))


@pytest.mark.parametrize("at", [0, 5, 19])
def test_an_error_of_the_consumer_reaches_the_producer(at: int) -> None:
    def fail(item: int) -> None:
        if item == at:
            raise OSError("disk full")

    def produce() -> None:
        with Consumer(fail) as consumer:
            for item in range(20):
                consumer.put(item)

    with pytest.raises(OSError, match="disk full"):
        produce()


def test_an_error_of_the_producer_drops_what_waits() -> None:
    seen: list[int] = []
    begun, release = threading.Event(), threading.Event()

    def hold(item: int) -> None:
        begun.set()
        release.wait(5)
        seen.append(item)

    def produce() -> None:
        with Consumer(hold, depth=5) as consumer:
            for item in range(3):
                consumer.put(item)
            begun.wait(5)
            threading.Timer(0.1, release.set).start()
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        produce()
    assert seen == [0]


def test_no_thread_remains() -> None:
    before = threading.active_count()
    with Consumer(lambda item: None) as consumer:
        consumer.put(1)
    assert threading.active_count() == before


def test_the_queue_is_bounded() -> None:
    release = threading.Event()
    put: list[int] = []

    def produce() -> None:
        with Consumer(lambda item: release.wait(5), depth=2) as consumer:
            for item in range(10):
                consumer.put(item)
                put.append(item)

    thread = threading.Thread(target=produce)
    thread.start()
    time.sleep(0.2)
    waiting = len(put)
    release.set()
    thread.join()
    assert waiting == 3
    assert len(put) == 10


def counted(log: list[str], stop: int | None = None) -> Generator[int]:
    try:
        for i in itertools.count():
            if i == stop:
                raise OSError("damaged")
            log.append(f"made {i}")
            yield i
    finally:
        log.append(f"closed in {threading.current_thread().name}")


def test_items_come_in_order_and_the_error_where_its_item_would() -> None:
    ahead = Ahead(counted([], stop=7))
    assert list(itertools.islice(ahead, 7)) == list(range(7))
    with pytest.raises(OSError, match="damaged"):
        next(ahead)
    assert next(ahead, None) is None
    ahead.close()


def test_a_producer_runs_ahead_by_its_depth_only() -> None:
    log: list[str] = []
    ahead = Ahead(counted(log), depth=2)
    for _ in range(100):
        if len(log) >= 2:
            break
        time.sleep(0.005)
    time.sleep(0.05)
    assert log == ["made 0", "made 1"]
    assert next(ahead) == 0
    ahead.close()


def test_closing_early_closes_the_items_in_their_thread_and_ends_it() -> None:
    before, log = threading.active_count(), []
    ahead = Ahead(counted(log))
    assert next(ahead) == 0
    ahead.close()
    ahead.close()
    assert log[-1] == "closed in thg-zoo-producer"
    assert threading.active_count() == before
