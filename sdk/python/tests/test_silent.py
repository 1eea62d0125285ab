"""Goal: a server that says nothing, over a connection that stays, is waited for no longer than
the caller said."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from proglog_sdk import (
    Code,
    NothingAppendedError,
    Outcome,
    OutcomeUnknownError,
    ProglogError,
    _consuming,
)
from proglog_sdk._gen import log_v1 as pb

from .conftest import first, soon, until
from .servers import FakeServer, RealServer, Relay


async def test_a_producer_gives_up_a_server_that_went_silent(
    server: RealServer, relay: Relay, connect: Any
) -> None:
    producer = connect(relay.url).producer(
        give_up_after=0.5, max_in_flight_batches=1, max_batch_records=1
    )
    await soon(await producer.send(b"0"))
    relay.swallow(True)
    began = time.monotonic()
    sent, behind = await producer.send(b"1"), await producer.send(b"2")
    with pytest.raises(OutcomeUnknownError, match=r"no answer for 0\.5 s") as unknown:
        await soon(sent)
    assert 0.45 <= time.monotonic() - began < 3
    assert unknown.value.code is Code.UNAVAILABLE
    with pytest.raises(NothingAppendedError):
        await soon(behind)
    with pytest.raises(ProglogError):
        await soon(producer.close())
    assert producer.outcome == Outcome(1, 1, 0, 1, 0)


async def test_a_producer_gives_up_a_server_that_never_said_a_word(
    relay: Relay, connect: Any
) -> None:
    """Also while it asks for the log's limits, before anything is sent."""
    relay.swallow(True)
    producer = connect(relay.url).producer(give_up_after=0.5)
    began = time.monotonic()
    with pytest.raises(ProglogError) as caught:
        await soon(await producer.send(b"0"))
    assert time.monotonic() - began < 4
    assert caught.value.code is Code.UNAVAILABLE
    with pytest.raises(ProglogError):
        await soon(producer.close())


async def test_what_lingers_waits_for_no_answer(server: RealServer, connect: Any) -> None:
    producer = connect(server.url).producer(give_up_after=0.2, linger=0.7)
    for value in (b"0", b"1"):
        await soon(await producer.send(value))
    await soon(producer.close())


async def test_a_producer_that_tries_once_waits_for_the_answer(
    fake: FakeServer, connect: Any
) -> None:
    """0 means one try, and not that it is over before its answer can come."""
    go = threading.Event()

    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        for offset, _ in enumerate(requests):
            assert go.wait(30)
            yield pb.ProduceResponse(offset=offset, next_offset=offset + 1)

    fake.on("ProduceStream", stream)
    producer = connect(fake.url).producer(give_up_after=0)
    sent = await producer.send(b"0")
    core = getattr(producer, "inner", producer)._sending.core
    await until(lambda: core.sent == 1)
    go.set()
    assert (await soon(sent)).offset == 0
    await soon(producer.close())


async def test_a_read_that_begins_on_a_silent_connection_goes_on_over_another(
    server: RealServer, relay: Relay, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It first asks for the bounds of the log, and must not wait for ever for them."""
    monkeypatch.setattr(_consuming, "ASK_PATIENCE", 1.0)
    client = connect(relay.url)
    await client.produce(b"0")
    relay.swallow(True)
    reader = client.follow()
    began = time.monotonic()
    timer = threading.Timer(0.5, relay.swallow, [False])
    timer.start()
    assert [record.offset for record in await first(reader, 1)] == [0]
    assert time.monotonic() - began < 10
    timer.join()
    reader.close()
