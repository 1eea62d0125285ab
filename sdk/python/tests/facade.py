"""The client for threads behind the interface of the one for asyncio.

A test is written once, for asyncio, and runs against both: each wait of the client for threads
happens in a thread of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import Any

import proglog_sdk
from proglog_sdk import aio


class Threaded:
    """Makes the waiting methods of an object awaitable."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(found, *args, **kwargs)

        return call

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *args: object) -> None:
        await asyncio.to_thread(self.inner.__exit__, *args)


class ThreadedClient(Threaded):
    """proglog_sdk.Client."""

    def follow(self, **kwargs: Any) -> ThreadedReader:
        return ThreadedReader(self.inner.follow(**kwargs))

    def records(self, **kwargs: Any) -> ThreadedReader:
        return ThreadedReader(self.inner.records(**kwargs))

    def batches(self, **kwargs: Any) -> ThreadedReader:
        return ThreadedReader(self.inner.batches(**kwargs))

    def producer(self, **kwargs: Any) -> ThreadedProducer:
        return ThreadedProducer(self.inner.producer(**kwargs))

    def cursor(self, log: str, name: str) -> ThreadedCursor:
        return ThreadedCursor(self.inner.cursor(log, name))

    async def logs(self, prefix: str = "") -> AsyncIterator[Any]:
        for info in await asyncio.to_thread(list, self.inner.logs(prefix)):
            yield info


END = object()


class ThreadedReader(Threaded):
    """A reader."""

    def __aiter__(self) -> ThreadedReader:
        return self

    async def __anext__(self) -> Any:
        found = await asyncio.to_thread(next, self.inner, END)
        if found is END:
            raise StopAsyncIteration
        return found

    async def next(self, timeout: float | None = None) -> Any:
        def take() -> Any:
            try:
                return self.inner.next(timeout)
            except StopIteration:  # which no future takes
                return END

        found = await asyncio.to_thread(take)
        if found is END:
            raise StopAsyncIteration
        return found

    def close(self) -> None:
        self.inner.close()

    async def aclose(self) -> None:
        self.inner.close()


class ThreadedProducer(Threaded):
    """A producer."""

    async def send(self, *args: Any, **kwargs: Any) -> ThreadedFuture:
        return ThreadedFuture(await asyncio.to_thread(self.inner.send, *args, **kwargs))


class ThreadedFuture:
    """A future of a producer."""

    def __init__(self, inner: proglog_sdk.SendFuture) -> None:
        self.inner = inner
        self.done = inner.done
        self.add_done_callback = inner.add_done_callback

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.to_thread(self.inner.result, 30).__await__()


class ThreadedCursor(Threaded):
    """A cursor."""

    def set(self, offset: int) -> None:
        self.inner.set(offset)


def make(mode: str, url: str, **kwargs: Any) -> Any:
    """A client of the mode, with the interface of the one for asyncio."""
    if mode == "async":
        return aio.Client(url, **kwargs)
    return ThreadedClient(proglog_sdk.Client(url, **kwargs))
