"""Measures the SDK against a stock gRPC client that sends and gets one record in a message.

    PROGLOG_BIN=/path/to/proglog .venv/bin/python tools/bench.py

Both do the same work on the same server, in interleaved rounds; what is printed is the median
of records in a second, and the ratio of the two.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "src")]

import proglog_sdk
from proglog_sdk import aio
from proglog_sdk._gen import log_v1 as pb
from tests.servers import RealServer

VALUE = b"x" * 100
STOCK_RECORDS, SDK_RECORDS, ROUNDS = 10_000, 100_000, 5


def stock_produce(channel: grpc.Channel) -> int:
    """One record in a message, pipelined."""
    call = channel.stream_stream(
        "/log.v1.Log/ProduceStream",
        pb.ProduceRequest.SerializeToString,
        pb.ProduceResponse.FromString,
    )

    def requests() -> Iterator[pb.ProduceRequest]:
        for _ in range(STOCK_RECORDS):
            yield pb.ProduceRequest(record=pb.Record(value=VALUE))

    return sum(1 for _ in call(requests()))


def stock_follow(channel: grpc.Channel) -> int:
    """One record in a message."""
    call = channel.unary_stream(
        "/log.v1.Log/ConsumeStream",
        pb.ConsumeRequest.SerializeToString,
        pb.ConsumeResponse.FromString,
    )
    return sum(1 for _ in call(pb.ConsumeRequest(until_offset=STOCK_RECORDS)))


def sdk_produce(url: str) -> int:
    """The producer of the client for threads."""
    with proglog_sdk.Client(url) as client:
        with client.producer() as producer:
            for _ in range(SDK_RECORDS):
                producer.send(VALUE)
        return producer.outcome.acked


def sdk_follow(url: str) -> int:
    """The follower of the client for threads."""
    with proglog_sdk.Client(url) as client:
        return sum(1 for _ in client.follow(until=SDK_RECORDS))


def aio_produce(url: str) -> int:
    """The producer of the client for asyncio."""

    async def run() -> int:
        async with aio.Client(url) as client:
            async with client.producer() as producer:
                for _ in range(SDK_RECORDS):
                    await producer.send(VALUE)
            return producer.outcome.acked

    return asyncio.run(run())


def aio_follow(url: str) -> int:
    """The follower of the client for asyncio."""

    async def run() -> int:
        count = 0
        async with aio.Client(url) as client:
            async for _ in client.follow(until=SDK_RECORDS):
                count += 1
        return count

    return asyncio.run(run())


def main() -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as data:
        server = RealServer(os.environ["PROGLOG_BIN"], Path(data))
        try:
            measure(server)
        finally:
            server.stop()


def measure(server: RealServer) -> None:
    """Run all in interleaved rounds."""
    url = server.url
    with grpc.insecure_channel(server.addr) as channel:
        work: dict[str, Callable[[], int]] = {
            "stock produce": lambda: stock_produce(channel),
            "sync produce": lambda: sdk_produce(url),
            "async produce": lambda: aio_produce(url),
            "stock follow": lambda: stock_follow(channel),
            "sync follow": lambda: sdk_follow(url),
            "async follow": lambda: aio_follow(url),
        }
        rates: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(ROUNDS):
            for name, do in work.items():
                began = time.monotonic()
                count = do()
                rates[name].append(count / (time.monotonic() - began))
    print(f"Python {sys.version.split()[0]}, grpcio {grpc.__version__}, 100 B records")
    for name, found in rates.items():
        stock = rates["stock " + name.split()[1]]
        ratio = statistics.median(found) / statistics.median(stock)
        print(f"{name:14} {statistics.median(found):10,.0f} records/s  {ratio:5.1f}x stock")


if __name__ == "__main__":
    main()
