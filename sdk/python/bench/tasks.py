"""The clients for asyncio: the SDK, and grpc.aio."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
from asked import Ask, Moved, Stubs

from proglog_sdk import aio
from proglog_sdk._gen import log_v1 as pb


class Tasks(ABC):
    """A client for asyncio: all it does is in one event loop, and callers are tasks."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self._runner = asyncio.Runner() if hasattr(asyncio, "Runner") else None
        self._loop = self._runner.get_loop() if self._runner else asyncio.new_event_loop()
        self._run(self.open())

    def _run(self, job: Any) -> Any:
        return self._loop.run_until_complete(job)

    def warm(self) -> None:
        """Make the connection."""
        self._run(self.make_connection())

    def unary(self) -> Moved:
        """Each caller waits for an ack before its next record."""
        return self._callers(lambda _: self.produce())

    def consume(self) -> Moved:
        """The callers read the first records of the log, one by one."""
        return self._callers(self.read)

    def _callers(self, call: Callable[[int], Any]) -> Moved:
        numbers = iter(range(self.ask.count))

        async def caller() -> Moved:
            records = size = 0
            for n in numbers:
                size += await call(n)
                records += 1
            return records, size

        async def all_of_them() -> Moved:
            moved = await asyncio.gather(*(caller() for _ in range(self.ask.callers)))
            return sum(m[0] for m in moved), sum(m[1] for m in moved)

        return self._run(all_of_them())  # type: ignore[no-any-return]

    def pipelined(self) -> Moved:
        """Append all without waiting for each."""
        acked = self._run(self.send_all())
        return acked, acked * self.ask.value

    def follow(self) -> Moved:
        """Read all from the first one on."""
        return self._run(self.read_all())  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connection and the loop."""
        try:
            self._run(self.end())
        finally:
            if self._runner:
                self._runner.close()
            else:
                self._loop.close()

    @abstractmethod
    async def open(self) -> None:
        """Make the client."""

    @abstractmethod
    async def make_connection(self) -> None:
        """Make the connection."""

    @abstractmethod
    async def produce(self) -> int:
        """Append a record, and return its length."""

    @abstractmethod
    async def read(self, offset: int) -> int:
        """Read a record, and return its length."""

    @abstractmethod
    async def send_all(self) -> int:
        """Append all without waiting for each, and return how many were acked."""

    @abstractmethod
    async def read_all(self) -> Moved:
        """Read all from the first one on."""

    @abstractmethod
    async def end(self) -> None:
        """Close the connection."""


class SdkTasks(Tasks):
    """The SDK's client for asyncio."""

    async def open(self) -> None:
        """Make the client."""
        self.client = aio.Client(self.ask.address)

    async def make_connection(self) -> None:
        """Make the connection."""
        await self.client.describe_log(self.ask.log)

    async def produce(self) -> int:
        """Append a record."""
        await self.client.produce(self.ask.record, log=self.ask.log)
        return self.ask.value

    async def read(self, offset: int) -> int:
        """Read a record."""
        return len((await self.client.consume(offset, log=self.ask.log)).value)

    async def send_all(self) -> int:
        """With a producer as it comes."""
        async with self.client.producer(log=self.ask.log) as producer:
            for _ in range(self.ask.count):
                await producer.send(self.ask.record)
        return producer.outcome.acked

    async def read_all(self) -> Moved:
        """With a follower as it comes."""
        records = size = 0
        async for record in self.client.follow(log=self.ask.log, start=0):
            size += len(record.value)
            records += 1
            if records == self.ask.count:
                break
        return records, size

    async def end(self) -> None:
        """Close the connection."""
        await self.client.close()


class StockGrpcTasks(Tasks):
    """grpc.aio, used as its pages show it."""

    async def open(self) -> None:
        """Make the client."""
        self.channel = grpc.aio.insecure_channel(self.ask.address.removeprefix("http://"))
        self.stubs = Stubs(self.channel)

    async def make_connection(self) -> None:
        """Make the connection."""
        await self.stubs.get_log(pb.GetLogRequest(log=self.ask.log))

    async def produce(self) -> int:
        """Append a record."""
        await self.stubs.produce(self.ask.request())
        return self.ask.value

    async def read(self, offset: int) -> int:
        """Read a record."""
        response = await self.stubs.consume(pb.ConsumeRequest(log=self.ask.log, offset=offset))
        return len(response.record.value)

    async def send_all(self) -> int:
        """A record to a message."""

        async def requests() -> AsyncIterator[Any]:
            for _ in range(self.ask.count):
                yield self.ask.request()

        acked = 0
        async for _ in self.stubs.produce_stream(requests()):
            acked += 1
        return acked

    async def read_all(self) -> Moved:
        """A record to a message."""
        records = size = 0
        stream = self.stubs.consume_stream(pb.ConsumeRequest(log=self.ask.log))
        async for response in stream:
            size += len(response.record.value)
            records += 1
            if records == self.ask.count:
                break
        stream.cancel()
        return records, size

    async def end(self) -> None:
        """Close the connection."""
        await self.channel.close()
