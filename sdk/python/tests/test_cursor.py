"""Goal: a cursor keeps a reader's place on the server, notices others, and says what is
missing."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from proglog_sdk import Place, ProglogError, Reason, cursor_log

from .conftest import first
from .servers import FakeServer, RealServer, fail


async def test_a_reader_goes_on_where_it_was(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    info = await client.create_log("orders")
    await client.produce_batch([b"a", b"b", b"c"], log="orders")
    cursor = client.cursor("orders", "billing")
    place = await cursor.get()
    assert not place
    async with client.follow(log="orders", start=place) as reader:
        for record in await first(reader, 2):
            cursor.set(record.offset + 1)
        await cursor.commit()
    again = await client.cursor("orders", "billing").get()
    assert again == Place(2, info.id)
    assert [r.value async for r in client.records(log="orders", start=again)] == [b"c"]


async def test_the_place_is_stored_as_every_language_reads_it(
    server: RealServer, connect: Any
) -> None:
    client = connect(server.url)
    cursor = client.cursor("", "me")
    cursor.set(7)
    await cursor.commit()
    await cursor.commit()  # nothing was set since
    assert cursor_log("", "me") == "cursor/me"
    assert cursor_log("a", "me") == "a.cursor/me"
    stored = (await client.consume_batch(log="cursor/me")).records
    assert len(stored) == 1
    assert list(json.loads(stored[0].value)) == ["log_id", "offset", "writer"]
    assert json.loads(stored[0].value)["offset"] == "7"
    assert (await client.describe_log("cursor/me")).retention.max_bytes == 64 << 10
    theirs = b'{"log_id":"abc","offset":"9007199254740993","writer":"go"}'
    await client.produce(theirs, log="cursor/me")
    assert await client.cursor("", "me").get() == Place(9007199254740993, "abc")


async def test_two_readers_with_one_cursor_notice_each_other(
    server: RealServer, connect: Any
) -> None:
    client = connect(server.url)
    one, two = client.cursor("", "me"), client.cursor("", "me")
    await one.get()
    await two.get()
    one.set(1)
    await one.commit()
    two.set(2)
    with pytest.raises(ProglogError, match="somebody else") as moved:
        await two.commit()
    assert moved.value.reason is Reason.OFFSET_MISMATCH
    assert (await two.get()).offset == 1
    two.set(2)
    await two.commit()
    assert (await one.get()).offset == 2


async def test_a_reader_whose_log_was_replaced_goes_on_with_the_other(
    server: RealServer, connect: Any
) -> None:
    client = connect(server.url)
    await client.create_log("old")
    await client.produce_batch([b"a", b"b"], log="old")
    cursor = client.cursor("old", "me")
    await cursor.get()
    cursor.set(2)
    await cursor.commit()
    await client.delete_log("old")
    info = await client.create_log("old")
    place = await cursor.get()
    with pytest.raises(ProglogError) as changed:
        _ = [r async for r in client.records(log="old", start=place)]
    assert changed.value.reason is Reason.LOG_CHANGED
    assert await cursor.restart() == Place(info.first_offset, info.id)
    await cursor.commit()
    assert await client.cursor("old", "me").get() == Place(info.first_offset, info.id)


async def test_a_log_that_is_no_cursor(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await client.create_log("cursor/me")
    await client.produce(b"what?", log="cursor/me")
    with pytest.raises(ProglogError, match="record 0 is not a place"):
        await client.cursor("", "me").get()


async def test_a_missing_right_is_named(fake: FakeServer, connect: Any) -> None:
    fake.on("GetLog", lambda request, context: fail(context, grpc.StatusCode.NOT_FOUND, reason=6))
    fake.on(
        "PutLog",
        lambda request, context: fail(context, grpc.StatusCode.PERMISSION_DENIED, reason=25),
    )
    with pytest.raises(ProglogError, match=r"the right to create the log 'a.cursor/me' is missing"):
        await connect(fake.url).cursor("a", "me").get()


async def test_a_place_that_nobody_acknowledged_is_looked_up(
    fake: FakeServer, connect: Any
) -> None:
    """The answer of the commit is lost for good, but its record is there."""
    stored: list[bytes] = []

    def produce(request: Any, context: Any) -> Any:
        stored.append(request.record.value)
        context.abort(grpc.StatusCode.UNAVAILABLE, "lost")

    def consume(request: Any, context: Any) -> Any:
        from proglog_sdk._gen import log_v1 as pb

        return pb.ConsumeResponse(record=pb.Record(value=stored[0], offset=0))

    fake.on("Produce", produce)
    fake.on("Consume", consume)
    cursor = connect(fake.url).cursor("", "me")
    await cursor.get()
    cursor.set(5)
    await cursor.commit()
    assert json.loads(stored[0])["offset"] == "5"
