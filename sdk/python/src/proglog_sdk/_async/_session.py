"""Does what flows ask for, in the task that asks."""

from __future__ import annotations

import asyncio
import inspect

from .._config import AsyncTokenSource, ClientConfig
from .._errors import ClosedError, Code, ProglogError, closed, like
from .._flow import Call, Effect, Flow, Sleep, T
from .._session import Finish, SessionBase, allowed, bad_token, remaining
from .._transport import AsyncStream, AsyncTransport
from .._types import Attempt


class Session(SessionBase):
    """A client's connections and what goes over them."""

    def __init__(self, config: ClientConfig, token: AsyncTokenSource | None) -> None:
        super().__init__(config)
        self._token = token
        self.transport = AsyncTransport(config)
        self.closed = asyncio.Event()

    async def run(
        self, flow: Flow[T], timeout: float | None = None, stop: asyncio.Event | None = None
    ) -> T:
        """Do what a flow asks for, and return what it returns. `stop` ends its pauses."""
        deadline = self.deadline(timeout)
        stop = stop or self.closed
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
        self, effect: Effect, deadline: float | None, stop: asyncio.Event
    ) -> bytes | bool:
        if isinstance(effect, Sleep):
            return allowed(deadline, effect) and not await waited(stop, effect.seconds)
        return await self._call(effect, deadline)

    async def _call(self, call: Call, deadline: float | None) -> bytes:
        if self.closed.is_set():
            raise closed("client")
        attempt, finish = self.begin(call.method, call.log, call.number)
        try:
            metadata = self.metadata(attempt, await self.token())
            left = remaining(deadline)
            response = await self.transport.call(
                call.service, call.method, call.request, metadata, left
            )
        except ProglogError as caught:
            error = self.own(caught)
            finish(error)
            raise error from caught.__cause__
        except asyncio.CancelledError:
            finish(ProglogError(Code.CANCELED, "the task was cancelled"))
            raise
        finish(None)
        return response

    async def token(self) -> str:
        """The token of a try; empty if there is none."""
        if not callable(self._token):
            return self._token or ""
        try:
            token = self._token()
            return await token if inspect.isawaitable(token) else token
        except Exception as cause:
            raise bad_token(cause) from cause

    def own(self, error: ProglogError) -> ProglogError:
        """An error as it is told: whatever breaks after `close` is that the client is closed."""
        if self.closed.is_set() and not isinstance(error, ClosedError) and not error.from_server:
            return like(ClosedError, error, code=Code.CANCELED, _permanent=True)
        return error

    async def open_stream(
        self, service: str, method: str, log: str, number: int, request: bytes | None
    ) -> Stream:
        """Begin a stream of responses to a request, or of both if there is none."""
        if self.closed.is_set():
            raise closed("client")
        attempt, finish = self.begin(method, log, number)
        try:
            metadata = self.metadata(attempt, await self.token())
            if request is not None:
                raw = self.transport.server_stream(service, method, request, metadata)
            else:
                raw = self.transport.bidi_stream(service, method, metadata)
        except ProglogError as error:
            finish(error)
            raise
        return Stream(raw, attempt, finish)

    async def close(self) -> None:
        """End every call and stream."""
        self.closed.set()
        await self.transport.close()


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
