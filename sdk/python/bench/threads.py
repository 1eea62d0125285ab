"""The clients whose callers are threads: the SDK, and grpcio."""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import grpc
from asked import BATCH, Ask, Moved, Stubs

import proglog_sdk
from proglog_sdk._gen import log_v1 as pb


class Threaded(ABC):
    """A client whose callers are threads."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    def unary(self) -> Moved:
        """Each caller waits for an ack before its next record."""
        return self._callers(lambda _: self.produce())

    def consume(self) -> Moved:
        """The callers read the first records of the log, one by one."""
        return self._callers(self.read)

    def _callers(self, call: Callable[[int], int]) -> Moved:
        numbers, moved = iter(range(self.ask.count)), [0, 0]
        lock = threading.Lock()
        failed: list[BaseException] = []

        def caller() -> None:
            records = size = 0
            try:
                for n in numbers:  # the next of a range is one step of the interpreter
                    size += call(n)
                    records += 1
            except BaseException as error:
                failed.append(error)
            with lock:
                moved[0] += records
                moved[1] += size

        threads = [threading.Thread(target=caller) for _ in range(self.ask.callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return moved[0], moved[1]

    @abstractmethod
    def warm(self) -> None:
        """Make the connection."""

    @abstractmethod
    def produce(self) -> int:
        """Append a record, and return its length."""

    @abstractmethod
    def read(self, offset: int) -> int:
        """Read a record, and return its length."""

    @abstractmethod
    def pipelined(self) -> Moved:
        """Append all without waiting for each."""

    @abstractmethod
    def follow(self) -> Moved:
        """Read all from the first one on."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


class Sdk(Threaded):
    """The SDK's client for threads."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self.client = proglog_sdk.Client(ask.address)

    def warm(self) -> None:
        """Make the connection."""
        self.client.describe_log(self.ask.log)

    def produce(self) -> int:
        """Append a record."""
        self.client.produce(self.ask.record, log=self.ask.log)
        return self.ask.value

    def read(self, offset: int) -> int:
        """Read a record."""
        return len(self.client.consume(offset, log=self.ask.log).value)

    def pipelined(self) -> Moved:
        """With a producer as it comes."""
        with self.client.producer(log=self.ask.log) as producer:
            for _ in range(self.ask.count):
                producer.send(self.ask.record)
        acked = producer.outcome.acked
        return acked, acked * self.ask.value

    def follow(self) -> Moved:
        """With a follower as it comes."""
        records = size = 0
        for record in self.client.follow(log=self.ask.log, start=0):
            size += len(record.value)
            records += 1
            if records == self.ask.count:
                break
        return records, size

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


class Stock(Threaded):
    """Something with the methods of [Stubs], used as its pages show it."""

    max_records = 0

    def __init__(self, ask: Ask, stubs: Any) -> None:
        super().__init__(ask)
        self.stubs = stubs

    def warm(self) -> None:
        """Make the connection."""
        self.stubs.get_log(pb.GetLogRequest(log=self.ask.log))

    def produce(self) -> int:
        """Append a record."""
        self.stubs.produce(self.ask.request())
        return self.ask.value

    def read(self, offset: int) -> int:
        """Read a record."""
        return len(
            self.stubs.consume(pb.ConsumeRequest(log=self.ask.log, offset=offset)).record.value
        )

    def pipelined(self) -> Moved:
        """A record to a message."""
        requests = (self.ask.request() for _ in range(self.ask.count))
        acked = sum(1 for _ in self.stubs.produce_stream(requests))
        return acked, acked * self.ask.value

    def follow(self) -> Moved:
        """A record to a message, unless many are asked for."""
        records = size = 0
        request = pb.ConsumeRequest(log=self.ask.log, max_records=self.max_records)
        stream = self.stubs.consume_stream(request)
        for response in stream:
            got = response.records if self.max_records else (response.record,)
            for record in itertools.islice(got, self.ask.count - records):
                size += len(record.value)
                records += 1
            if records == self.ask.count:
                break
        if hasattr(stream, "cancel"):
            stream.cancel()
        return records, size


class StockGrpc(Stock):
    """Of grpcio."""

    def __init__(self, ask: Ask) -> None:
        self._channel = grpc.insecure_channel(ask.address.removeprefix("http://"))
        super().__init__(ask, Stubs(self._channel))

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class StockGrpcBatch(StockGrpc):
    """Of grpcio, asking for many records to a message."""

    max_records = BATCH
