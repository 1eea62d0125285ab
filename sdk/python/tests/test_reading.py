"""Goal: a read delivers each record once, in order, whatever happens to the connection; and it
says when it cannot. The scripted server does what a real one does rarely."""

from __future__ import annotations

import asyncio
import datetime
import functools
import gc
import math
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from proglog_sdk import (
    Attempt,
    ClosedError,
    LogChangedError,
    OffsetGapError,
    Place,
    ProglogError,
    Reason,
    aio,
)
from proglog_sdk._gen import log_v1 as pb

from .conftest import first, soon, until
from .servers import FakeServer, RealServer, Relay, fail, records, until_gone


async def fill(client: Any, count: int, log: str = "") -> None:
    await client.produce_batch([b"%d" % n for n in range(count)], log=log)


async def test_reads_start_and_end_where_they_are_told(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await fill(client, 10)

    async def offsets(**kwargs: Any) -> list[int]:
        return [record.offset async for record in client.records(**kwargs)]

    assert await offsets() == list(range(10))
    assert await offsets(start=7) == [7, 8, 9]
    assert await offsets(from_tail=2, max_records=1) == [8, 9]
    assert await offsets(from_time=datetime.datetime.now()) == []
    assert await offsets(start=2, until=5) == [2, 3, 4]
    assert await offsets(start=Place()) == list(range(10))
    log_id = (await client.describe_log()).id
    assert await offsets(start=Place(8, log_id)) == [8, 9]
    with pytest.raises(LogChangedError):
        await offsets(start=Place(8, "another"))
    with pytest.raises(ProglogError) as beyond:
        await offsets(start=11)
    assert beyond.value.reason is Reason.OFFSET_UNWRITTEN
    with pytest.raises(ValueError, match="name one"):
        await offsets(start=1, from_tail=1)


async def test_batches_tell_the_tail(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await fill(client, 5)
    batches = [batch async for batch in client.batches(max_records=2, to_tail=True)]
    assert [len(batch.records) for batch in batches] == [2, 2, 1]
    async with client.batches(start=4) as reader:
        batch = (await first(reader, 1))[0]
        assert batch.tail
        assert batch.next_offset == 5
        assert reader.next_offset == 5


async def test_follow_waits_at_the_tail_and_ends_with_a_sealed_log(
    server: RealServer, connect: Any
) -> None:
    begun: list[str] = []

    def trace(attempt: Attempt) -> None:
        begun.append(attempt.method)

    client = connect(server.url, trace=trace)
    await client.create_log("a")
    reader = client.follow(log="a", from_tail=0)
    waiting = asyncio.ensure_future(reader.__anext__())
    await until(lambda: "ConsumeStream" in begun)  # it knows the tail
    await client.produce(b"x", log="a")
    assert (await soon(waiting)).value == b"x"
    await client.seal_log("a")
    with pytest.raises(StopAsyncIteration):
        await soon(reader.__anext__())
    with pytest.raises(StopAsyncIteration):
        await soon(reader.__anext__())


async def test_follow_goes_on_after_a_killed_server(start: Any, connect: Any) -> None:
    """The server is killed and started again three times while a reader follows and a producer
    writes: each record comes once, in order, and every acknowledged one comes."""
    server: RealServer = start()
    client = connect(server.url)
    total, got = 400, []

    async def read() -> None:
        async for record in client.follow(start=0, max_records=7):
            got.append((record.offset, record.value))
            if len(got) == total:
                break

    async def write() -> None:
        async with client.producer(max_batch_records=5) as producer:
            for n in range(total):
                future = await producer.send(b"%d" % n)
                if n % 20 == 0:
                    await future
            assert (await future).offset == total - 1

    tasks = [asyncio.ensure_future(read()), asyncio.ensure_future(write())]
    for share in (1, 2, 3):
        await until(functools.partial(lambda share: len(got) >= share * 80, share))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await soon(asyncio.gather(*tasks))
    assert got == [(n, b"%d" % n) for n in range(total)]


async def test_follow_goes_on_after_a_cut_connection(
    server: RealServer, relay: Relay, connect: Any
) -> None:
    client, direct = connect(relay.url), connect(server.url)
    await fill(direct, 3)
    reader = client.follow()
    assert [r.offset for r in await first(reader, 3)] == [0, 1, 2]
    for n in range(3, 6):
        relay.cut()
        await direct.produce(b"more")
        assert [r.offset for r in await first(reader, 1)] == [n]
    await reader.aclose()


async def test_a_silent_server_is_given_up_after_two_heartbeats(
    fake: FakeServer, connect: Any
) -> None:
    """The first stream says nothing; the second one delivers."""
    fake.next = 1
    streams: list[pb.ConsumeRequest] = []

    def stream(request: pb.ConsumeRequest, context: Any) -> Iterator[pb.ConsumeResponse]:
        streams.append(request)
        if len(streams) > 1:
            yield pb.ConsumeResponse(records=records(0, b"x"), next_offset=1)
        yield from until_gone(context)

    fake.on("ConsumeStream", stream)
    reader = connect(fake.url).follow(heartbeat=0.1)
    assert [r.value for r in await first(reader, 1)] == [b"x"]
    assert [s.heartbeat.nanos for s in streams] == [100_000_000] * 2
    assert {s.log_id for s in streams} == {"id-1"}
    await reader.aclose()


async def test_heartbeats_keep_a_stream(fake: FakeServer, connect: Any, mode: str) -> None:
    """Each puts off the moment at which the stream is taken for dead. The next one comes when
    the one before was seen, so a slow machine cannot make the test fail."""
    streams: list[pb.ConsumeRequest] = []
    beats = threading.Semaphore(0)

    def stream(request: pb.ConsumeRequest, context: Any) -> Iterator[pb.ConsumeResponse]:
        streams.append(request)
        for _ in range(4):
            yield pb.ConsumeResponse(next_offset=0)
            assert beats.acquire(timeout=30)
        yield pb.ConsumeResponse(records=records(0, b"x"), next_offset=1)
        yield from until_gone(context)

    fake.on("ConsumeStream", stream)
    reader = connect(fake.url).follow(heartbeat=60)
    source = getattr(reader, "inner", reader)._batches._source

    def deadline() -> float:
        if mode == "async":
            timer = source.timer
            return float("-inf") if timer is None else timer.when()
        watch = source.watch
        return float("-inf") if watch is None or watch.deadline == math.inf else watch.deadline

    waiting = asyncio.ensure_future(reader.__anext__())
    seen = [float("-inf")]
    for _ in range(4):
        await until(lambda: deadline() > seen[-1])
        seen.append(deadline())
        beats.release()
    assert (await soon(waiting)).value == b"x"
    assert len(streams) == 1
    await reader.aclose()


@pytest.mark.parametrize("how", ["abort", "lost", "overloaded"])
async def test_a_lost_stream_resumes_behind_the_last_record(
    fake: FakeServer, connect: Any, how: str
) -> None:
    """An end with an error that can pass is a loss; only an OK status ends the read."""
    fake.next = 4
    asked: list[int] = []

    def stream(request: pb.ConsumeRequest, context: Any) -> Iterator[pb.ConsumeResponse]:
        asked.append(request.offset)
        if request.offset >= 4:
            return
        yield pb.ConsumeResponse(records=records(request.offset, b"x", b"y"))
        if how == "abort":
            context.abort(grpc.StatusCode.UNKNOWN, "somewhere in between")
        elif how == "lost":
            context.abort(grpc.StatusCode.CANCELLED, "")
        else:
            fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, reason=17)

    fake.on("ConsumeStream", stream)
    got = [r.offset async for r in connect(fake.url).follow()]
    assert got == [0, 1, 2, 3]
    assert asked == [0, 2, 4]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.NOT_FOUND, 6),
        (grpc.StatusCode.PERMISSION_DENIED, 25),
        (grpc.StatusCode.UNAUTHENTICATED, 24),
        (grpc.StatusCode.UNIMPLEMENTED, 23),
        (grpc.StatusCode.FAILED_PRECONDITION, 7),
        (grpc.StatusCode.DATA_LOSS, 22),
    ],
)
async def test_what_cannot_pass_ends_a_read(
    fake: FakeServer, connect: Any, code: grpc.StatusCode, reason: int
) -> None:
    def stream(request: pb.ConsumeRequest, context: Any) -> Iterator[pb.ConsumeResponse]:
        yield pb.ConsumeResponse(records=records(0, b"x"))
        fail(context, code, "no", reason=reason, first_offset=1, next_offset=2)

    fake.on("ConsumeStream", stream)
    reader = connect(fake.url).follow()
    assert [r.offset for r in await first(reader, 1)] == [0]
    with pytest.raises(ProglogError) as caught:
        await soon(reader.__anext__())
    assert caught.value.code == code.value[0]
    assert caught.value.reason == reason
    assert (caught.value.first_offset, caught.value.next_offset) == (1, 2)
    assert isinstance(caught.value, LogChangedError) == (reason == 7)
    assert fake.calls.count("ConsumeStream") == 1


async def test_records_that_are_gone_before_a_resume_are_a_gap(
    fake: FakeServer, connect: Any
) -> None:
    def stream(request: pb.ConsumeRequest, context: Any) -> Iterator[pb.ConsumeResponse]:
        if request.offset == 0:
            yield pb.ConsumeResponse(records=records(0, b"x"))
            context.abort(grpc.StatusCode.UNAVAILABLE, "")
        fail(context, grpc.StatusCode.OUT_OF_RANGE, reason=10, first_offset=5, next_offset=9)

    fake.on("ConsumeStream", stream)
    reader = connect(fake.url).follow()
    assert [r.offset for r in await first(reader, 1)] == [0]
    with pytest.raises(OffsetGapError) as gap:
        await soon(reader.__anext__())
    assert (gap.value.first_offset, gap.value.next_offset) == (5, 9)


async def test_a_log_that_went_back_is_noticed(fake: FakeServer, connect: Any) -> None:
    """The same identity, but its tail is below what was read: it was restored."""
    fake.next = 3
    served = []

    def stream(request: pb.ConsumeRequest, context: Any) -> Iterator[pb.ConsumeResponse]:
        served.append(request.offset)
        if len(served) == 1:
            yield pb.ConsumeResponse(records=records(0, b"x", b"y", b"z"), next_offset=3)
            context.abort(grpc.StatusCode.UNAVAILABLE, "")
        yield pb.ConsumeResponse(next_offset=1)
        yield from until_gone(context)

    fake.on("ConsumeStream", stream)
    reader = connect(fake.url).follow()
    assert [r.offset for r in await first(reader, 3)] == [0, 1, 2]
    with pytest.raises(LogChangedError) as changed:
        await soon(reader.__anext__())
    assert changed.value.reason is Reason.LOG_CHANGED
    assert not changed.value.from_server
    assert served == [0, 3]


async def test_a_start_beyond_the_tail_is_waited_for(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    reader = client.follow(start=2, heartbeat=1)
    waiting = asyncio.ensure_future(reader.__anext__())
    for _ in range(3):
        await client.produce(b"x")
    assert (await soon(waiting)).offset == 2
    await reader.aclose()


@pytest.mark.parametrize("wrong", ["gap", "repeat", "beyond"])
async def test_an_answer_out_of_order_is_an_error(
    fake: FakeServer, connect: Any, wrong: str
) -> None:
    fake.next = 9
    answers = {
        "gap": pb.ConsumeResponse(records=[*records(0, b"x"), *records(2, b"z")]),
        "repeat": pb.ConsumeResponse(records=[*records(0, b"x"), *records(0, b"x")]),
        "beyond": pb.ConsumeResponse(records=records(0, b"x"), next_offset=4),
    }
    fake.on("ConsumeStream", lambda request, context: iter([answers[wrong]]))
    with pytest.raises(ProglogError, match="broke the contract"):
        await first(connect(fake.url).follow(), 1)


async def test_another_log_under_the_name_is_noticed(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await client.create_log("a")
    await fill(client, 2, log="a")
    reader = client.follow(log="a")
    assert [r.offset for r in await first(reader, 2)] == [0, 1]
    await client.delete_log("a")
    await client.create_log("a")
    await client.produce(b"other", log="a")
    with pytest.raises((LogChangedError, ProglogError)) as caught:
        await soon(reader.__anext__())
    assert caught.value.reason in (Reason.LOG_CHANGED, Reason.LOG_NOT_FOUND)


async def test_close_ends_what_waits(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    reader = client.follow()
    waiting = asyncio.ensure_future(reader.__anext__())
    await until(lambda: _stream_of(reader) is not None)
    reader.close()
    with pytest.raises(ClosedError):
        await soon(waiting)
    with pytest.raises(StopAsyncIteration):
        await soon(reader.__anext__())


async def test_aclose_leaves_no_task(server: RealServer) -> None:
    """Also when a wait that was given up is under way."""
    async with aio.Client(server.url) as client:
        reader = client.follow(from_tail=0)
        with pytest.raises(TimeoutError):
            await soon(reader.next(timeout=0.01))
        assert len(asyncio.all_tasks()) > 1
        await reader.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_wait_that_ends_with_close_leaves_no_error_behind(
    server: RealServer, connect: Any, mode: str
) -> None:
    """Closed while somebody waits, who is cancelled, or whose time is over, before it is told:
    what is asked of the closed reader afterwards is not told of it."""
    reader = connect(server.url).follow(from_tail=0)
    with pytest.raises(TimeoutError):
        await soon(reader.next(timeout=0.01))
    await until(functools.partial(_stream_of, reader))
    if mode == "async":
        waiting = asyncio.ensure_future(reader.next())
        await asyncio.sleep(0)  # it waits now
        reader.close()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:

        def wait(until: float | None) -> None:
            reader.close()
            with pytest.raises(ClosedError):  # as a thread that had to wait for its turn
                reader.inner._batches.take(until)
            raise TimeoutError

        with pytest.raises(TimeoutError):
            reader.inner._batches.in_turn(None, wait)
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await soon(reader.next())
    await reader.aclose()


async def test_closing_the_client_ends_its_readers(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    reader = client.follow()
    waiting = asyncio.ensure_future(reader.__anext__())
    await until(lambda: _stream_of(reader) is not None)
    await client.close()
    with pytest.raises(ClosedError):
        await soon(waiting)
    with pytest.raises(ClosedError):
        await client.consume(0)
    with pytest.raises(ClosedError):
        await first(client.follow(), 1)


def _stream_of(reader: Any) -> Any:
    batches = getattr(reader, "inner", reader)
    return getattr(batches, "_batches", batches)._source.stream


async def test_leaving_a_loop_early_releases_the_stream(fake: FakeServer, connect: Any) -> None:
    fake.next = 2
    left = threading.Event()

    def stream(request: pb.ConsumeRequest, context: Any) -> Iterator[pb.ConsumeResponse]:
        context.add_callback(left.set)
        yield pb.ConsumeResponse(records=records(0, b"x", b"y"), next_offset=2)
        yield from until_gone(context)

    fake.on("ConsumeStream", stream)
    client = connect(fake.url)
    async for record in client.follow():
        assert record.offset == 0
        break
    await until(left.is_set)


async def test_a_reader_that_is_let_go_leaves_the_stream(
    fake: FakeServer, connect: Any, mode: str
) -> None:
    """Also when a wait that was cancelled, or timed out, is still under way."""
    began, left = threading.Event(), threading.Event()

    def stream(request: pb.ConsumeRequest, context: Any) -> Iterator[pb.ConsumeResponse]:
        assert context.add_callback(left.set)
        began.set()
        yield from until_gone(context)

    fake.on("ConsumeStream", stream)
    reader = connect(fake.url).follow()
    with pytest.raises(TimeoutError):
        await soon(reader.next(timeout=0.01))
    if mode == "async":
        waiting = asyncio.ensure_future(reader.__anext__())
        await until(began.is_set)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        del waiting
    await until(began.is_set)
    del reader
    await until(lambda: gc.collect() >= 0 and left.is_set())  # a thread may still hold it


async def test_a_wait_that_is_given_up_loses_no_record(
    server: RealServer, connect: Any, mode: str
) -> None:
    """By a timeout or a cancelled task: the reader goes on, and no record is skipped."""
    client = connect(server.url)
    for read in (client.follow, client.batches):
        reader = read(from_tail=0, heartbeat=1)
        start = (await client.describe_log()).next_offset
        for n in range(3):
            with pytest.raises(TimeoutError):
                await soon(reader.next(timeout=0.02 * n))
            if mode == "async":
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.__anext__(), 0.02)
        await until(functools.partial(_stream_of, reader))
        await client.produce(b"here")
        came = await soon(reader.next(timeout=30))
        assert getattr(came, "records", [came])[0].offset == start
        await client.produce(b"there")
        came = await soon(reader.__anext__())
        assert getattr(came, "records", [came])[0].offset == start + 1
        with pytest.raises(TimeoutError):
            await soon(reader.next(timeout=0))
        await reader.aclose()
        with pytest.raises(StopAsyncIteration):
            await soon(reader.__anext__())


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_the_next_offset_is_behind_what_was_delivered(
    server: RealServer, connect: Any, mode: str, how: str
) -> None:
    """What came after its wait was given up is not delivered: who stores the offset, and goes
    on from there, would skip it."""
    client = connect(server.url)
    await fill(client, 1)
    reader = client.batches(from_tail=0)
    if how == "cancel" and mode == "async":
        waiting = asyncio.ensure_future(reader.__anext__())
        await until(functools.partial(_stream_of, reader))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:
        with pytest.raises(TimeoutError):
            await soon(reader.next(timeout=0.01))
        await until(functools.partial(_stream_of, reader))
    assert reader.next_offset == 1
    await fill(client, 2)
    await until(functools.partial(_fetched, reader))
    assert reader.next_offset == 1
    batch = await soon(reader.next(timeout=30))
    assert [r.offset for r in batch.records] == [1, 2]
    assert reader.next_offset == 3
    with pytest.raises(TimeoutError):
        await soon(reader.next(timeout=0.01))
    await fill(client, 1)
    await until(functools.partial(_fetched, reader))
    await reader.aclose()
    assert reader.next_offset == 3


def _fetched(reader: Any) -> bool:
    """What a wait that was given up waited for is there."""
    pending = getattr(reader, "inner", reader)._pending
    done = getattr(pending, "done", None)
    return bool(done() if callable(done) else done is not None and done.is_set())


async def test_several_may_read_and_each_record_goes_to_one(
    server: RealServer, connect: Any, mode: str
) -> None:
    """Tasks, or threads, that wait in one reader at the same time. Records come alone and in
    batches, so that what one wait brings is for several."""
    client = connect(server.url)
    reader = client.follow(from_tail=0, heartbeat=1)
    got: list[int] = []

    async def read(timeout: float | None) -> None:
        while True:
            got.append((await reader.next(timeout)).offset)

    readers = [asyncio.ensure_future(read(timeout)) for timeout in (30, 30, None)]
    await until(functools.partial(_stream_of, reader))
    written = 0
    for count in (1, 2, 5) * 20:
        await fill(client, count)
        written += count
        if count == 2:
            await until(functools.partial(_has, got, written))
    await until(functools.partial(_has, got, written))
    assert sorted(got) == list(range(written))
    reader.close()
    for waiting in readers:
        with pytest.raises((ClosedError, StopAsyncIteration)) as caught:
            await soon(waiting)
        # What waits is not told the end, as of a sealed log. A thread may be on its way back.
        assert mode == "sync" or caught.type is ClosedError
    with pytest.raises(StopAsyncIteration):
        await soon(reader.next())


def _has(got: list[int], count: int) -> bool:
    return len(got) >= count


async def test_batches_go_to_one_of_several(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    reader = client.batches(from_tail=0)
    readers = [asyncio.ensure_future(reader.next(30)) for _ in range(2)]
    await until(functools.partial(_stream_of, reader))
    await fill(client, 1)
    await until(lambda: any(r.done() for r in readers))
    await fill(client, 1)
    assert sorted([(await soon(r)).records[0].offset for r in readers]) == [0, 1]
    await reader.aclose()


async def test_a_timeout_at_the_end_is_the_end(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await fill(client, 2)
    reader = client.records()
    assert [(await soon(reader.next(timeout=30))).offset for _ in range(2)] == [0, 1]
    with pytest.raises(StopAsyncIteration):
        await soon(reader.next(timeout=30))


@pytest.mark.parametrize("known", [False, True])
async def test_a_start_beyond_the_tail_of_a_known_log_is_waited_for(
    server: RealServer, connect: Any, known: bool
) -> None:
    """A log id names the log; it does not say that anything of it was read."""
    client = connect(server.url)
    await fill(client, 2)
    log_id = (await client.describe_log()).id if known else ""
    reader = client.follow(start=4, log_id=log_id, heartbeat=1)
    with pytest.raises(TimeoutError):
        await soon(reader.next(timeout=0.05))
    await fill(client, 3)
    assert (await soon(reader.next(timeout=30))).offset == 4
    await reader.aclose()


async def test_a_cursor_beyond_the_tail_was_read_to_there(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await fill(client, 2)
    place = Place(5, (await client.describe_log()).id)
    with pytest.raises(LogChangedError):
        await first(client.follow(start=place), 1)


async def test_a_wrong_address_shows_soon(connect: Any) -> None:
    with pytest.raises(ProglogError) as caught:
        await first(connect("http://127.0.0.1:1").follow(), 1)
    assert caught.value.code.name == "UNAVAILABLE"
    assert not caught.value.from_server
