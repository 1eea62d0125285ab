"""Does what flows ask for, in the thread that asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from .._config import ClientConfig, TokenSource
from .._errors import ClosedError, Code, ProglogError, closed, like
from .._flow import Call, Effect, Flow, Sleep, T
from .._session import (
    Finish,
    SessionBase,
    allowed,
    asked_in_vain,
    bad_token,
    interrupted,
    patient,
    remaining,
    usable,
)
from .._transport import SyncStream, SyncTransport
from .._types import Attempt
from ._cancel import Stop, Stops, cancelled, current_scopes
from ._watchdog import Watchdog


class Ending(Protocol):
    """Something that runs until it is told to end."""

    def break_off(self) -> None:
        """Have it end, without a wait."""

    def abort(self) -> None:
        """Have it end, and wait until it has."""


class Session(SessionBase):
    """A client's connections and what goes over them."""

    def __init__(self, config: ClientConfig, token: TokenSource | None) -> None:
        super().__init__(config)
        self._token = token
        self.transport = SyncTransport(config)
        self.watchdog = Watchdog()
        self.closed = Stop()
        self.running: set[Ending] = set()
        self._lock = threading.Lock()

    def run(self, flow: Flow[T], timeout: float | None = None, stop: Stop | None = None) -> T:
        """Do what a flow asks for, and return what it returns. `stop` ends it, as the scopes
        do that the thread is in."""
        deadline = self.deadline(timeout)
        stops = current_scopes()
        if stop is not None:
            stops = stops + Stops(stop)
        try:
            effect = next(flow)
            while True:
                try:
                    done = self._perform(effect, deadline, stops)
                except ProglogError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(done)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def _perform(self, effect: Effect, deadline: float | None, stops: Stops) -> bytes | bool:
        if isinstance(effect, Sleep):
            if not allowed(deadline, effect):
                return False
            # What follows a pause that was cut short fails with what cut it.
            (stops + Stops(self.closed)).wait(effect.seconds)
            return True
        return self._call(effect, deadline, stops)

    def _call(self, call: Call, deadline: float | None, stops: Stops) -> bytes:
        if self.closed.is_set():
            raise closed("client")
        if stops.is_set():
            raise cancelled(nothing_appended=True)
        attempt, finish = self.begin(call.method, call.log, call.number)
        left: float | None = None
        try:
            metadata = self.metadata(attempt, self.token())
            left = remaining(deadline)
            response = self.transport.call(
                call.service,
                call.method,
                call.request,
                metadata,
                patient(call, left),
                stops or None,
                asking=call.patience is not None,
            )
        except ProglogError as caught:
            error = asked_in_vain(call, left, self.own(caught))
            if stops.is_set() and not error.from_server:
                error = cancelled(caught.nothing_appended)
            finish(error)
            raise error from caught.__cause__
        except BaseException:
            finish(interrupted())
            raise
        finish(None)
        return response

    def token(self) -> str:
        """The token of a try; empty if there is none."""
        if not callable(self._token):
            return self._token or ""
        try:
            token = self._token()
        except Exception as cause:
            raise bad_token(cause) from cause
        return usable(token)

    def own(self, error: ProglogError) -> ProglogError:
        """An error as it is told: whatever breaks after `close` is that the client is closed."""
        if self.closed.is_set() and not isinstance(error, ClosedError) and not error.from_server:
            return like(ClosedError, error, code=Code.CANCELED, _permanent=True)
        return error

    def open_stream(
        self, service: str, method: str, log: str, number: int, request: bytes | Iterator[bytes]
    ) -> Stream:
        """Begin a stream, of requests too if those are an iterator."""
        if self.closed.is_set():
            raise closed("client")
        attempt, finish = self.begin(method, log, number)
        try:
            metadata = self.metadata(attempt, self.token())
            if isinstance(request, bytes):
                raw = self.transport.server_stream(service, method, request, metadata)
            else:
                raw = self.transport.bidi_stream(service, method, request, metadata)
        except BaseException as error:
            finish(error if isinstance(error, ProglogError) else interrupted())
            raise
        return Stream(raw, attempt, finish)

    def enrol(self, one: Ending) -> None:
        """Have something that runs aborted when the client is closed."""
        with self._lock:
            self.running.add(one)

    def release(self, one: Ending) -> None:
        """It has ended by itself."""
        with self._lock:
            self.running.discard(one)

    def close(self) -> None:
        """End every producer, call and stream."""
        self.closed.set()
        with self._lock:
            running = list(self.running)
        for one in running:
            one.break_off()
        for one in running:
            one.abort()
        self.transport.close()


class Stream:
    """A stream whose end is told to the trace hook."""

    def __init__(self, raw: SyncStream, attempt: Attempt, finish: Finish) -> None:
        self.receive = raw.receive
        self.cancel = raw.cancel
        self.retire = raw.retire
        self.attempt = attempt
        self._raw = raw
        self._finish: Finish | None = finish

    def close(self, error: ProglogError | None) -> None:
        """End the use of the stream, with the error that it ended with."""
        self._raw.close()
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(error)
