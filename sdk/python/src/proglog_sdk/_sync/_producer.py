"""The producer for threads."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from typing_extensions import Self

from .. import _checks as checks
from .._batch import SendBatch
from .._batching import ProducerCore
from .._codec import REQUEST_RECORDS, encode_record
from .._config import logger
from .._errors import ProglogError, outcome
from .._limits import as_record, check_record
from .._types import Outcome, RecordLike, Seconds
from ._cancel import current_scopes
from ._future import SendFuture
from ._sending import Sending
from ._session import Session

__all__ = ["Producer", "SendFuture"]


class Producer:
    """Appends many records over one stream, without waiting for one before the next is sent.

    Records get their offsets in the order of `send`, and are acknowledged in that order. What
    waits goes out together, as an atomic batch; when the connection is lost, or the server
    stops or is overloaded, the producer connects again and sends again what was not
    acknowledged: each record is in the log once, in order. It is safe for use by many threads.

    What cannot pass ends the producer. Every future is done then, and its error says whether
    its record is in the log. In the order of `send` these are three runs, each may be empty:
    acknowledged, unknown, not in the log.

    One that nobody holds any more sends what it took, and ends; `close` tells what came of it.
    """

    def __init__(self, session: Session, core: ProducerCore) -> None:
        self._sending = Sending(session, core)
        self._sending.start()

    def send(self, record: RecordLike, timeout: Seconds | None = None) -> SendFuture:
        """Take a record, and return at once unless too much is in flight: then wait for room.

        A NothingAppendedError says that the record was not taken: it is over a limit, the
        producer has ended, or there was no room within the timeout or until a `CancelScope`
        was cancelled.
        """
        record = as_record(record)
        limit = checks.timeout("timeout", timeout)
        sending = self._sending
        waited = sending.await_bounds(limit)
        try:
            size = check_record(sending.core.limits, record)
            encoded = encode_record(record, REQUEST_RECORDS)
            batch, index = sending.add(encoded, 1, size, limit, waited)
        except ProglogError as error:
            raise outcome(error) from error.__cause__
        finally:
            if waited:
                sending.leave()
        return SendFuture(batch, index, sending)

    def add(
        self, encoded: bytes, records: int, size: int, timeout: float | None
    ) -> tuple[SendBatch, int]:
        """Take encoded records for one batch; for the client's own use."""
        waited = self._sending.await_bounds(timeout)
        try:
            return self._sending.add(encoded, records, size, timeout, waited)
        finally:
            if waited:
                self._sending.leave()

    def flush(self, timeout: Seconds | None = None) -> None:
        """Send what waits, and return when every record sent before is acknowledged. Raises
        the error that ended the producer, if one did, TimeoutError, and CANCELED if a
        `CancelScope` ended the wait: the records may be acknowledged then; in a callback of a
        future, a RuntimeError if it would have to wait."""
        limit = checks.timeout("timeout", timeout)
        sending = self._sending
        with sending.lock:
            last = sending.core.last
            if last is not None and last.settled:
                last = None
            if last is not None:
                sending.check_wait("flush")
            sending.core.flush()
            sending.wake.notify_all()
        if last is not None and not last.event.wait_in_scopes(limit):
            raise TimeoutError("not everything is acknowledged yet")
        self._raise_error()

    def close(self, timeout: Seconds | None = None) -> None:
        """Take no more records, and wait until the others are acknowledged; so are those of a
        `send` that another thread began before, and that still waits.

        After the timeout, or when a `CancelScope` is cancelled, the stream is broken off, which
        leaves the outcome of what was in flight unknown. Raises the error that ended the
        producer, if one did. A callback of a future runs in the producer's thread, so that it
        gets a RuntimeError.
        """
        limit = checks.timeout("timeout", timeout)
        sending = self._sending
        if not sending.done.is_set():
            sending.check_wait("close")
        sending.close()
        if not sending.done.wait(limit, current_scopes()):
            sending.abort()
        elif threading.current_thread() is not sending.thread:
            sending.thread.join()
        self._raise_error()

    def abort(self) -> None:
        """End at once, and leave the outcome of what was in flight unknown."""
        self._sending.abort()

    def __del__(self) -> None:
        # At the end of the program the thread may have stopped with the lock in its hands.
        sending = getattr(self, "_sending", None)
        if sending is not None and not sending.done.is_set() and not sys.is_finalizing():
            sending.close()

    def _raise_error(self) -> None:
        if self._sending.core.error is not None:
            raise self._sending.core.error

    @property
    def done(self) -> bool:
        """The producer has ended, and so are all futures."""
        return self._sending.done.is_set()

    @property
    def closing(self) -> bool:
        """The producer takes no more records."""
        return self._sending.core.leaving

    @property
    def error(self) -> ProglogError | None:
        """What ended the producer; None while it runs and after a clean close."""
        return self._sending.core.error

    @property
    def outcome(self) -> Outcome:
        """What became of the records so far."""
        with self._sending.lock:
            return self._sending.core.outcome()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, Exception):
            try:
                self.close()
            except ProglogError:
                logger.exception("the producer failed too")
        else:
            self.abort()
