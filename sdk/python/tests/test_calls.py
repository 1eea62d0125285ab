"""Goal: every single call does what it promises, on the real server, in both clients."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from proglog_sdk import (
    Code,
    Header,
    Limits,
    LogChangedError,
    NothingAppendedError,
    OffsetGapError,
    ProducerSequence,
    ProglogError,
    Reason,
    Record,
    Retention,
)

from .conftest import soon
from .servers import RealServer


async def test_what_is_produced_is_consumed(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    one = await client.produce(b"one")
    assert (one.offset, one.next_offset, one.duplicate) == (0, 1, False)
    headers = (Header("a", b"1"), Header("a", b"2"), Header("", b""))
    batch = await client.produce_batch([b"", Record(b"three", headers)])
    assert (batch.offset, batch.next_offset) == (1, 3)
    assert batch.timestamp_ns >= one.timestamp_ns

    empty = await client.consume(1)
    assert (empty.value, empty.headers, empty.offset) == (b"", (), 1)
    third = await client.consume(2)
    assert (third.value, third.headers) == (b"three", headers)
    assert third.timestamp_ns == batch.timestamp_ns
    assert abs(third.time - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(
        minutes=1
    )


async def test_consume_batch_starts_where_it_is_told(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    acks = [await client.produce(b"%d" % n) for n in range(5)]

    async def offsets(**kwargs: Any) -> list[int]:
        batch = await client.consume_batch(**kwargs)
        return [record.offset for record in batch.records]

    assert await offsets() == [0, 1, 2, 3, 4]
    assert await offsets(start=3) == [3, 4]
    assert await offsets(from_tail=2) == [3, 4]
    assert await offsets(from_tail=99) == [0, 1, 2, 3, 4]
    assert await offsets(from_time=datetime.datetime.now()) == []
    assert await offsets(from_time=datetime.datetime.now(), wait=0.01) == []
    long_ago = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
    assert await offsets(from_time=long_ago, max_records=2) == [0, 1]
    assert await offsets(start=1, until=3) == [1, 2]
    whole = await client.consume_batch()
    assert whole.tail
    assert whole.next_offset == acks[-1].next_offset
    assert not (await client.consume_batch(max_records=2)).tail


async def test_waiting_at_the_tail(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    for where in ({}, {"start": 0}, {"from_tail": 0}):
        for wait in (0, 0.05):
            empty = await client.consume_batch(wait=wait, **where)
            assert (list(empty.records), empty.tail, empty.next_offset) == ([], True, 0)
    with pytest.raises(ProglogError) as beyond:
        await client.consume_batch(start=1)
    assert (beyond.value.reason, beyond.value.next_offset) == (Reason.OFFSET_UNWRITTEN, 0)
    with pytest.raises(ProglogError) as caught:
        await client.consume(0, wait=datetime.timedelta(milliseconds=50))
    assert caught.value.reason is Reason.OFFSET_UNWRITTEN

    import asyncio

    waiting = asyncio.ensure_future(client.consume(0, wait=20))
    await client.produce(b"here")
    assert (await soon(waiting)).value == b"here"


async def test_errors_carry_what_the_server_said(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await client.create_log("a")
    for _ in range(4):
        await client.produce(b"x", log="a")
    assert await client.trim_log("a", 2) == 2
    with pytest.raises(OffsetGapError) as gap:
        await client.consume(0, log="a")
    assert (gap.value.code, gap.value.reason) == (Code.OUT_OF_RANGE, Reason.OFFSET_TRIMMED)
    assert (gap.value.first_offset, gap.value.next_offset) == (2, 4)
    assert gap.value.from_server
    with pytest.raises(ProglogError) as unwritten:
        await client.consume(4, log="a")
    assert unwritten.value.reason is Reason.OFFSET_UNWRITTEN
    assert str(unwritten.value).startswith("out_of_range (OFFSET_UNWRITTEN): ")
    with pytest.raises(LogChangedError):
        await client.consume(3, log="a", log_id="another")
    with pytest.raises(ProglogError) as unknown:
        await client.describe_log("nowhere")
    assert unknown.value.reason is Reason.LOG_NOT_FOUND


async def test_a_refused_write_says_so(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await client.produce(b"x", expected_offset=0)
    with pytest.raises(NothingAppendedError) as mismatch:
        await client.produce(b"y", expected_offset=0)
    assert mismatch.value.reason is Reason.OFFSET_MISMATCH
    assert mismatch.value.next_offset == 1
    assert isinstance(mismatch.value.__cause__, ProglogError)
    with pytest.raises(NothingAppendedError) as unknown:
        await client.produce(b"y", log="nowhere")
    assert unknown.value.reason is Reason.LOG_NOT_FOUND


async def test_limits_are_checked_before_anything_is_sent(connect: Any) -> None:
    """There is no server at that address."""
    client = connect("http://127.0.0.1:1")
    small = connect("http://127.0.0.1:1", limits=Limits(value_bytes=4, batch_bytes=6))
    many_headers = Record(b"", tuple(Header("a", b"") for _ in range(65)))
    long_header = Record(b"", (Header("a", b"x" * (16 << 10)),))
    cases: list[tuple[Any, list[Any], int]] = [
        (client, [bytes((1 << 20) + 1)], 1 << 20),
        (client, [many_headers], 64),
        (client, [long_header], 16 << 10),
        (client, [b""] * 1001, 1000),
        (client, [bytes(1 << 20)] * 3, 2 << 20),
        (small, [b"12345"], 4),
        (small, [b"1234", b"567"], 6),
    ]
    for own, records, limit in cases:
        with pytest.raises(NothingAppendedError) as caught:
            await own.produce_batch(records)
        assert (caught.value.reason, caught.value.limit) == (Reason.TOO_LARGE, limit)
        assert not caught.value.from_server
    with pytest.raises(NothingAppendedError) as empty:
        await client.produce_batch([])
    assert empty.value.reason is Reason.NO_RECORD
    with pytest.raises(NothingAppendedError, match="UTF-8"):
        await client.produce(Record(b"", (Header("\ud800", b""),)))
    with pytest.raises(TypeError):
        await client.produce("text")


async def test_a_request_numbered_by_hand_is_appended_once(
    server: RealServer, connect: Any
) -> None:
    client = connect(server.url)
    number = ProducerSequence("writer", 1, 0)
    one = await client.produce(b"x", producer=number)
    again = await client.produce(b"x", producer=number)
    assert again == type(one)(one.offset, one.next_offset, one.timestamp_ns, duplicate=True)
    with pytest.raises(NothingAppendedError) as gap:
        await client.produce(b"x", producer=ProducerSequence("writer", 1, 5))
    assert (gap.value.reason, gap.value.sequence, gap.value.epoch) == (Reason.SEQUENCE_GAP, 1, 1)
    with pytest.raises(NothingAppendedError) as reused:
        await client.produce(b"y", producer=number)
    assert reused.value.reason is Reason.SEQUENCE_REUSED
    with pytest.raises(NothingAppendedError, match="1 to 64 bytes"):
        await client.produce(b"y", producer=ProducerSequence("", 1, 0))


async def test_calls_at_the_same_time_share_a_stream(server: RealServer, connect: Any) -> None:
    """Each has its own acknowledgement, and each record is in the log once."""
    import asyncio

    client = connect(server.url)
    acks = await soon(asyncio.gather(*(client.produce(b"%d" % n) for n in range(200))))
    assert sorted(ack.offset for ack in acks) == list(range(200))
    found = {record.offset: record.value async for record in client.records()}
    assert all(found[ack.offset] == b"%d" % n for n, ack in enumerate(acks))

    failed = await soon(
        asyncio.gather(
            *(client.produce(b"x", log="nowhere") for _ in range(8)), return_exceptions=True
        )
    )
    assert {type(error) for error in failed} == {NothingAppendedError}
    assert {error.reason for error in failed} == {Reason.LOG_NOT_FOUND}


async def test_logs_are_made_described_and_removed(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    kept = Retention(datetime.timedelta(hours=1), 1 << 20)
    info = await client.create_log("shop/orders", retention=kept)
    assert (info.name, info.retention, info.sealed) == ("shop/orders", kept, False)
    assert info.id
    with pytest.raises(ProglogError) as exists:
        await client.create_log("shop/orders")
    assert exists.value.code is Code.ALREADY_EXISTS

    same, created = await client.put_log("shop/orders", retention=Retention())
    assert (created, same.id, same.retention) == (False, info.id, Retention())
    _, created = await client.put_log("shop/items")
    assert created
    assert [i.name async for i in client.logs("shop/")] == ["shop/items", "shop/orders"]

    await client.produce_batch([b"a", b"b", b"c"], log="shop/orders")
    described = await client.describe_log("shop/orders")
    assert (described.first_offset, described.next_offset) == (0, 3)
    assert described.last_time is not None
    assert described.dedup is not None
    assert described.dedup.acks == 256

    assert await client.trim_log("shop/orders", 99) == 3
    sealed = await client.seal_log("shop/orders")
    assert sealed.sealed
    with pytest.raises(NothingAppendedError) as refused:
        await client.produce(b"d", log="shop/orders")
    assert refused.value.reason is Reason.LOG_SEALED
    with pytest.raises(ProglogError) as none:
        await client.seal_log("nowhere")
    assert none.value.reason is Reason.LOG_NOT_FOUND

    await client.delete_log("shop/orders")
    assert [i.name async for i in client.logs("shop/")] == ["shop/items"]
    with pytest.raises(ProglogError) as gone:
        await client.delete_log("shop/orders")
    assert gone.value.reason is Reason.LOG_NOT_FOUND


async def test_many_logs_come_in_pages(start: Any, connect: Any) -> None:
    server = start("--max-page-size", "2")
    client = connect(server.url)
    names = [f"log{n}" for n in range(5)]
    for name in names:
        await client.create_log(name)
    assert [i.name async for i in client.logs("log")] == names
