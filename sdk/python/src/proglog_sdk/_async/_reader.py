"""Iterators over a log that go on by themselves after a lost connection."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from types import TracebackType

from typing_extensions import Self

from .. import _checks as checks
from .._errors import closed
from .._reading import Reading
from .._types import Batch, Record, Seconds
from ._session import Session
from ._source import Source


class AsyncBatchReader:
    """An asynchronous iterator over the batches of a log.

    It ends when the log does: because it is sealed, or what was asked for is there. It raises
    a `ProglogError` when the server says something that cannot pass. When several tasks read,
    each record goes to one of them, and an error to all that wait. `close` may be called from
    any task, and what waits then gets a `ClosedError`. A task that is
    cancelled while it waits, as by ``asyncio.wait_for``, leaves the reader as it was: what
    comes later is there for the next wait. Leaving a loop early releases the stream as soon
    as the iterator is let go, or at the end of an ``async with``.
    """

    def __init__(self, session: Session, reading: Reading) -> None:
        self._source = Source(session, reading)
        self._over = False
        self._pending: asyncio.Task[Batch | None] | None = None  # a wait, which outlasts tasks
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        return await self.next()

    async def next(self, timeout: Seconds | None = None) -> Batch:
        """The next batch, or a TimeoutError if none comes within the timeout. The reader goes
        on then: what comes later is there for the next call. At the end it raises
        StopAsyncIteration, as the iterator does."""
        until = deadline(timeout)
        while (batch := await self.take(until)) is None:
            pass
        return batch

    async def take(self, until: float | None) -> Batch | None:
        """Wait once for a batch; None if another task had it. For the SDK's own use."""
        if self._over:
            raise StopAsyncIteration
        if self._pending is None:
            self._loop = asyncio.get_running_loop()
            self._pending = self._loop.create_task(self._source.next())
        pending = self._pending
        limit = None if until is None else until - time.monotonic()
        # This leaves the wait alone when it is cancelled itself.
        done, _ = await asyncio.wait({pending}, timeout=limit)
        if not done:
            raise TimeoutError("nothing came within the timeout")
        mine = self._pending is pending
        if mine:
            self._pending = None
        try:
            batch = pending.result()
        except BaseException:
            self._over = True
            raise
        if not mine:
            return None
        if batch is None:
            self._over = True
            raise StopAsyncIteration
        return self._source.reading.given(batch)

    def close(self) -> None:
        """End the iteration, from any task of the loop."""
        self._over = True  # a task that waits gets an error
        _release(self._source, self._pending)

    async def aclose(self) -> None:
        """`close`, for ``contextlib.aclosing``; it returns when nothing is left running."""
        self.close()
        pending = self._pending
        if pending is not None:
            await asyncio.wait({pending})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Without the loop there is nothing left to release.
        loop = getattr(self, "_loop", None)
        if loop is not None and not self._over:
            with contextlib.suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(_release, self._source, self._pending)

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


def _release(source: Source, pending: asyncio.Task[Batch | None] | None) -> None:
    """End what a reader that nobody holds any more has left."""
    source.close()
    if pending is None or pending.done():
        source.drop(closed("iterator"))
    if pending is not None:
        pending.add_done_callback(_look)


def _look(task: asyncio.Task[Batch | None]) -> None:
    """Look at what came of a wait that nobody waits for, or the loop would complain."""
    if not task.cancelled():
        task.exception()


class AsyncRecordReader:
    """An asynchronous iterator over the records of a log; see `AsyncBatchReader`."""

    def __init__(self, batches: AsyncBatchReader) -> None:
        self._batches = batches
        self._records: Iterator[Record] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record:
        for record in self._records:
            return record
        return await self.next()

    async def next(self, timeout: Seconds | None = None) -> Record:
        """The next record, or a TimeoutError if none comes within the timeout. The reader goes
        on then: what comes later is there for the next call. At the end it raises
        StopAsyncIteration, as the iterator does."""
        until: float | None = None
        began = False
        while True:
            for record in self._records:
                return record
            if not began:
                until, began = deadline(timeout), True
            batch = await self._batches.take(until)
            # Whoever takes a batch found the one before used up: only one wait goes on.
            if batch is not None:
                self._records = iter(batch.records)

    def close(self) -> None:
        """End the iteration, from any task of the loop."""
        self._records = iter(())
        self._batches.close()

    async def aclose(self) -> None:
        """`close`, for ``contextlib.aclosing``; it returns when nothing is left running."""
        self._records = iter(())
        await self._batches.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def log_id(self) -> str:
        """The identity of the log that is read, once the first record came."""
        return self._batches.log_id
