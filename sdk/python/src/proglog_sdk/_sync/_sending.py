"""The part of a producer that runs: a thread that sends, and takes the acknowledgements."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from .._batch import SendBatch
from .._batching import Next, ProducerCore
from .._config import logger
from .._defaults import ABORT_PATIENCE
from .._errors import Code, ProglogError, closed, outcome, refused
from .._flow import LOG
from .._session import interrupted
from ._cancel import Stop, Stops, Told, cancelled, current_scopes
from ._future import announce
from ._session import Session, Stream
from ._watchdog import Watch


class Sending:
    """What the handle of a producer and its thread share.

    The thread does not know the handle: one that is let go of has its records sent, and then
    ends the thread. The lock can be taken twice, because the handle may be let go of by the
    garbage collector in the midst of anything.
    """

    def __init__(self, session: Session, core: ProducerCore) -> None:
        self._session = session
        self.core = core
        self.lock = threading.RLock()
        self.wake = threading.Condition(self.lock)  # for the thread that sends
        self.room = threading.Condition(self.lock)  # for those who wait to add
        self.asked = False  # the server was asked for its bounds
        self.done = Told()
        self._ender = 0  # the thread that calls the callbacks at the end
        self._abort = Stop()
        self._requests: _Requests | None = None
        self._watch: Watch | None = None
        self._cut = False  # the stream, because nothing came in time
        self.thread = threading.Thread(target=self._run, name="proglog-producer", daemon=True)

    def start(self) -> None:
        """Begin to run."""
        self._session.enrol(self)
        self.thread.start()

    # For those who add records.

    def add(
        self, encoded: bytes, records: int, size: int, timeout: float | None, entered: bool
    ) -> tuple[SendBatch, int]:
        """Put encoded records into a batch, when there is room; whoever entered before keeps
        the place among the senders."""
        core = self.core
        with self.lock:
            if core.room_for(size, records):
                return self._put(encoded, records, size, entered)
            if not entered:
                core.enter()
        try:
            with current_scopes().calling(self.stir), self.lock:
                self._await(lambda: core.room_for(size, records), timeout, "no room in flight")
                return self._put(encoded, records, size, True)
        finally:
            if not entered:
                self.leave()

    def _put(self, encoded: bytes, records: int, size: int, entered: bool) -> tuple[SendBatch, int]:
        core = self.core
        batch, index = core.add(encoded, records, size, time.monotonic(), entered)
        if index == 0:
            batch.event = Told()
            self.wake.notify_all()
        elif batch.records >= core.batch_records:
            self.wake.notify_all()
        return batch, index

    def await_bounds(self, timeout: float | None) -> bool:
        """Wait until the server was asked for its bounds, and say whether that took time: then
        the caller counts among the senders, and has to leave."""
        if self.asked:
            return False
        with self.lock:
            self.core.enter()
        try:
            with current_scopes().calling(self.stir), self.lock:
                self._await(lambda: self.asked, timeout, "no answer of the server")
        except BaseException:
            self.leave()
            raise
        return True

    def check_wait(self, what: str) -> None:
        """Refuse a wait that a callback would be the end of."""
        current = threading.current_thread()
        if current is self.thread or current.ident == self._ender:
            raise RuntimeError(
                f"{what} in a callback of the producer would wait for the callback itself:"
                " have another thread do it"
            )

    def _await(self, ready: Callable[[], bool], timeout: float | None, what: str) -> None:
        if not ready():
            self.check_wait("a send that has to wait for room")
        scopes = current_scopes()
        if not self.room.wait_for(lambda: ready() or scopes.is_set(), timeout):
            message = f"there was {what} within the timeout"
            raise outcome(refused(Code.DEADLINE_EXCEEDED, message))
        if not ready():
            raise outcome(cancelled(nothing_appended=True))

    def leave(self) -> None:
        """Count no longer among the senders."""
        with self.lock:
            self.core.leave()
            self.wake.notify_all()

    def stir(self) -> None:
        """Have all look who wait."""
        with self.lock:
            self.wake.notify_all()
            self.room.notify_all()

    # Ends.

    def close(self) -> None:
        """Take no more records, and end when the others are acknowledged."""
        with self.lock:
            self.core.close()
            self.stir()

    def break_off(self) -> None:
        """Have the thread end at once, without a wait."""
        self._abort.set()
        with self.lock:
            self.core.abort()
            requests = self._requests
        self.stir()
        if requests is not None:
            requests.cancel()

    def abort(self) -> None:
        """Have the thread end at once. One that is in the caller's own code ends when that
        lets it; the records do not wait for it."""
        self.break_off()
        if threading.current_thread() is self.thread:
            return
        if self.done.wait(ABORT_PATIENCE):
            self.thread.join()
        else:
            self._end(self._left())

    @property
    def _stopped(self) -> bool:
        return self._abort.is_set() or self._session.closed.is_set()

    def _left(self) -> ProglogError:
        own = closed("client" if self._session.closed.is_set() else "producer")
        own.nothing_appended = False
        return own

    def _end(self, error: ProglogError | None) -> None:
        with self.lock:
            batches = self.core.end(error)
            self.asked = True
            self.stir()
            self._ender = threading.get_ident()
        for batch in batches:
            announce(batch)
        self.done.set()
        self._ender = 0

    # The thread.

    def _run(self) -> None:
        """The life of a producer: streams, one after the other."""
        try:
            refusal = self._learn()
            step = Next(end=refusal is not None, error=refusal)
            while not step.end:
                if self._pause(step.pause) and self._await_work():
                    error = self._judge(self._use_stream())
                else:
                    error = self._left() if self._stopped else None
                refusal = self._learn()
                with self.lock:
                    step = self.core.go_on(error, time.monotonic())
                    if refusal is not None and not step.end:
                        step = Next(end=True, error=refusal)
                    if error is not None and self._stopped:
                        step = Next(end=True, error=self._left())
                if error is not None and not step.end:
                    logger.warning("going on to produce after %.2f s: %s", step.pause, str(error))
            self._end(step.error)
        except BaseException as bug:  # nobody may wait for ever
            logger.exception("the producer's thread failed")
            self._end(ProglogError(Code.INTERNAL, f"the producer failed: {bug!r}"))
        finally:
            self._session.release(self)

    def _learn(self) -> ProglogError | None:
        refusal = None
        if not self._stopped:
            now = time.monotonic()
            own = self._session.config.timeout
            limit = self.core.ask_patience(now) if own is None else own
            refusal = self._session.run(self.core.learn(now), limit, self._abort)
        if not self.asked:
            self.asked = True
            self.stir()
        return None if self._stopped else refusal

    def _judge(self, error: ProglogError | None) -> ProglogError | None:
        if error is None or self._stopped:
            return error
        now = time.monotonic()
        return self._session.run(self.core.judge(error, now), stop=self._abort)

    def _pause(self, seconds: float) -> bool:
        if seconds > 0 and not self._stopped:
            Stops(self._abort).wait(seconds)
        return not self._stopped

    def _await_work(self) -> bool:
        """Wait until there is something to send, so that a producer that has nothing does not
        keep a server busy that wants to stop."""
        with self.lock:
            while self.core.idle and not self.core.closing and not self._stopped:
                self.wake.wait()
            return not self._stopped and not (self.core.closing and self.core.idle)

    def _use_stream(self) -> ProglogError | None:
        """Send and receive over a stream until it ends, and return why; None if everything is
        done."""
        requests = _Requests(self)
        watch = self._session.watchdog.watch(self._look) if self.core.patience.cuts else None
        with self.lock:
            self.core.begin(time.monotonic())
            self._requests, self._watch, self._cut = requests, watch, False
            self.watch()
        failure: ProglogError | None = interrupted()
        stream: Stream | None = None
        try:
            stream = self._session.open_stream(
                LOG, "ProduceStream", self.core.config.log, self.core.streams, requests
            )
            requests.stream = stream
            if self._stopped or self._cut or requests.fault is not None:
                requests.cancel()
            while (data := stream.receive()) is not None:
                self._acknowledge(data)
            with self.lock:
                failure = self.core.clean_end()
        except ProglogError as error:
            failure = self.core.unanswered() if self._cut else error
            if self._cut and stream is not None:
                stream.retire()
        finally:
            requests.end()
            if watch is not None:
                self._session.watchdog.release(watch)
            if stream is not None:
                stream.close(failure)
        if requests.fault is not None:
            raise requests.fault
        return failure

    def watch(self) -> None:
        """Have the stream looked at when the producer's patience is over. The lock is held."""
        left = self.core.patience.left(time.monotonic())
        if self._watch is not None and left is not None:
            self._watch.begin(left)

    def _look(self) -> None:
        """Cut the stream off if it brought nothing in time."""
        with self.lock:
            self._cut = self.core.patience.over(time.monotonic())
            requests = self._requests
            if not self._cut:
                self.watch()
        if self._cut and requests is not None:
            requests.cancel()

    def _acknowledge(self, data: bytes) -> None:
        with self.lock:
            if self.core.ended:  # by an abort that went on without this thread
                return
            batch = self.core.acknowledge(data, time.monotonic())
            self.stir()
        announce(batch)


class _Requests(Iterator[bytes]):
    """The requests of one stream, which a thread of the transport takes."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._first = True
        self._over = False
        self.stream: Stream | None = None
        self.fault: Exception | None = None

    def __next__(self) -> bytes:
        try:
            request = self._take()
        except Exception as fault:  # the transport would only log it
            self.fault = fault
            self.cancel()
            raise StopIteration from None
        if request is None:
            raise StopIteration
        return request

    def _take(self) -> bytes | None:
        core, wake = self._sending.core, self._sending.wake
        with self._sending.lock:
            while not self._over:
                now = time.monotonic()
                request = core.take(self._first, now)
                if request is not None:
                    self._first = False
                    self._sending.watch()
                    return request
                core.close_if_idle(now)
                if core.drained:
                    break
                wake.wait(core.wake_in(now))
        return None

    def end(self) -> None:
        """Nothing more is taken: the stream has ended."""
        with self._sending.lock:
            self._over = True
            self._sending.stir()

    def cancel(self) -> None:
        """Break the stream off, from any thread."""
        if self.stream is not None:
            self.stream.cancel()
