"""Iterators over a log that go on by themselves after a lost connection."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

from typing_extensions import Self

from .. import _checks as checks
from .._defaults import ABORT_PATIENCE
from .._errors import ProglogError, closed
from .._reading import Reading
from .._types import Batch, Record, Seconds
from ._cancel import Told, cancelled, current_scopes
from ._session import Session
from ._source import Source

T = TypeVar("T")


class BatchReader:
    """An iterator over the batches of a log.

    It ends when the log does: because it is sealed, or what was asked for is there. It raises
    a `ProglogError` when the server says something that cannot pass. When several threads
    read, each record goes to one of them, and an error to all that wait. `close` may be called
    from any, and what waits then gets a `ClosedError`. Leaving a loop
    early releases the stream as soon as the iterator is let go, or at the end of a ``with``.
    """

    def __init__(self, session: Session, reading: Reading) -> None:
        self._source = Source(session, reading)
        self._over = False
        self._use = threading.Lock()  # held while a thread waits for a batch
        self._pending: _Pending | None = None
        self._failure: ProglogError | None = None  # for threads that wait for their turn

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        return self.next()

    def next(self, timeout: Seconds | None = None) -> Batch:
        """The next batch, or a TimeoutError if none comes within the timeout. The reader goes
        on then: what comes later is there for the next call. At the end it raises
        StopIteration, as the iterator does."""
        return self.in_turn(deadline(timeout), self.take)

    def in_turn(self, until: float | None, read: Callable[[float | None], T]) -> T:
        """Read when no other thread does. For the SDK's own use."""
        if self._over:
            raise StopIteration
        limit = left(until)
        if not self._use.acquire(timeout=-1 if limit is None else limit):
            raise TimeoutError("another thread reads")
        try:
            return read(until)
        finally:
            self._use.release()
            if self._over:
                self._let_go()

    def take(self, until: float | None) -> Batch:
        """The next batch, in a thread's turn. For the SDK's own use."""
        if self._failure is not None:  # in the turn of another thread
            raise self._failure
        if self._over:
            raise StopIteration
        try:
            batch = self._take(left(until))
        except ProglogError as error:
            if self._over:
                self._failure = error
            raise
        if batch is None:
            self._over = True
            raise StopIteration
        return self._source.reading.given(batch)

    def _take(self, timeout: float | None) -> Batch | None:
        """What comes of a wait: of one that began earlier, or of another one."""
        scopes = current_scopes()
        if scopes.is_set():
            raise cancelled(nothing_appended=False)
        if self._pending is None and timeout is None and not scopes:
            try:
                return self._source.next()
            except BaseException:
                self._over = True
                raise
        if self._pending is None:
            self._pending = _Pending(self._source)
        if not self._pending.done.wait(timeout, scopes):
            if scopes.is_set():
                raise cancelled(nothing_appended=False)
            raise TimeoutError("nothing came within the timeout")
        pending, self._pending = self._pending, None
        if pending.error is not None:
            self._over = True
            raise pending.error
        return pending.batch

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._source.close()
        if not self._over:
            self._failure = closed("iterator")
        self._over = True
        self._let_go()

    def _let_go(self) -> None:
        """Release what is left of a reader that is over; a thread that waits for a batch gets
        an error, and does it itself."""
        if self._use.acquire(blocking=False):
            try:
                pending, self._pending = self._pending, None
                if pending is None or pending.done.wait(ABORT_PATIENCE):
                    self._source.drop(closed("iterator"))
            finally:
                self._use.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # At the end of the program a thread may have stopped with a lock in its hands.
        if not hasattr(self, "_pending") or sys.is_finalizing():
            return
        self._source.close()
        pending = self._pending
        if not self._over and (pending is None or pending.done.is_set()):
            self._source.drop(closed("iterator"))

    @property
    def next_offset(self) -> int:
        """Where another read would go on: the offset behind the last record that was delivered,
        and before the first one the start, once that is known. What came after its wait was
        given up is delivered by the next one, and does not count before."""
        return self._source.reading.place

    @property
    def log_id(self) -> str:
        """The identity of the log that is read, once the first record came."""
        return self._source.reading.log_id


def deadline(timeout: Seconds | None) -> float | None:
    """When a wait that begins now has to end."""
    limit = checks.timeout("timeout", timeout)
    return None if limit is None else time.monotonic() + limit


def left(until: float | None) -> float | None:
    """The seconds to a deadline."""
    return None if until is None else max(until - time.monotonic(), 0.0)


class _Pending:
    """A wait that may outlast who began it, in a thread of its own."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.batch: Batch | None = None
        self.error: BaseException | None = None
        self.done = Told()
        # Scopes break off the wait for this, and not this.
        run = contextvars.Context().run
        threading.Thread(target=run, args=(self._run,), name="proglog-reader", daemon=True).start()

    def _run(self) -> None:
        try:
            self.batch = self._source.next()
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()
            if self._source.closing:  # whoever closed it may not have waited
                self._source.drop(closed("iterator"))


class RecordReader:
    """An iterator over the records of a log; see `BatchReader`."""

    def __init__(self, batches: BatchReader) -> None:
        self._batches = batches
        self._records: Iterator[Record] = iter(())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        for record in self._records:
            return record
        return self.next()

    def next(self, timeout: Seconds | None = None) -> Record:
        """The next record, or a TimeoutError if none comes within the timeout. The reader goes
        on then: what comes later is there for the next call. At the end it raises
        StopIteration, as the iterator does."""
        for record in self._records:
            return record
        return self._batches.in_turn(deadline(timeout), self._read)

    def _read(self, until: float | None) -> Record:
        while True:
            for record in self._records:
                return record
            self._records = iter(self._batches.take(until).records)

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._records = iter(())
        self._batches.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._records = iter(())
        self._batches.__exit__(kind, error, trace)

    @property
    def log_id(self) -> str:
        """The identity of the log that is read, once the first record came."""
        return self._batches.log_id
