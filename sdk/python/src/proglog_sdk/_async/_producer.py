"""The producer for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

from typing_extensions import Self

from .._batch import SendBatch
from .._batching import Next, ProducerCore
from .._codec import REQUEST_RECORDS, encode_record
from .._config import logger
from .._errors import Code, ProglogError, closed, outcome, refused
from .._flow import LOG
from .._limits import as_record, check_record
from .._types import Ack, Outcome, RecordLike, Seconds, optional_seconds
from ._session import Session, Stream, waited


class AsyncSendFuture:
    """The acknowledgement of one record to come: await it, as often as you like."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: SendBatch, index: int) -> None:
        self._batch = batch
        self._index = index

    def __await__(self) -> Generator[Any, None, Ack]:
        """The acknowledgement, or raise what the record failed with: a NothingAppendedError or
        an OutcomeUnknownError."""
        if not self._batch.settled:
            yield from self._batch.event.wait().__await__()
        return self.result()

    def done(self) -> bool:
        """Whether the record's fate is known."""
        return self._batch.settled

    def result(self) -> Ack:
        """The acknowledgement of a future that is done, or raise what its record failed with."""
        if not self._batch.settled:
            raise asyncio.InvalidStateError("the record's fate is not known yet")
        return self._batch.ack_of(self._index)

    def exception(self) -> ProglogError | None:
        """What the record of a future that is done failed with, or None."""
        if not self._batch.settled:
            raise asyncio.InvalidStateError("the record's fate is not known yet")
        return self._batch.error

    def add_done_callback(self, call: Callable[[AsyncSendFuture], object]) -> None:
        """Have a function called with this future, by the loop, when it is done."""
        loop = asyncio.get_running_loop()
        if self._batch.settled:
            loop.call_soon(call, self)
        else:

            def tell() -> None:
                loop.call_soon(call, self)

            self._batch.listeners.append(tell)


class AsyncProducer:
    """Appends many records over one stream, without waiting for one before the next is sent.

    Records get their offsets in the order of `send`, and are acknowledged in that order. What
    waits goes out together, as an atomic batch; when the connection is lost, or the server
    stops or is overloaded, the producer connects again and sends again what was not
    acknowledged: each record is in the log once, in order. It is for one event loop.

    What cannot pass ends the producer. Every future is done then, and its error says whether
    its record is in the log. In the order of `send` these are three runs, each may be empty:
    acknowledged, unknown, not in the log.
    """

    def __init__(self, session: Session, core: ProducerCore) -> None:
        self._session = session
        self._core = core
        self._wake = asyncio.Event()  # for the task that sends: something changed
        self._room = asyncio.Event()  # for those who wait to add: something was settled
        self._asked = asyncio.Event()  # the server was asked for its bounds
        self._abort = asyncio.Event()
        self._stream: Stream | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def send(self, record: RecordLike, timeout: Seconds | None = None) -> AsyncSendFuture:
        """Take a record, and return at once unless too much is in flight: then wait for room.

        Await the result for the acknowledgement. A NothingAppendedError says that the record
        was not taken: it is over a limit, the producer has ended, or there was no room within
        the timeout.
        """
        record = as_record(record)
        limit = optional_seconds(timeout)
        waited = not self._asked.is_set()
        if waited:
            await self._await_bounds(limit)
        try:
            size = check_record(self._core.limits, record)
            encoded = encode_record(record, REQUEST_RECORDS)
            batch, index = await self._add(encoded, 1, size, limit, waited)
        except ProglogError as error:
            raise outcome(error) from error.__cause__
        finally:
            if waited:
                self._leave()
        return AsyncSendFuture(batch, index)

    async def _await_bounds(self, timeout: float | None) -> None:
        """Wait until the server was asked for its bounds. The caller counts among the senders
        then, and has to leave."""
        self._core.enter()
        try:
            if not await _waited(self._asked, timeout):
                raise _no_room("the server was not reached within the timeout")
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        self._core.leave()
        self._wake.set()

    async def add(
        self, encoded: bytes, records: int, size: int, timeout: float | None
    ) -> tuple[SendBatch, int]:
        """Take encoded records for one batch; for the client's own use."""
        waited = not self._asked.is_set()
        if waited:
            await self._await_bounds(timeout)
        try:
            return await self._add(encoded, records, size, timeout, waited)
        finally:
            if waited:
                self._leave()

    async def _add(
        self, encoded: bytes, records: int, size: int, timeout: float | None, entered: bool
    ) -> tuple[SendBatch, int]:
        core = self._core
        if not core.room_for(size, records):
            if not entered:
                core.enter()
            try:
                await self._await_room(size, records, timeout)
                batch, index = core.add(encoded, records, size, time.monotonic(), True)
            finally:
                if not entered:
                    self._leave()
        else:
            batch, index = core.add(encoded, records, size, time.monotonic(), entered)
        if index == 0:
            batch.event = asyncio.Event()
            self._wake.set()
        elif batch.records >= core.batch_records:
            self._wake.set()
        return batch, index

    async def _await_room(self, size: int, records: int, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._core.room_for(size, records):
            self._room.clear()
            left = None if deadline is None else deadline - time.monotonic()
            if not await _waited(self._room, left):
                raise _no_room("there was no room in flight within the timeout")

    async def flush(self) -> None:
        """Send what waits, and return when every record sent before is acknowledged. Raises
        the error that ended the producer, if one did."""
        last = self._core.last
        self._core.flush()
        self._wake.set()
        if last is not None:
            await last.event.wait()
        self._raise_error()

    async def close(self, timeout: Seconds | None = None) -> None:
        """Take no more records, and wait until the others are acknowledged; so are those of a
        `send` that another task began before, and that still waits.

        After the timeout the stream is broken off, which leaves the outcome of what was in
        flight unknown. Raises the error that ended the producer, if one did.
        """
        self._core.close()
        self._stir()
        done, _ = await asyncio.wait({self._task}, timeout=optional_seconds(timeout))
        if not done:
            await self.abort()
        self._raise_error()

    async def abort(self) -> None:
        """End at once, and leave the outcome of what was in flight unknown."""
        self._core.abort()
        self._abort.set()
        self._stir()
        if self._stream is not None:
            self._stream.cancel()
        await asyncio.wait({self._task})

    def _stir(self) -> None:
        self._wake.set()
        self._room.set()

    def _raise_error(self) -> None:
        if self._core.error is not None:
            raise self._core.error

    @property
    def done(self) -> bool:
        """The producer has ended, and so are all futures."""
        return self._task.done()

    @property
    def closing(self) -> bool:
        """The producer takes no more records."""
        return self._core.leaving

    @property
    def error(self) -> ProglogError | None:
        """What ended the producer; None while it runs and after a clean close."""
        return self._core.error

    @property
    def outcome(self) -> Outcome:
        """What became of the records so far."""
        return self._core.outcome()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.close()
        elif issubclass(kind, Exception):
            try:
                await self.close()
            except ProglogError:
                logger.exception("the producer failed too")
        else:
            await self.abort()

    # The producer's task.

    async def _run(self) -> None:
        """The life of a producer: streams, one after the other."""
        failure: ProglogError | None = ProglogError(
            Code.CANCELED, "the producer's task was cancelled"
        )
        try:
            await self._learn()
            step = Next()
            while not step.end:
                if await self._pause(step.pause) and await self._await_work():
                    error = await self._use_stream()
                else:
                    error = self._left() if self._stopped else None
                await self._learn()
                step = self._core.go_on(error, time.monotonic())
                if error is not None and self._stopped:
                    step = Next(end=True, error=self._left())
                if error is not None and not step.end:
                    logger.warning("going on to produce after %.2f s: %s", step.pause, str(error))
            failure = step.error
        except Exception as bug:  # nobody may wait for ever
            logger.exception("the producer's task failed")
            failure = ProglogError(Code.INTERNAL, f"the producer failed: {bug!r}")
        finally:
            self._end(failure)

    @property
    def _stopped(self) -> bool:
        return self._abort.is_set() or self._session.closed.is_set()

    async def _learn(self) -> None:
        if not self._stopped:
            await self._session.run(self._core.learn())
        self._asked.set()

    async def _pause(self, seconds: float) -> bool:
        if seconds > 0 and not self._stopped:
            await waited(self._abort, seconds)
        return not self._stopped

    async def _await_work(self) -> bool:
        """Wait until there is something to send, so that a producer that has nothing does not
        keep a server busy that wants to stop."""
        core = self._core
        while core.idle and not core.closing and not self._stopped:
            self._wake.clear()
            await self._wake.wait()
        return not self._stopped and not (core.closing and core.idle)

    def _left(self) -> ProglogError:
        own = closed("client" if self._session.closed.is_set() else "producer")
        own.nothing_appended = False
        return own

    async def _use_stream(self) -> ProglogError | None:
        """Send and receive over a stream until it ends, and return why; None if everything is
        done."""
        core = self._core
        core.sent = 0
        core.streams += 1
        failure: ProglogError | None = None
        writer: asyncio.Task[None] | None = None
        stream: Stream | None = None
        try:
            stream = self._stream = await self._session.open_stream(
                LOG, "ProduceStream", core.config.log, core.streams, None
            )
            if self._stopped:
                stream.cancel()
            writer = asyncio.get_running_loop().create_task(self._write(stream))
            while (data := await stream.receive()) is not None:
                batch = core.acknowledge(data)
                self._stir()
                _announce(batch)
            failure = core.clean_end()
        except ProglogError as error:
            failure = error
        finally:
            self._stream = None
            if stream is not None:
                stream.close(failure)
            if writer is not None:
                writer.cancel()
                await asyncio.wait({writer})
        return failure

    async def _write(self, stream: Stream) -> None:
        """Send batches until the stream ends, or everything is sent and no more will come."""
        core, first = self._core, True
        while True:
            self._wake.clear()
            now = time.monotonic()
            request = core.take(first, now)
            if request is not None:
                first = False
                if not await stream.send(request):
                    return
                continue
            core.close_if_idle(now)
            if core.drained:
                await stream.end_requests()
                return
            await _waited(self._wake, core.wake_in(now))

    def _end(self, error: ProglogError | None) -> None:
        for batch in self._core.end(error):
            _announce(batch)
        self._asked.set()
        self._stir()


def _announce(batch: SendBatch) -> None:
    """Tell those who wait that a batch's fate is known."""
    batch.event.set()
    for listener in batch.listeners:
        listener()


async def _waited(event: asyncio.Event, seconds: float | None) -> bool:
    if seconds is None:
        await event.wait()
        return True
    return await waited(event, seconds)


def _no_room(message: str) -> ProglogError:
    return outcome(refused(Code.DEADLINE_EXCEEDED, message))
