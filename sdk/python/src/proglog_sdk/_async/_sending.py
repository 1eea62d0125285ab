"""The part of a producer that runs: a task that sends, and takes the acknowledgements."""

from __future__ import annotations

import asyncio
import time

from .._batch import SendBatch
from .._batching import Next, ProducerCore
from .._config import logger
from .._errors import Code, ProglogError, closed, outcome, refused
from .._flow import LOG
from .._session import interrupted
from ._future import announce
from ._session import Session, Stream, waited


class Sending:
    """What the handle of a producer and its task share.

    The task does not know the handle: one that is let go of has its records sent, and then
    ends the task.
    """

    def __init__(self, session: Session, core: ProducerCore) -> None:
        self._session = session
        self.core = core
        self.wake = asyncio.Event()  # for the task that sends: something changed
        self.room = asyncio.Event()  # for those who wait to add: something was settled
        self.asked = asyncio.Event()  # the server was asked for its bounds
        self._abort = asyncio.Event()
        self._stream: Stream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cut = False  # the stream, because nothing came in time
        self.loop = asyncio.get_running_loop()
        self.task = self.loop.create_task(self._run())
        session.running.add(self)
        self.task.add_done_callback(lambda _: session.running.discard(self))

    # For those who add records.

    async def await_bounds(self, timeout: float | None) -> None:
        """Wait until the server was asked for its bounds. The caller counts among the senders
        then, and has to leave."""
        self.core.enter()
        try:
            if not await _waited(self.asked, timeout):
                raise _no_room("the server was not reached within the timeout")
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Count no longer among the senders."""
        self.core.leave()
        self.wake.set()

    async def add(
        self, encoded: bytes, records: int, size: int, timeout: float | None, entered: bool
    ) -> tuple[SendBatch, int]:
        """Put encoded records into a batch, when there is room; whoever entered before keeps
        the place among the senders."""
        core = self.core
        if not core.room_for(size, records):
            if not entered:
                core.enter()
            try:
                await self._await_room(size, records, timeout)
                batch, index = core.add(encoded, records, size, time.monotonic(), True)
            finally:
                if not entered:
                    self.leave()
        else:
            batch, index = core.add(encoded, records, size, time.monotonic(), entered)
        if index == 0:
            batch.event = asyncio.Event()
            self.wake.set()
        elif batch.records >= core.batch_records:
            self.wake.set()
        return batch, index

    async def _await_room(self, size: int, records: int, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.core.room_for(size, records):
            self.room.clear()
            left = None if deadline is None else deadline - time.monotonic()
            if not await _waited(self.room, left):
                raise _no_room("there was no room in flight within the timeout")

    # Ends.

    def close(self) -> None:
        """Take no more records, and end when the others are acknowledged."""
        self.core.close()
        self.stir()

    def break_off(self) -> None:
        """Have the task end at once, without a wait."""
        self.core.abort()
        self._abort.set()
        self.stir()
        if self._stream is not None:
            self._stream.cancel()

    async def abort(self) -> None:
        """Have the task end at once."""
        self.break_off()
        await asyncio.wait({self.task})

    def stir(self) -> None:
        """Have all look who wait."""
        self.wake.set()
        self.room.set()

    # The producer's task.

    async def _run(self) -> None:
        """The life of a producer: streams, one after the other."""
        failure: ProglogError | None = ProglogError(
            Code.CANCELED, "the producer's task was cancelled"
        )
        try:
            refusal = await self._learn()
            step = Next(end=refusal is not None, error=refusal)
            while not step.end:
                if await self._pause(step.pause) and await self._await_work():
                    error = await self._judge(await self._use_stream())
                else:
                    error = self._left() if self._stopped else None
                refusal = await self._learn()
                step = self.core.go_on(error, time.monotonic())
                if refusal is not None and not step.end:
                    step = Next(end=True, error=refusal)
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

    async def _learn(self) -> ProglogError | None:
        refusal = None
        if not self._stopped:
            now = time.monotonic()
            own = self._session.config.timeout
            limit = self.core.ask_patience(now) if own is None else own
            refusal = await self._session.run(self.core.learn(now), limit, self._abort)
        self.asked.set()
        return None if self._stopped else refusal

    async def _judge(self, error: ProglogError | None) -> ProglogError | None:
        if error is None or self._stopped:
            return error
        now = time.monotonic()
        return await self._session.run(self.core.judge(error, now), stop=self._abort)

    async def _pause(self, seconds: float) -> bool:
        if seconds > 0 and not self._stopped:
            await waited(self._abort, seconds)
        return not self._stopped

    async def _await_work(self) -> bool:
        """Wait until there is something to send, so that a producer that has nothing does not
        keep a server busy that wants to stop."""
        core = self.core
        while core.idle and not core.closing and not self._stopped:
            self.wake.clear()
            await self.wake.wait()
        return not self._stopped and not (core.closing and core.idle)

    def _left(self) -> ProglogError:
        own = closed("client" if self._session.closed.is_set() else "producer")
        own.nothing_appended = False
        return own

    async def _use_stream(self) -> ProglogError | None:
        """Send and receive over a stream until it ends, and return why; None if everything is
        done."""
        core = self.core
        core.begin(time.monotonic())
        self._cut = False
        self._watch()
        failure: ProglogError | None = interrupted()
        writer: asyncio.Task[None] | None = None
        stream: Stream | None = None
        try:
            stream = self._stream = await self._session.open_stream(
                LOG, "ProduceStream", core.config.log, core.streams, None, self._abort
            )
            if self._stopped or self._cut:
                stream.cancel()
            writer = asyncio.get_running_loop().create_task(self._write(stream))
            while (data := await stream.receive()) is not None:
                batch = core.acknowledge(data, time.monotonic())
                self.stir()
                announce(batch)
            failure = core.clean_end()
        except ProglogError as error:
            failure = core.unanswered() if self._cut else error
            if self._cut and stream is not None:
                stream.retire()
        finally:
            self._stream = None
            self._unwatch()
            if stream is not None:
                stream.close(failure)
            if writer is not None:
                writer.cancel()
                await asyncio.wait({writer})
        if writer is not None and not writer.cancelled():
            fault = writer.exception()
            if fault is not None:
                raise fault
        return failure

    def _watch(self) -> None:
        """Have the stream looked at when the producer's patience is over."""
        left = self.core.patience.left(time.monotonic())
        if left is not None and self._timer is None:
            self._timer = self.loop.call_later(left, self._look)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Cut the stream off if it brought nothing in time."""
        self._timer = None
        self._cut = self.core.patience.over(time.monotonic())
        if not self._cut:
            self._watch()
        elif self._stream is not None:
            self._stream.cancel()

    async def _write(self, stream: Stream) -> None:
        """Send batches until the stream ends, or everything is sent and no more will come."""
        try:
            await self._write_all(stream)
        except BaseException:
            stream.cancel()  # or nobody would look why
            raise

    async def _write_all(self, stream: Stream) -> None:
        core, first = self.core, True
        while True:
            self.wake.clear()
            now = time.monotonic()
            request = core.take(first, now)
            if request is not None:
                first = False
                self._watch()
                if not await stream.send(request):
                    return
                continue
            core.close_if_idle(now)
            if core.drained:
                await stream.end_requests()
                return
            await _waited(self.wake, core.wake_in(now))

    def _end(self, error: ProglogError | None) -> None:
        for batch in self.core.end(error):
            announce(batch)
        self.asked.set()
        self.stir()


async def _waited(event: asyncio.Event, seconds: float | None) -> bool:
    if seconds is None:
        await event.wait()
        return True
    return await waited(event, seconds)


def _no_room(message: str) -> ProglogError:
    return outcome(refused(Code.DEADLINE_EXCEEDED, message))
