"""Goal: a cursor keeps a reader's place on the server, notices others, and says what is
missing."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import grpc
import pytest

from proglog_sdk import (
    Code,
    LogChangedError,
    NothingAppendedError,
    OutcomeUnknownError,
    Place,
    ProglogError,
    Reason,
    cursor_log,
)
from proglog_sdk._gen import log_v1 as pb

from .conftest import LIMIT, first, soon, until
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


async def out_of_date(cursor: Any) -> None:
    """Checks that a cursor does not store its place."""
    with pytest.raises(NothingAppendedError) as moved:
        await cursor.commit()
    assert moved.value.reason is Reason.OFFSET_MISMATCH
    assert moved.value.code is Code.ABORTED


async def test_a_cursor_that_is_out_of_date_stays_so_until_it_has_read_the_place(
    server: RealServer, connect: Any
) -> None:
    client = connect(server.url)
    late, early = client.cursor("", "me"), client.cursor("", "me")
    await late.get()
    await early.get()
    early.set(15)
    await early.commit()
    late.set(3)
    await out_of_date(late)
    await out_of_date(late)
    late.set(4)
    await out_of_date(late)
    early.set(16)
    await early.commit()  # nobody has moved it
    assert (await late.get()).offset == 16
    late.set(17)
    await late.commit()
    early.set(5)
    await out_of_date(early)
    await early.restart()
    await early.commit()  # it was decided to begin anew


async def test_a_place_that_was_not_read_is_not_overwritten(
    server: RealServer, connect: Any
) -> None:
    client = connect(server.url)
    one, two = client.cursor("", "me"), client.cursor("", "me")
    one.set(7)
    await one.commit()  # the first place of all
    one.set(8)
    await one.commit()
    two.set(0)
    await out_of_date(two)
    await out_of_date(two)
    assert (await two.get()).offset == 8


async def test_another_reader_does_not_take_its_offset_into_the_new_log(
    server: RealServer, connect: Any
) -> None:
    """One reader began anew with the log that has the name now; the other did not notice."""
    client = connect(server.url)
    await client.create_log("old")
    await client.produce_batch([b"a", b"b", b"c"], log="old")
    one, two = client.cursor("old", "me"), client.cursor("old", "me")
    await one.get()
    one.set(1)
    await one.commit()
    await two.get()
    await client.delete_log("old")
    info = await client.create_log("old")
    await one.restart()
    await one.commit()
    two.set(2)
    await out_of_date(two)
    await out_of_date(two)
    assert await client.cursor("old", "me").get() == Place(info.first_offset, info.id)


@pytest.mark.parametrize("method", ["GetLog", "Produce"])
async def test_a_place_that_is_set_during_a_commit_is_not_lost(
    fake: FakeServer, connect: Any, method: str
) -> None:
    """The commit loads the cursor or stores the place before, when the next place is set."""
    stored: list[str] = []
    reached, go_on = threading.Event(), threading.Event()

    def hold(name: str) -> None:
        if name == method:
            reached.set()
            assert go_on.wait(LIMIT)

    def get_log(request: pb.GetLogRequest, context: Any) -> pb.GetLogResponse:
        hold("GetLog")
        found: pb.GetLogResponse = described(request, context)
        return found

    def produce(request: pb.ProduceRequest, context: Any) -> pb.ProduceResponse:
        hold("Produce")
        stored.append(json.loads(request.record.value)["offset"])
        return pb.ProduceResponse(offset=len(stored) - 1, next_offset=len(stored))

    described = fake.handlers["GetLog"]
    fake.on("GetLog", get_log)
    fake.on("Produce", produce)
    cursor = connect(fake.url).cursor("", "me")
    cursor.set(1)
    committing = asyncio.ensure_future(cursor.commit())
    await until(reached.is_set)
    setting = asyncio.ensure_future(set_in_turn(cursor, 2))
    await asyncio.sleep(0)
    go_on.set()
    await soon(asyncio.gather(committing, setting))
    await soon(cursor.commit())
    assert stored[-1] == "2"


async def set_in_turn(cursor: Any, offset: int) -> None:
    """Sets a place: at once with asyncio, behind what is under way with threads."""
    if hasattr(cursor, "inner"):
        await asyncio.to_thread(cursor.inner.set, offset)
    else:
        cursor.set(offset)


async def test_a_cursor_knows_its_own_commit_when_the_server_is_back(
    fake: FakeServer, connect: Any
) -> None:
    """Nobody told of the commit, and the server was gone when it was looked up."""
    stored: list[bytes] = []
    gone = True

    def produce(request: pb.ProduceRequest, context: Any) -> pb.ProduceResponse:
        if request.expected_offset == len(stored):
            stored.append(request.record.value)
        elif not gone:
            fail(context, grpc.StatusCode.ABORTED, reason=12, nothing_appended=True)
        if gone:
            context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        return pb.ProduceResponse(offset=len(stored) - 1, next_offset=len(stored))

    def consume(request: pb.ConsumeRequest, context: Any) -> pb.ConsumeResponse:
        if gone:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return pb.ConsumeResponse(record=pb.Record(value=stored[request.offset]))

    fake.on("Produce", produce)
    fake.on("Consume", consume)
    cursor = connect(fake.url).cursor("", "me")
    await cursor.get()
    cursor.set(3)
    with pytest.raises(OutcomeUnknownError):
        await cursor.commit()
    gone = False
    cursor.set(4)
    await cursor.commit()
    assert [json.loads(value)["offset"] for value in stored] == ["3", "4"]


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
        return pb.ConsumeResponse(record=pb.Record(value=stored[0], offset=0))

    fake.on("Produce", produce)
    fake.on("Consume", consume)
    cursor = connect(fake.url).cursor("", "me")
    await cursor.get()
    cursor.set(5)
    await cursor.commit()
    assert json.loads(stored[0])["offset"] == "5"


async def test_a_first_place_belongs_to_the_log_that_was_there(
    server: RealServer, connect: Any
) -> None:
    """An offset of one log is not stored for another that took its name meanwhile."""
    client = connect(server.url)
    log_id = (await client.create_log("o")).id
    await client.produce(b"a", log="o")
    cursor = client.cursor("o", "f")
    assert not await cursor.get()
    await client.delete_log("o")
    await client.create_log("o")
    cursor.set(1)
    await cursor.commit()
    place = await client.cursor("o", "f").get()
    assert place == Place(1, log_id)
    with pytest.raises(LogChangedError):
        await first(client.records(log="o", start=place), 1)


async def test_a_place_of_a_log_that_comes_later(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    cursor = client.cursor("later", "f")
    assert not await cursor.get()
    log_id = (await client.create_log("later")).id
    cursor.set(1)
    await cursor.commit()
    assert await client.cursor("later", "f").get() == Place(1, log_id)
