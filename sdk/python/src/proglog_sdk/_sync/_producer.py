"""The producer for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from typing_extensions import Self

from .._batch import SendBatch
from .._batching import Next, ProducerCore
from .._codec import REQUEST_RECORDS, encode_record
from .._config import logger
from .._errors import Code, ProglogError, closed, outcome, refused
from .._flow import LOG
from .._limits import as_record, check_record
from .._types import Ack, Outcome, RecordLike, Seconds, optional_seconds
from ._session import Session


class SendFuture:
    """The acknowledgement of one record to come, in the manner of concurrent.futures."""

    __slots__ = ("_batch", "_index", "_lock")

    def __init__(self, batch: SendBatch, index: int, lock: threading.Lock) -> None:
        self._batch = batch
        self._index = index
        self._lock = lock

    def done(self) -> bool:
        """Whether the record's fate is known."""
        return self._batch.settled

    def result(self, timeout: Seconds | None = None) -> Ack:
        """Wait for the acknowledgement, or raise what the record failed with: a
        NothingAppendedError or an OutcomeUnknownError. A TimeoutError says nothing about the
        record; ask again."""
        self._wait(timeout)
        return self._batch.ack_of(self._index)

    def exception(self, timeout: Seconds | None = None) -> ProglogError | None:
        """Wait, and return what the record failed with, or None."""
        self._wait(timeout)
        return self._batch.error

    def add_done_callback(self, call: Callable[[SendFuture], object]) -> None:
        """Have a function called with this future when it is done, in the producer's thread;
        at once if it is done already."""
        with self._lock:
            if not self._batch.settled:
                self._batch.listeners.append(lambda: _tell(call, self))
                return
        _tell(call, self)

    def _wait(self, timeout: Seconds | None) -> None:
        event: threading.Event = self._batch.event
        if not event.wait(optional_seconds(timeout)):
            raise TimeoutError("the record's fate is not known yet")


def _tell(call: Callable[[SendFuture], object], future: SendFuture) -> None:
    try:
        call(future)
    except Exception:
        logger.exception("a callback of a producer's future failed")


class Producer:
    """Appends many records over one stream, without waiting for one before the next is sent.

    Records get their offsets in the order of `send`, and are acknowledged in that order. What
    waits goes out together, as an atomic batch; when the connection is lost, or the server
    stops or is overloaded, the producer connects again and sends again what was not
    acknowledged: each record is in the log once, in order. It is safe for use by many threads.

    What cannot pass ends the producer. Every future is done then, and its error says whether
    its record is in the log. In the order of `send` these are three runs, each may be empty:
    acknowledged, unknown, not in the log.
    """

    def __init__(self, session: Session, core: ProducerCore) -> None:
        self._session = session
        self._core = core
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)  # for the thread that sends
        self._room = threading.Condition(self._lock)  # for those who wait to add
        self._asked = threading.Event()  # the server was asked for its bounds
        self._done = threading.Event()
        self._abort = threading.Event()
        self._requests: _Requests | None = None
        self._thread = threading.Thread(target=self._run, name="proglog-producer", daemon=True)
        self._thread.start()

    def send(self, record: RecordLike, timeout: Seconds | None = None) -> SendFuture:
        """Take a record, and return at once unless too much is in flight: then wait for room.

        A NothingAppendedError says that the record was not taken: it is over a limit, the
        producer has ended, or there was no room within the timeout.
        """
        record = as_record(record)
        limit = optional_seconds(timeout)
        waited = self._await_bounds(limit)
        try:
            size = check_record(self._core.limits, record)
            encoded = encode_record(record, REQUEST_RECORDS)
            batch, index = self._add(encoded, 1, size, limit, waited)
        except ProglogError as error:
            raise outcome(error) from error.__cause__
        finally:
            if waited:
                self._leave()
        return SendFuture(batch, index, self._lock)

    def _await_bounds(self, timeout: float | None) -> bool:
        """Wait until the server was asked for its bounds, and say whether that took time: then
        the caller counts among the senders, and has to leave."""
        if self._asked.is_set():
            return False
        with self._lock:
            self._core.enter()
        if not self._asked.wait(timeout):
            self._leave()
            raise _no_room("the server was not reached within the timeout")
        return True

    def _leave(self) -> None:
        with self._lock:
            self._core.leave()
            self._wake.notify_all()

    def add(
        self, encoded: bytes, records: int, size: int, timeout: float | None
    ) -> tuple[SendBatch, int]:
        """Take encoded records for one batch; for the client's own use."""
        waited = self._await_bounds(timeout)
        try:
            return self._add(encoded, records, size, timeout, waited)
        finally:
            if waited:
                self._leave()

    def _add(
        self, encoded: bytes, records: int, size: int, timeout: float | None, entered: bool
    ) -> tuple[SendBatch, int]:
        core = self._core
        with self._lock:
            if not core.room_for(size, records):
                if not entered:
                    core.enter()
                try:
                    self._await_room(size, records, timeout)
                    batch, index = core.add(encoded, records, size, time.monotonic(), True)
                finally:
                    if not entered:
                        core.leave()
                        self._wake.notify_all()
            else:
                batch, index = core.add(encoded, records, size, time.monotonic(), entered)
            if index == 0:
                batch.event = threading.Event()
                self._wake.notify_all()
            elif batch.records >= core.batch_records:
                self._wake.notify_all()
        return batch, index

    def _await_room(self, size: int, records: int, timeout: float | None) -> None:
        if not self._room.wait_for(lambda: self._core.room_for(size, records), timeout):
            raise _no_room("there was no room in flight within the timeout")

    def flush(self, timeout: Seconds | None = None) -> None:
        """Send what waits, and return when every record sent before is acknowledged. Raises
        the error that ended the producer, if one did, and TimeoutError."""
        with self._lock:
            last = self._core.last
            self._core.flush()
            self._wake.notify_all()
        if last is not None and not last.event.wait(optional_seconds(timeout)):
            raise TimeoutError("not everything is acknowledged yet")
        self._raise_error()

    def close(self, timeout: Seconds | None = None) -> None:
        """Take no more records, and wait until the others are acknowledged; so are those of a
        `send` that another thread began before, and that still waits.

        After the timeout the stream is broken off, which leaves the outcome of what was in
        flight unknown. Raises the error that ended the producer, if one did.
        """
        with self._lock:
            self._core.close()
            self._wake.notify_all()
            self._room.notify_all()
        if not self._done.wait(optional_seconds(timeout)):
            self.abort()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._raise_error()

    def abort(self) -> None:
        """End at once, and leave the outcome of what was in flight unknown."""
        self._abort.set()
        with self._lock:
            self._core.abort()
            requests = self._requests
            self._wake.notify_all()
            self._room.notify_all()
        if requests is not None:
            requests.cancel()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _raise_error(self) -> None:
        if self._core.error is not None:
            raise self._core.error

    @property
    def done(self) -> bool:
        """The producer has ended, and so are all futures."""
        return self._done.is_set()

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
        with self._lock:
            return self._core.outcome()

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

    # The producer's thread.

    def _run(self) -> None:
        """The life of a producer: streams, one after the other."""
        try:
            self._learn()
            step = Next()
            while not step.end:
                if self._pause(step.pause) and self._await_work():
                    error = self._use_stream()
                else:
                    error = self._left() if self._stopped else None
                self._learn()
                with self._lock:
                    step = self._core.go_on(error, time.monotonic())
                    if error is not None and self._stopped:
                        step = Next(end=True, error=self._left())
                if error is not None and not step.end:
                    logger.warning("going on to produce after %.2f s: %s", step.pause, str(error))
            self._end(step.error)
        except BaseException as bug:  # nobody may wait for ever
            logger.exception("the producer's thread failed")
            self._end(ProglogError(Code.INTERNAL, f"the producer failed: {bug!r}"))
        finally:
            self._asked.set()
            self._done.set()

    @property
    def _stopped(self) -> bool:
        return self._abort.is_set() or self._session.closed.is_set()

    def _learn(self) -> None:
        if not self._stopped:
            self._session.run(self._core.learn())
        self._asked.set()

    def _pause(self, seconds: float) -> bool:
        return not self._stopped and not (seconds > 0 and self._abort.wait(seconds))

    def _await_work(self) -> bool:
        """Wait until there is something to send, so that a producer that has nothing does not
        keep a server busy that wants to stop."""
        with self._lock:
            while self._core.idle and not self._core.closing and not self._stopped:
                self._wake.wait()
            return not self._stopped and not (self._core.closing and self._core.idle)

    def _left(self) -> ProglogError:
        own = closed("client" if self._session.closed.is_set() else "producer")
        own.nothing_appended = False
        return own

    def _use_stream(self) -> ProglogError | None:
        """Send and receive over a stream until it ends, and return why; None if everything is
        done."""
        requests = _Requests(self._core, self._lock, self._wake)
        with self._lock:
            self._core.sent = 0
            self._core.streams += 1
            self._requests = requests
        failure: ProglogError | None = None
        stream = None
        try:
            stream = self._session.open_stream(
                LOG, "ProduceStream", self._core.config.log, self._core.streams, requests
            )
            requests.stream = stream
            if self._stopped:
                requests.cancel()
            while (data := stream.receive()) is not None:
                self._acknowledge(data)
            with self._lock:
                failure = self._core.clean_end()
        except ProglogError as error:
            failure = error
        finally:
            requests.end()
            if stream is not None:
                stream.close(failure)
        return failure

    def _acknowledge(self, data: bytes) -> None:
        with self._lock:
            batch = self._core.acknowledge(data)
            self._wake.notify_all()
            self._room.notify_all()
        _announce(batch)

    def _end(self, error: ProglogError | None) -> None:
        with self._lock:
            batches = self._core.end(error)
            self._wake.notify_all()
            self._room.notify_all()
        for batch in batches:
            _announce(batch)


def _announce(batch: SendBatch) -> None:
    """Tell those who wait that a batch's fate is known."""
    batch.event.set()
    for listener in batch.listeners:
        listener()


def _no_room(message: str) -> ProglogError:
    return outcome(refused(Code.DEADLINE_EXCEEDED, message))


class _Requests(Iterator[bytes]):
    """The requests of one stream, which a thread of the transport takes."""

    def __init__(self, core: ProducerCore, lock: threading.Lock, wake: threading.Condition) -> None:
        self._core = core
        self._lock = lock
        self._wake = wake
        self._first = True
        self._over = False
        self.stream: object = None

    def __next__(self) -> bytes:
        with self._lock:
            while not self._over:
                now = time.monotonic()
                request = self._core.take(self._first, now)
                if request is not None:
                    self._first = False
                    return request
                self._core.close_if_idle(now)
                if self._core.drained:
                    break
                self._wake.wait(self._core.wake_in(now))
        raise StopIteration

    def end(self) -> None:
        """Nothing more is taken: the stream has ended."""
        with self._lock:
            self._over = True
            self._wake.notify_all()

    def cancel(self) -> None:
        """Break the stream off, from any thread."""
        stream = self.stream
        if stream is not None:
            stream.cancel()  # type: ignore[attr-defined]
