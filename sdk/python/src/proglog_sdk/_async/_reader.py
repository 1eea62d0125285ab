"""Iterators over a log that go on by themselves after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType

from typing_extensions import Self

from .._config import logger
from .._errors import ClosedError, Code, ProglogError, closed, like
from .._flow import LOG
from .._reading import Reading, named, no_life
from .._types import Batch, Record
from ._session import Session, Stream, waited


class AsyncBatchReader:
    """An asynchronous iterator over the batches of a log.

    It ends when the log does: because it is sealed, or what was asked for is there. It raises
    a `ProglogError` when the server says something that cannot pass. One task reads; `close`
    may be called from any other, and what waits then gets a `ClosedError`. Leaving a loop
    early releases the stream as soon as the iterator is let go, or at the end of an
    ``async with``.
    """

    def __init__(self, session: Session, reading: Reading) -> None:
        self._session = session
        self._reading = reading
        self._stream: Stream | None = None
        self._begun = False
        self._over = False
        self._lost = False
        self._busy = False  # a task waits for a batch
        self._stop = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        if self._over:
            raise StopAsyncIteration
        self._busy = True
        try:
            batch = await self._advance()
        except BaseException as error:
            self._end(error if isinstance(error, ProglogError) else None)
            raise
        finally:
            self._busy = False
        if batch is None:
            self._end(None)
            raise StopAsyncIteration
        return batch

    async def _advance(self) -> Batch | None:
        """The next batch; None at the end."""
        reading = self._reading
        if not self._begun:
            await self._session.run(named(reading.begin()), stop=self._stop)
            self._begun = True
        while not reading.done:
            try:
                data = await self._receive()
                if data is None:
                    await self._session.run(reading.ended(), stop=self._stop)
                    return None
                batch = reading.receive(data)
                if batch is not None:
                    return batch
            except ProglogError as error:
                await self._resume(error)
        return None

    async def _receive(self) -> bytes | None:
        if self._stop.is_set():
            raise closed("iterator")
        stream = self._stream or await self._open()
        patience = self._reading.patience
        if patience is None:
            return await stream.receive()
        timer = asyncio.get_running_loop().call_later(patience, self._give_up, stream)
        try:
            return await stream.receive()
        except ProglogError:
            if self._lost:
                stream.retire()
                raise no_life() from None
            raise
        finally:
            timer.cancel()

    def _give_up(self, stream: Stream) -> None:
        self._lost = True
        stream.cancel()

    async def _open(self) -> Stream:
        reading = self._reading
        request = reading.request()
        self._lost = False
        self._stream = await self._session.open_stream(
            LOG, "ConsumeStream", reading.config.log, reading.streams, request
        )
        if self._stop.is_set():  # set before it could cancel this stream
            raise closed("iterator")
        return self._stream

    async def _resume(self, error: ProglogError) -> None:
        """Wait before the next stream, or raise what ends the read."""
        self._drop(error)
        if self._stop.is_set() and not error.from_server:
            if isinstance(error, ClosedError):
                raise error
            raise like(ClosedError, error, code=Code.CANCELED, _permanent=True)
        pause = self._reading.resume(self._session.own(error))
        logger.warning(
            "going on to read at %d after %.2f s: %s", self._reading.next, pause, str(error)
        )
        if await waited(self._stop, pause):
            raise closed("iterator")

    def _drop(self, error: ProglogError | None) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(error)

    def _end(self, error: ProglogError | None) -> None:
        self._over = True
        self._drop(error)

    def close(self) -> None:
        """End the iteration, from any task of the loop."""
        self._stop.set()
        if self._stream is not None:
            self._stream.cancel()
        # A task that waits for a batch gets an error, and ends the rest itself.
        if not self._busy:
            self._end(None)

    async def aclose(self) -> None:
        """`close`, for ``contextlib.aclosing``."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # In the loop's thread this releases the stream at once; elsewhere, or after the loop,
        # there is nothing left to release.
        if getattr(self, "_stream", None) is not None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return
            self._end(None)

    @property
    def next_offset(self) -> int:
        """The offset of the record that is due next; where another read would go on."""
        return self._reading.next

    @property
    def log_id(self) -> str:
        """The identity of the log that is read, once the first record came."""
        return self._reading.log_id


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
        # A batch is never empty.
        self._records = iter((await self._batches.__anext__()).records)
        return next(self._records)

    def close(self) -> None:
        """End the iteration, from any task of the loop."""
        self._records = iter(())
        self._batches.close()

    async def aclose(self) -> None:
        """`close`, for ``contextlib.aclosing``."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._records = iter(())
        await self._batches.__aexit__(kind, error, trace)

    @property
    def log_id(self) -> str:
        """The identity of the log that is read, once the first record came."""
        return self._batches.log_id
