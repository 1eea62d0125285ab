"""Where a reader's batches come from: one stream after the other."""

from __future__ import annotations

import asyncio

from .._config import logger
from .._errors import ClosedError, Code, ProglogError, closed, like
from .._flow import LOG
from .._reading import Reading, named, no_life
from .._session import interrupted
from .._types import Batch
from ._session import Session, Stream, first_of


class Source:
    """Brings batches, to one task at a time, and goes on by itself after a lost connection."""

    def __init__(self, session: Session, reading: Reading) -> None:
        self._session = session
        self.reading = reading
        self.stream: Stream | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._begun = False
        self._lost = False
        self._stop = asyncio.Event()

    async def next(self) -> Batch | None:
        """The next batch; None at the end. Nothing comes after that, nor after an error."""
        try:
            batch = await self._advance()
        except BaseException as error:
            self.drop(error if isinstance(error, ProglogError) else interrupted())
            raise
        if batch is None:
            self.drop(None)
        return batch

    async def _advance(self) -> Batch | None:
        """The next batch; None at the end."""
        reading = self.reading
        if not self._begun:
            try:
                await self._session.run(named(reading.begin()), stop=self._stop)
            except ProglogError as error:
                raise self._own(error) from error.__cause__
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
        stream = self.stream or await self._open()
        patience = self.reading.patience
        if patience is None:
            return await stream.receive()
        loop = asyncio.get_running_loop()
        self.timer = timer = loop.call_later(patience, self._give_up, stream)
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
        reading = self.reading
        request = reading.request()
        self._lost = False
        self.stream = await self._session.open_stream(
            LOG, "ConsumeStream", reading.config.log, reading.streams, request, self._stop
        )
        if self._stop.is_set():  # set before it could cancel this stream
            raise closed("iterator")
        return self.stream

    async def _resume(self, error: ProglogError) -> None:
        """Wait before the next stream, or raise what ends the read."""
        self.drop(error)
        pause = self.reading.resume(self._own(error))
        logger.warning(
            "going on to read at %d after %.2f s: %s", self.reading.next, pause, str(error)
        )
        # What follows tells of those.
        await first_of(pause, self._stop, self._session.closed)

    def _own(self, error: ProglogError) -> ProglogError:
        """An error as it is told: whatever breaks after `close` is that it was closed."""
        own = self._session.own(error)
        if self._stop.is_set() and not isinstance(own, ClosedError) and not own.from_server:
            return like(ClosedError, own, code=Code.CANCELED, _permanent=True)
        return own

    def drop(self, error: ProglogError | None) -> None:
        """Let the stream go, which ended with this error."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close(error)

    def close(self) -> None:
        """Break off what waits, in the loop; it gets a ClosedError."""
        self._stop.set()
        if self.stream is not None:
            self.stream.cancel()
