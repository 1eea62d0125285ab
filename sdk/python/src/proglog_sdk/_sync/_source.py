"""Where a reader's batches come from: one stream after the other."""

from __future__ import annotations

from .._config import logger
from .._errors import ClosedError, Code, ProglogError, closed, like
from .._flow import LOG
from .._reading import Reading, named, no_life
from .._session import interrupted
from .._types import Batch
from ._cancel import Stop, Stops
from ._session import Session, Stream
from ._watchdog import Watch


class Source:
    """Brings batches, to one thread at a time, and goes on by itself after a lost
    connection. `close` may be called from any thread."""

    def __init__(self, session: Session, reading: Reading) -> None:
        self._session = session
        self.reading = reading
        self.stream: Stream | None = None
        self.watch: Watch | None = None
        self._begun = False
        self._stop = Stop()

    def next(self) -> Batch | None:
        """The next batch; None at the end. Nothing comes after that, nor after an error."""
        try:
            batch = self._advance()
        except BaseException as error:
            self.drop(error if isinstance(error, ProglogError) else interrupted())
            raise
        if batch is None:
            self.drop(None)
        return batch

    def _advance(self) -> Batch | None:
        """The next batch; None at the end."""
        reading = self.reading
        if not self._begun:
            try:
                self._session.run(named(reading.begin()), stop=self._stop)
            except ProglogError as error:
                raise self._own(error) from error.__cause__
            self._begun = True
        while not reading.done:
            try:
                data = self._receive()
                if data is None:
                    self._session.run(reading.ended(), stop=self._stop)
                    return None
                batch = reading.receive(data)
                if batch is not None:
                    return batch
            except ProglogError as error:
                self._resume(error)
        return None

    def _receive(self) -> bytes | None:
        if self._stop.is_set():
            raise closed("iterator")
        stream = self.stream or self._open()
        patience, watch = self.reading.patience, self.watch
        if patience is None or watch is None:
            return stream.receive()
        watch.begin(patience)
        try:
            return stream.receive()
        except ProglogError:
            if watch.lost:
                stream.retire()
                raise no_life() from None
            raise
        finally:
            watch.end()

    def _open(self) -> Stream:
        reading = self.reading
        request = reading.request()
        stream = self._session.open_stream(
            LOG, "ConsumeStream", reading.config.log, reading.streams, request
        )
        self.stream = stream
        if reading.patience is not None:
            self.watch = self._session.watchdog.watch(stream.cancel)
        if self._stop.is_set():  # set before it could cancel this stream
            raise closed("iterator")
        return stream

    def _resume(self, error: ProglogError) -> None:
        """Wait before the next stream, or raise what ends the read."""
        self.drop(error)
        pause = self.reading.resume(self._own(error))
        logger.warning(
            "going on to read at %d after %.2f s: %s", self.reading.next, pause, str(error)
        )
        Stops(self._stop, self._session.closed).wait(pause)  # what follows tells of them

    def _own(self, error: ProglogError) -> ProglogError:
        """An error as it is told: whatever breaks after `close` is that it was closed."""
        own = self._session.own(error)
        if self._stop.is_set() and not isinstance(own, ClosedError) and not own.from_server:
            return like(ClosedError, own, code=Code.CANCELED, _permanent=True)
        return own

    def drop(self, error: ProglogError | None) -> None:
        """Let the stream go, which ended with this error."""
        watch, self.watch = self.watch, None
        if watch is not None:
            self._session.watchdog.release(watch)
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close(error)

    @property
    def closing(self) -> bool:
        """`close` was called."""
        return self._stop.is_set()

    def close(self) -> None:
        """Break off what waits, from any thread; it gets a ClosedError."""
        self._stop.set()
        stream = self.stream
        if stream is not None:
            stream.cancel()
