"""Does what flows ask for, in the task that asks."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable
from typing import Any, Protocol

from .._config import AsyncTokenSource, ClientConfig
from .._errors import ClosedError, Code, ProglogError, closed, like, refused
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
from .._transport import AsyncStream, AsyncTransport
from .._types import Attempt


class Ending(Protocol):
    """Something that runs until it is told to end."""

    def break_off(self) -> None:
        """Have it end, without a wait."""

    async def abort(self) -> None:
        """Have it end, and wait until it has."""


class Session(SessionBase):
    """A client's connections and what goes over them."""

    def __init__(self, config: ClientConfig, token: AsyncTokenSource | None) -> None:
        super().__init__(config)
        self._token = token
        self.transport = AsyncTransport(config)
        self.closed = asyncio.Event()
        # These are kept here, because a loop does not keep the tasks that it runs.
        self.running: set[Ending] = set()

    async def run(
        self, flow: Flow[T], timeout: float | None = None, stop: asyncio.Event | None = None
    ) -> T:
        """Do what a flow asks for, and return what it returns. `stop` ends it."""
        deadline = self.deadline(timeout)
        try:
            effect = next(flow)
            while True:
                try:
                    done = await self._perform(effect, deadline, stop)
                except ProglogError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(done)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    async def _perform(
        self, effect: Effect, deadline: float | None, stop: asyncio.Event | None
    ) -> bytes | bool:
        if isinstance(effect, Sleep):
            if not allowed(deadline, effect):
                return False
            # What follows a pause that was cut short fails with what cut it.
            await first_of(effect.seconds, self.closed, stop)
            return True
        return await self._call(effect, deadline, stop)

    async def _call(self, call: Call, deadline: float | None, stop: asyncio.Event | None) -> bytes:
        if self.closed.is_set():
            raise closed("client")
        if stop is not None and stop.is_set():
            raise broken_off(nothing_appended=True)
        attempt, finish = self.begin(call.method, call.log, call.number)
        left: float | None = None
        try:
            if callable(self._token):
                token = await self._before(deadline, stop, self.token())
            else:
                token = self._token or ""
            metadata = self.metadata(attempt, token)
            left = remaining(deadline)
            calling = self.transport.call(
                call.service,
                call.method,
                call.request,
                metadata,
                patient(call, left),
                asking=call.patience is not None,
            )
            response = await (calling if stop is None else self._before(None, stop, calling))
        except ProglogError as caught:
            error = asked_in_vain(call, left, self.own(caught))
            finish(error)
            raise error from caught.__cause__
        except BaseException:
            finish(interrupted())
            raise
        finish(None)
        return response

    async def _before(
        self, deadline: float | None, stop: asyncio.Event | None, work: Awaitable[T]
    ) -> T:
        """What comes of something, unless the client is closed or `stop` comes first."""
        if not callable(self._token) and stop is None:
            return await work  # nothing in it waits that does not end by itself
        task = asyncio.ensure_future(work)
        try:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            await first_of(left, self.closed, stop, task)
            if task.done():
                return task.result()
        finally:
            task.cancel()
        if self.closed.is_set():
            raise closed("client")
        if stop is not None and stop.is_set():
            raise broken_off(nothing_appended=False)
        raise refused(Code.DEADLINE_EXCEEDED, "the call's timeout passed")

    async def token(self) -> str:
        """The token of a try; empty if there is none."""
        if not callable(self._token):
            return self._token or ""
        try:
            given = self._token()
            token = await given if inspect.isawaitable(given) else given
        except Exception as cause:
            raise bad_token(cause) from cause
        return usable(token)

    def own(self, error: ProglogError) -> ProglogError:
        """An error as it is told: whatever breaks after `close` is that the client is closed."""
        if self.closed.is_set() and not isinstance(error, ClosedError) and not error.from_server:
            return like(ClosedError, error, code=Code.CANCELED, _permanent=True)
        return error

    async def open_stream(
        self,
        service: str,
        method: str,
        log: str,
        number: int,
        request: bytes | None,
        stop: asyncio.Event,
    ) -> Stream:
        """Begin a stream of responses to a request, or of both if there is none. `stop` ends
        the wait for a token."""
        if self.closed.is_set():
            raise closed("client")
        attempt, finish = self.begin(method, log, number)
        try:
            if stop.is_set():
                raise broken_off(nothing_appended=True)
            token = await self._before(None, stop, self.token()) if self._token else ""
            metadata = self.metadata(attempt, token)
            if request is not None:
                raw = self.transport.server_stream(service, method, request, metadata)
            else:
                raw = self.transport.bidi_stream(service, method, metadata)
        except BaseException as error:
            finish(error if isinstance(error, ProglogError) else interrupted())
            raise
        return Stream(raw, attempt, finish)

    async def close(self) -> None:
        """End every producer, call and stream."""
        self.closed.set()
        running = list(self.running)
        for one in running:
            one.break_off()
        for one in running:
            await one.abort()
        await self.transport.close()


def broken_off(nothing_appended: bool) -> ProglogError:
    """The error of a wait that `stop` ended."""
    return ProglogError(
        Code.CANCELED,
        "the call was broken off",
        nothing_appended=nothing_appended,
        permanent=True,
    )


async def first_of(
    seconds: float | None, *those: asyncio.Event | asyncio.Future[Any] | None
) -> None:
    """Wait for whichever event or future comes first, at most so long."""
    events = [one for one in those if isinstance(one, asyncio.Event)]
    if any(event.is_set() for event in events):
        return
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    futures = [one for one in those if isinstance(one, asyncio.Future)]
    try:
        await asyncio.wait([*waits, *futures], timeout=seconds, return_when="FIRST_COMPLETED")
    finally:
        for wait in waits:
            wait.cancel()


async def waited(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, at most so long, and say whether it came."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except (asyncio.TimeoutError, TimeoutError):
        return False
    return True


class Stream:
    """A stream whose end is told to the trace hook."""

    def __init__(self, raw: AsyncStream, attempt: Attempt, finish: Finish) -> None:
        self.receive = raw.receive
        self.send = raw.send
        self.end_requests = raw.end_requests
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
