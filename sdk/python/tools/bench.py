"""Measures the SDK against stock clients that send and get one record in a message.

    PROGLOG_BIN=/path/to/proglog .venv/bin/python tools/bench.py

Stock is gRPC for Python, and Connect for Python too where connectrpc is installed, which is no
dependency of the project. All do the same work on the same server, in interleaved rounds; what
is printed is the median of operations in a second, and the ratio to the fastest stock client.
`produce` and `follow` move many records; `write` and `read` are single calls, each of which
waits for its answer.
"""

from __future__ import annotations

import asyncio
import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "src")]

import proglog_sdk
from proglog_sdk import aio
from proglog_sdk._gen import log_v1 as pb
from tests.servers import RealServer

VALUE = b"x" * 100
PRODUCED, FOLLOWED, WRITES, READS = 10_000, 50_000, 30, 100
ROUNDS = {"produce": 5, "follow": 5, "write": 60, "read": 60}


class StockGrpc:
    """Generated stubs over grpcio."""

    def __init__(self, addr: str) -> None:
        self._channel = channel = grpc.insecure_channel(addr)
        to_bytes, produced = pb.ProduceRequest.SerializeToString, pb.ProduceResponse.FromString
        of_read, consumed = pb.ConsumeRequest.SerializeToString, pb.ConsumeResponse.FromString
        self.produce = channel.unary_unary("/log.v1.Log/Produce", to_bytes, produced)
        self.stream = channel.stream_stream("/log.v1.Log/ProduceStream", to_bytes, produced)
        self.consume = channel.unary_unary("/log.v1.Log/Consume", of_read, consumed)
        self.follow = channel.unary_stream("/log.v1.Log/ConsumeStream", of_read, consumed)

    def close(self) -> None:
        """Close the connections."""
        self._channel.close()


class StockConnect:
    """The official Connect client, over HTTP/2 without compression."""

    def __init__(self, url: str) -> None:
        # Imported here because it need not be installed.
        import pyqwest
        from connectrpc.client import ConnectClientSync
        from connectrpc.compat import google_protobuf_binary_codec
        from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType

        self._transport = pyqwest.SyncHTTPTransport(http_version=pyqwest.HTTPVersion.HTTP2)
        client = self._client = ConnectClientSync(
            url,
            codec=google_protobuf_binary_codec(),
            accept_compression=(),
            send_compression=None,
            http_client=pyqwest.SyncClient(self._transport),
        )

        def method(name: str, kind: str, asked: type, told: type) -> MethodInfo[Any, Any]:
            return MethodInfo(
                name=name,
                service_name="log.v1.Log",
                input=asked,
                output=told,
                idempotency_level=IdempotencyLevel.UNKNOWN,
                stream_type=StreamType[kind],
            )

        produce = method("Produce", "UNARY", pb.ProduceRequest, pb.ProduceResponse)
        stream = method("ProduceStream", "BIDI_STREAM", pb.ProduceRequest, pb.ProduceResponse)
        consume = method("Consume", "UNARY", pb.ConsumeRequest, pb.ConsumeResponse)
        follow = method("ConsumeStream", "SERVER_STREAM", pb.ConsumeRequest, pb.ConsumeResponse)
        self.produce = lambda req: client.execute_unary(request=req, method=produce)
        self.stream = lambda reqs: client.execute_bidi_stream(request=reqs, method=stream)
        self.consume = lambda req: client.execute_unary(request=req, method=consume)
        self.follow = lambda req: client.execute_server_stream(request=req, method=follow)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._transport.close()


def stock_produce(stock: Any) -> int:
    """One record in a message, pipelined."""

    def requests() -> Iterator[pb.ProduceRequest]:
        for _ in range(PRODUCED):
            yield pb.ProduceRequest(record=pb.Record(value=VALUE))

    return sum(1 for _ in stock.stream(requests()))


def stock_follow(stock: Any) -> int:
    """One record in a message."""
    return sum(1 for _ in stock.follow(pb.ConsumeRequest(until_offset=FOLLOWED)))


def stock_write(stock: Any) -> int:
    """One call after another."""
    for _ in range(WRITES):
        stock.produce(pb.ProduceRequest(record=pb.Record(value=VALUE)))
    return WRITES


def stock_read(stock: Any) -> int:
    """One call after another."""
    return sum(
        len(stock.consume(pb.ConsumeRequest(offset=n)).record.value) > 0 for n in range(READS)
    )


def sdk_produce(url: str) -> int:
    """The producer of the client for threads."""
    with proglog_sdk.Client(url) as client:
        with client.producer() as producer:
            for _ in range(PRODUCED):
                producer.send(VALUE)
        return producer.outcome.acked


def sdk_follow(url: str) -> int:
    """The follower of the client for threads."""
    with proglog_sdk.Client(url) as client:
        return sum(1 for _ in client.follow(until=FOLLOWED))


def sdk_write(client: proglog_sdk.Client) -> int:
    """One call after another."""
    for _ in range(WRITES):
        client.produce(VALUE)
    return WRITES


def sdk_read(client: proglog_sdk.Client) -> int:
    """One call after another."""
    return sum(len(client.consume(n).value) > 0 for n in range(READS))


def aio_produce(url: str) -> int:
    """The producer of the client for asyncio."""

    async def run() -> int:
        async with aio.Client(url) as client:
            async with client.producer() as producer:
                for _ in range(PRODUCED):
                    await producer.send(VALUE)
            return producer.outcome.acked

    return asyncio.run(run())


def aio_follow(url: str) -> int:
    """The follower of the client for asyncio."""

    async def run() -> int:
        count = 0
        async with aio.Client(url) as client:
            async for _ in client.follow(until=FOLLOWED):
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


def stocks(server: RealServer) -> dict[str, Any]:
    """The stock clients that there are, by their names and versions."""
    found: dict[str, Any] = {f"grpcio {grpc.__version__}": StockGrpc(server.addr)}
    try:
        connect = StockConnect(server.url)
    except ImportError:
        print("connectrpc is not installed: without stock Connect")
    else:
        versions = [f"{n} {metadata.version(n)}" for n in ("connectrpc", "pyqwest")]
        found[", ".join(versions)] = connect
    return found


def measure(server: RealServer) -> None:
    """Run all in interleaved rounds."""
    url = server.url
    others = stocks(server)
    stock_work = {
        "produce": stock_produce,
        "follow": stock_follow,
        "write": stock_write,
        "read": stock_read,
    }
    with proglog_sdk.Client(url) as client:
        own = {
            "produce": {"sync": lambda: sdk_produce(url), "async": lambda: aio_produce(url)},
            "follow": {"sync": lambda: sdk_follow(url), "async": lambda: aio_follow(url)},
            "write": {"sync": lambda: sdk_write(client)},
            "read": {"sync": lambda: sdk_read(client)},
        }
        work: dict[tuple[str, str], Callable[[], int]] = {}
        for what, do in stock_work.items():
            for name, stock in others.items():
                work[what, name] = functools.partial(do, stock)
            for name, mine in own[what].items():
                work[what, name] = mine
        while client.describe_log().next_offset < FOLLOWED:
            sdk_produce(url)
        rates: dict[tuple[str, str], list[float]] = {key: [] for key in work}
        for number in range(max(ROUNDS.values())):
            for key, do_it in work.items():
                if number < ROUNDS[key[0]]:
                    began = time.monotonic()
                    count = do_it()
                    rates[key].append(count / (time.monotonic() - began))
    for stock in others.values():
        stock.close()
    print(
        f"Python {sys.version.split()[0]}, protobuf {metadata.version('protobuf')}, 100 B records"
    )
    for (what, name), found in rates.items():
        rate = statistics.median(found)
        best = max(statistics.median(rates[what, stock]) for stock in others)
        print(f"{what:8} {name:34} {rate:10,.0f} /s  {rate / best:5.1f}x")


if __name__ == "__main__":
    main()
