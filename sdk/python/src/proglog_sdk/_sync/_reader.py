"""Iterators over a log that go on by themselves after a lost connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType

from typing_extensions import Self

from .._config import logger
from .._errors import ClosedError, Code, ProglogError, closed, like
from .._flow import LOG
from .._reading import Reading, named, no_life
from .._types import Batch, Record
from ._session import Session, Stream
from ._watchdog import Watch


class BatchReader:
    """An iterator over the batches of a log.

    It ends when the log does: because it is sealed, or what was asked for is there. It raises
    a `ProglogError` when the server says something that cannot pass. One thread reads;
    `close` may be called from any, and what waits then gets a `ClosedError`. Leaving a loop
    early releases the stream as soon as the iterator is let go, or at the end of a ``with``.
    """

    def __init__(self, session: Session, reading: Reading) -> None:
        self._session = session
        self._reading = reading
        self._stream: Stream | None = None
        self._watch: Watch | None = None
        self._begun = False
        self._over = False
        self._stop = threading.Event()
        self._use = threading.Lock()  # held while a thread waits for a batch

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        with self._use:
            if self._over:
                raise StopIteration
            try:
                batch = self._advance()
            except BaseException as error:
                self._end(error if isinstance(error, ProglogError) else None)
                raise
            if batch is None:
                self._end(None)
                raise StopIteration
        return batch

    def _advance(self) -> Batch | None:
        """The next batch; None at the end."""
        reading = self._reading
        if not self._begun:
            self._session.run(named(reading.begin()), stop=self._stop)
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
        stream = self._stream or self._open()
        patience, watch = self._reading.patience, self._watch
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
        reading = self._reading
        request = reading.request()
        stream = self._session.open_stream(
            LOG, "ConsumeStream", reading.config.log, reading.streams, request
        )
        self._stream = stream
        if reading.patience is not None:
            self._watch = self._session.watchdog.watch(stream.cancel)
        if self._stop.is_set():  # set before it could cancel this stream
            raise closed("iterator")
        return stream

    def _resume(self, error: ProglogError) -> None:
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
        if self._stop.wait(pause):
            raise closed("iterator")

    def _drop(self, error: ProglogError | None) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            self._session.watchdog.release(watch)
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(error)

    def _end(self, error: ProglogError | None) -> None:
        self._over = True
        self._drop(error)

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._stop.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()
        # A thread that waits for a batch gets an error, and ends the rest itself.
        if self._use.acquire(blocking=False):
            try:
                self._end(None)
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
        if hasattr(self, "_use"):
            self.close()

    @property
    def next_offset(self) -> int:
        """The offset of the record that is due next; where another read would go on."""
        return self._reading.next

    @property
    def log_id(self) -> str:
        """The identity of the log that is read, once the first record came."""
        return self._reading.log_id


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
        # A batch is never empty.
        self._records = iter(next(self._batches).records)
        return next(self._records)

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
