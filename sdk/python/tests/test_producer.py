"""Goal: a producer has each record in the log once, in order, or says what it does not know."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from proglog_sdk import (
    ClosedError,
    Code,
    NothingAppendedError,
    Outcome,
    OutcomeUnknownError,
    ProglogError,
    Reason,
    Record,
)
from proglog_sdk._gen import log_v1 as pb

from .conftest import soon, until
from .servers import FakeServer, RealServer, Relay, fail, until_gone


async def test_records_are_acknowledged_in_the_order_of_send(
    server: RealServer, connect: Any
) -> None:
    client = connect(server.url)
    async with client.producer(max_batch_records=7, max_batch_bytes=500) as producer:
        futures = [await producer.send(b"%d" % n * (n % 50 + 1)) for n in range(300)]
        acks = [await soon(future) for future in futures]
        assert [ack.offset for ack in acks] == list(range(300))
        assert all(ack.next_offset == ack.offset + 1 for ack in acks)
        assert producer.outcome == Outcome(acked=300, last_offset=299)
    found = [record.value async for record in client.records()]
    assert found == [b"%d" % n * (n % 50 + 1) for n in range(300)]


async def test_flush_and_linger(server: RealServer, connect: Any) -> None:
    """A batch lingers until it is flushed, full or told to close."""
    client = connect(server.url)
    producer = client.producer(linger=60, max_batch_records=2)
    one = await producer.send(b"a")
    assert not one.done()
    await soon(producer.flush())
    assert one.done()
    full = [await producer.send(b"b"), await producer.send(b"c")]
    assert [(await soon(future)).offset for future in full] == [1, 2]
    last = await producer.send(b"d")
    await soon(producer.close())
    assert (await last).offset == 3
    assert producer.done
    with pytest.raises(NothingAppendedError) as closed:
        await producer.send(b"e")
    assert isinstance(closed.value.__cause__, ClosedError)


async def test_a_record_over_a_limit_leaves_the_producer_going(start: Any, connect: Any) -> None:
    """The limits are the server's, where they are lower."""
    server = start("--max-value-bytes", "10", "--max-batch-records", "3")
    client = connect(server.url)
    async with client.producer() as producer:
        with pytest.raises(NothingAppendedError) as large:
            await producer.send(b"x" * 11)
        assert (large.value.reason, large.value.limit) == (Reason.TOO_LARGE, 10)
        futures = [await producer.send(b"x") for _ in range(20)]
        assert [(await soon(f)).offset for f in futures] == list(range(20))


async def test_callbacks_are_called(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    called: list[Any] = []
    async with client.producer() as producer:
        future = await producer.send(Record(b"x"))
        future.add_done_callback(called.append)
        await soon(producer.flush())
        future.add_done_callback(called.append)
    await until(lambda: len(called) == 2)
    assert called[0].result().offset == 0
    assert called[0].exception() is None


async def test_a_lost_answer_is_not_a_second_record(
    server: RealServer, relay: Relay, connect: Any
) -> None:
    """The server appends and its answer is swallowed; sent again, it is known."""
    client, direct = connect(relay.url), connect(server.url)
    producer = client.producer()
    assert (await soon(await producer.send(b"a"))).offset == 0
    relay.swallow(True)
    future = await producer.send(b"b")
    await until(relay.swallowed.is_set)
    relay.swallow(False)
    relay.cut()
    ack = await soon(future)
    assert (ack.offset, ack.duplicate) == (1, True)
    await soon(producer.close())
    assert [r.value async for r in direct.records()] == [b"a", b"b"]


async def test_a_sealed_log_ends_a_producer(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await client.create_log("a")
    producer = client.producer(log="a")
    assert (await soon(await producer.send(b"a"))).offset == 0
    await client.seal_log("a")
    future = await producer.send(b"b")
    with pytest.raises(NothingAppendedError) as sealed:
        await soon(future)
    assert sealed.value.reason is Reason.LOG_SEALED
    await until(lambda: producer.done)
    with pytest.raises(NothingAppendedError):
        await producer.send(b"c")
    with pytest.raises(ProglogError) as ended:
        await producer.close()
    assert ended.value.reason is Reason.LOG_SEALED
    assert producer.error is not None
    assert producer.outcome == Outcome(acked=1, not_in_log=1, last_offset=0)


async def test_a_higher_epoch_fences(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    old = client.producer(id="writer", epoch=1)
    await soon(await old.send(b"a"))
    async with client.producer(id="writer", epoch=2) as new:
        assert (await soon(await new.send(b"b"))).offset == 1
    with pytest.raises(NothingAppendedError) as fenced:
        await soon(await old.send(b"c"))
    assert (fenced.value.reason, fenced.value.epoch) == (Reason.PRODUCER_FENCED, 2)
    with pytest.raises(ProglogError):
        await old.close()


async def test_a_fenced_retry_has_an_unknown_outcome(fake: FakeServer, connect: Any) -> None:
    """The first try gets no answer. That the second is refused says nothing of the first."""
    tries: list[tuple[str, int]] = []

    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        for request in requests:
            tries.append((request.producer.id, request.producer.sequence))
            if len(tries) == 1:
                context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
            fail(context, grpc.StatusCode.FAILED_PRECONDITION, reason=13, nothing_appended=True)
        yield from ()

    fake.on("ProduceStream", stream)
    producer = connect(fake.url).producer()
    future = await producer.send(b"a")
    with pytest.raises(OutcomeUnknownError) as unknown:
        await soon(future)
    assert unknown.value.reason is Reason.PRODUCER_FENCED
    assert tries[0] == tries[1]
    assert producer.outcome == Outcome(unknown=1)
    with pytest.raises(ProglogError):
        await producer.close()


async def test_what_is_behind_a_failure_is_not_in_the_log(fake: FakeServer, connect: Any) -> None:
    """Acknowledged, unknown, not in the log: three runs, in the order of send."""
    served = threading.Event()

    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        if served.is_set():
            fail(context, grpc.StatusCode.FAILED_PRECONDITION, reason=8, nothing_appended=True)
        next(requests)
        yield pb.ProduceResponse(offset=0, next_offset=1)
        next(requests)
        served.set()
        context.abort(grpc.StatusCode.INTERNAL, "died")

    fake.on("ProduceStream", stream)
    producer = connect(fake.url).producer(max_batch_records=1, max_in_flight_batches=1)
    futures = [await producer.send(b"%d" % n) for n in range(4)]
    assert (await soon(futures[0])).offset == 0
    kinds = []
    for future in futures[1:]:
        with pytest.raises(ProglogError) as caught:
            await soon(future)
        kinds.append(type(caught.value))
    assert kinds == [OutcomeUnknownError, NothingAppendedError, NothingAppendedError]
    with pytest.raises(ProglogError):
        await producer.close()


async def test_without_an_identity_the_first_failure_ends_it(
    fake: FakeServer, connect: Any
) -> None:
    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        assert not next(requests).HasField("producer")
        context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        yield

    fake.on("ProduceStream", stream)
    producer = connect(fake.url).producer(with_identity=False)
    with pytest.raises(OutcomeUnknownError):
        await soon(await producer.send(b"a"))
    assert fake.calls.count("ProduceStream") == 1
    with pytest.raises(ProglogError):
        await producer.close()


async def test_a_server_that_knows_no_identities_gets_none(fake: FakeServer, connect: Any) -> None:
    def get_log(request: pb.GetLogRequest, context: Any) -> pb.GetLogResponse:
        return pb.GetLogResponse(capabilities=pb.Capabilities(named_logs=True))

    seen: list[bool] = []

    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        for n, request in enumerate(requests):
            seen.append(request.HasField("producer"))
            yield pb.ProduceResponse(offset=n)

    fake.on("GetLog", get_log)
    fake.on("ProduceStream", stream)
    async with connect(fake.url).producer() as producer:
        assert (await soon(await producer.send(b"a"))).next_offset == 1
    assert seen == [False]


def acknowledge(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
    """A stream that takes everything."""
    offset = 0
    for request in requests:
        yield pb.ProduceResponse(offset=offset, next_offset=offset + len(request.records))
        offset += len(request.records)


async def test_room_in_flight_is_bounded(fake: FakeServer, connect: Any) -> None:
    go = threading.Event()

    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        assert go.wait(30)
        yield from acknowledge(requests, context)

    fake.on("ProduceStream", stream)
    producer = connect(fake.url).producer(max_in_flight_bytes=200)
    await producer.send(b"x" * 100)
    with pytest.raises(NothingAppendedError) as full:
        await producer.send(b"x" * 100, timeout=0.05)
    assert full.value.code is Code.DEADLINE_EXCEEDED
    waiting = asyncio.ensure_future(producer.send(b"x" * 100))
    go.set()
    assert (await soon(await soon(waiting))).offset == 1
    await soon(producer.close())


async def test_close_is_behind_a_send_that_waits_for_the_bounds(
    fake: FakeServer, connect: Any
) -> None:
    """What was sent before the close is in the log, even if the server was not yet asked."""
    go, get_log = threading.Event(), fake.handlers["GetLog"]

    def ask(request: pb.GetLogRequest, context: Any) -> Any:
        assert go.wait(30)
        return get_log(request, context)

    fake.on("GetLog", ask)
    fake.on("ProduceStream", acknowledge)
    producer = connect(fake.url).producer(linger=60)
    core = getattr(producer, "inner", producer)._sending.core
    waiting = [asyncio.ensure_future(producer.send(b"x")) for _ in range(2)]
    await until(lambda: core.senders == 2)
    late = asyncio.ensure_future(producer.send(b"x", timeout=0.05))
    with pytest.raises(NothingAppendedError):
        await soon(late)
    closing = asyncio.ensure_future(producer.close())
    await until(lambda: core.leaving)
    with pytest.raises(NothingAppendedError) as closed:
        await soon(producer.send(b"late"))
    assert isinstance(closed.value.__cause__, ClosedError)
    go.set()
    await soon(closing)
    assert sorted([(await soon(await sent)).offset for sent in waiting]) == [0, 1]


async def test_close_is_behind_a_send_that_waits_for_room(fake: FakeServer, connect: Any) -> None:
    go = threading.Event()

    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        assert go.wait(30)
        yield from acknowledge(requests, context)

    fake.on("ProduceStream", stream)
    producer = connect(fake.url).producer(max_in_flight_bytes=200)
    core = getattr(producer, "inner", producer)._sending.core
    first = await producer.send(b"x" * 100)
    waiting = asyncio.ensure_future(producer.send(b"x" * 100))
    await until(lambda: core.senders == 1)
    closing = asyncio.ensure_future(producer.close())
    await until(lambda: core.leaving)
    with pytest.raises(NothingAppendedError):
        await soon(producer.send(b"late"))
    go.set()
    await soon(closing)
    assert [(await soon(sent)).offset for sent in (first, await waiting)] == [0, 1]


async def test_abort_ends_a_send_that_waits(fake: FakeServer, connect: Any) -> None:
    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        next(requests)
        yield from until_gone(context)

    fake.on("ProduceStream", stream)
    producer = connect(fake.url).producer(max_in_flight_bytes=200)
    core = getattr(producer, "inner", producer)._sending.core
    await producer.send(b"x" * 100)
    waiting = asyncio.ensure_future(producer.send(b"x" * 100))
    await until(lambda: core.senders == 1)
    await soon(producer.abort())
    with pytest.raises(NothingAppendedError):
        await soon(waiting)


async def test_a_producer_gives_up(fake: FakeServer, connect: Any) -> None:
    """It reached the server once, so it goes on until its time is up."""

    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        next(requests)
        fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, reason=18, nothing_appended=True)
        yield

    fake.on("ProduceStream", stream)
    producer = connect(fake.url).producer(give_up_after=1.0)
    with pytest.raises(NothingAppendedError) as full:
        await soon(await producer.send(b"a"))
    assert full.value.reason is Reason.STORAGE_FULL
    assert fake.calls.count("ProduceStream") > 1
    with pytest.raises(ProglogError):
        await producer.close()


async def test_a_wrong_address_ends_a_producer_soon(connect: Any) -> None:
    producer = connect("http://127.0.0.1:1").producer()
    with pytest.raises(NothingAppendedError) as caught:
        await soon(await producer.send(b"a"))
    assert caught.value.code is Code.UNAVAILABLE
    with pytest.raises(ProglogError):
        await producer.close()


async def test_close_with_a_timeout_leaves_what_is_in_flight_unknown(
    fake: FakeServer, connect: Any
) -> None:
    def stream(requests: Iterator[pb.ProduceRequest], context: Any) -> Iterator[Any]:
        next(requests)
        yield from until_gone(context)

    fake.on("ProduceStream", stream)
    client = connect(fake.url)
    producer = client.producer(max_in_flight_batches=1, max_batch_records=1)
    sent, waits = await producer.send(b"a"), await producer.send(b"b")
    await until(lambda: "ProduceStream" in fake.calls)
    core = getattr(producer, "inner", producer)._sending.core
    await until(lambda: core.sent == 1)
    with pytest.raises(ClosedError):
        await soon(producer.close(timeout=0.05))
    with pytest.raises(OutcomeUnknownError):
        await sent
    with pytest.raises(NothingAppendedError):
        await waits


async def test_closing_the_client_ends_its_producers(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    producer = client.producer()
    await soon(await producer.send(b"a"))
    await soon(client.close())
    assert producer.done
    with pytest.raises(NothingAppendedError):
        await producer.send(b"b")


async def test_arguments_that_make_no_sense(connect: Any, server: RealServer) -> None:
    client = connect(server.url)
    for wrong in (
        {"max_batch_records": 0},
        {"max_in_flight_bytes": 0},
        {"linger": -1},
        {"epoch": 1},
        {"id": "x", "with_identity": False},
    ):
        with pytest.raises(ValueError):  # noqa: PT011 (each has words of its own)
            client.producer(**wrong)
    with pytest.raises(ProglogError):
        client.producer(id="x" * 65)


async def test_a_log_that_was_replaced_under_a_producer(
    server: RealServer, relay: Relay, connect: Any
) -> None:
    """That there is no log would be wrong, and to go on in the other one would leave its records
    where those before are not. Calls go on with the log that is there."""
    client, behind = connect(relay.url), connect(server.url)
    for lose in (False, True):
        await behind.create_log("a")
        producer = client.producer(log="a")
        await soon(await producer.send(b"x"))
        await soon(client.produce(b"x", log="a"))
        await behind.delete_log("a")
        await behind.create_log("a")
        if lose:
            relay.cut()
        # What was sent into the lost connection is unknown.
        kinds = (NothingAppendedError, OutcomeUnknownError) if lose else NothingAppendedError
        with pytest.raises(kinds) as changed:
            await soon(await producer.send(b"y"))
        assert changed.value.reason is Reason.LOG_CHANGED
        with pytest.raises(ProglogError):
            await soon(producer.close())
        await soon(client.produce(b"z", log="a"))
        producer = client.producer(log="a")
        await soon(await producer.send(b"x"))
        await behind.delete_log("a")
        with pytest.raises(NothingAppendedError) as gone:
            await soon(await producer.send(b"y"))
        assert gone.value.reason is Reason.LOG_NOT_FOUND
        with pytest.raises(ProglogError):
            await soon(producer.close())
