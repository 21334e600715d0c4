"""Overlap: a consumer or a producer in a thread of its own, at the other end of a queue of bounded length."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """Travels through the queue after the last item."""


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


class Ahead(Generic[T]):
    """An iterator over `items`, which a thread produces: at most `depth` of them exist that were not taken.

    An error of `items` is raised where its item would come. Closing it closes `items`, in their thread.
    """

    def __init__(self, items: Generator[T], depth: int = 1) -> None:
        self._items = items
        self._slots = threading.Semaphore(depth)
        self._buffer: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="thg-zoo-producer", daemon=True)
        self._thread.start()

    def __iter__(self) -> Ahead[T]:
        return self

    def __next__(self) -> T:
        item = self._buffer.get()
        if not isinstance(item, _End):
            self._slots.release()
            return item
        # For whoever asks again.
        self._buffer.put(item)
        if error := self._error:
            self._error = None
            raise error
        raise StopIteration

    def close(self) -> None:
        """Produce no more; what was produced and not taken is dropped."""
        self._closed = True
        self._slots.release()
        self._thread.join()

    def _work(self) -> None:
        try:
            with contextlib.closing(self._items) as items:
                while self._slots.acquire() and not self._closed:
                    self._buffer.put(next(items))
        except StopIteration:
            pass
        except BaseException as error:
            self._error = error
        self._buffer.put(_End())
