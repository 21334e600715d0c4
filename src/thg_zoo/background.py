"""Overlap: a producer or a consumer in a thread of its own, behind a queue of bounded length."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """Travels through a queue after the last item, with the error if there was one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Producer(Generic[T]):
    """Runs an iterable in a thread; what it makes waits in `buffer`, followed by an `_End`."""

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self.buffer: queue.Queue[T | _End] = queue.Queue(depth)
        self._items = items
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="thg-zoo-producer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop producing, and wait until the iterable is closed."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        iterator, end = iter(self._items), _End()
        try:
            for item in iterator:
                if not self._offer(item):
                    break
        except BaseException as error:
            end = _End(error)
        finally:
            close = getattr(iterator, "close", None)
            if close:
                close()
            self._offer(end)

    def _offer(self, item: T | _End) -> bool:
        """Put an item as soon as there is room; False if nobody wants it any more."""
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self.buffer.put(item, timeout=0.1)
                return True
        return False


def prefetch(items: Iterable[T], depth: int = 2) -> Generator[T]:
    """The same items, produced up to `depth` ahead in a thread.

    Errors of the producer are raised where its item would have come. Closing the generator early stops the
    producer and closes its iterable, in its own thread, before `close` returns.
    """
    producer = _Producer(items, depth)
    try:
        while not isinstance(item := producer.buffer.get(), _End):
            yield item
        if item.error:
            raise item.error
    finally:
        producer.stop()


class Consumer(Generic[T]):
    """Calls `consume` for every item put, in order, in a thread; at most `depth` items wait.

    A context manager: leaving it waits until everything is consumed, and raises an error of `consume` that
    no `put` has raised before; leaving it with an error drops what waits.
    """

    def __init__(self, consume: Callable[[T], None], depth: int = 2) -> None:
        self._consume = consume
        self._buffer: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._work, name="thg-zoo-consumer", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over one item; waits while the queue is full."""
        if self._error:
            raise self._error
        self._buffer.put(item)

    def __enter__(self) -> Consumer[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandoned = error is not None
        self._buffer.put(_End())
        self._thread.join()
        if error is None and self._error:
            raise self._error

    def _work(self) -> None:
        while not isinstance(item := self._buffer.get(), _End):
            # After an error the queue is still emptied, so that no `put` waits for ever.
            if self._error or self._abandoned:
                continue
            try:
                self._consume(item)
            except BaseException as error:
                self._error = error
