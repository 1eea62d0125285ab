"""Goal: a single call is tried again exactly when that cannot do harm, and a write says which of
the two failures it is."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

from proglog_sdk import (
    Code,
    NothingAppendedError,
    OutcomeUnknownError,
    ProducerSequence,
    ProglogError,
    Reason,
    Retention,
    Retry,
)
from proglog_sdk._gen import log_v1 as pb

from .conftest import soon, until
from .servers import FakeServer, RealServer, Relay, fail

S = grpc.StatusCode


async def test_a_read_is_tried_again(fake: FakeServer, connect: Any) -> None:
    codes = iter([S.UNAVAILABLE, S.RESOURCE_EXHAUSTED, S.INTERNAL])

    def consume(request: pb.ConsumeRequest, context: Any) -> pb.ConsumeResponse:
        for code in codes:
            fail(context, code, reason={S.UNAVAILABLE: 19, S.RESOURCE_EXHAUSTED: 17}.get(code, 1))
        return pb.ConsumeResponse(record=pb.Record(value=b"x", offset=3))

    fake.on("Consume", consume)
    assert (await connect(fake.url).consume(3)).value == b"x"
    assert fake.calls.count("Consume") == 4


async def test_attempts_are_bounded(fake: FakeServer, connect: Any) -> None:
    fake.on("Consume", lambda request, context: fail(context, S.UNAVAILABLE, reason=19))
    with pytest.raises(ProglogError) as caught:
        await connect(fake.url, retry=Retry(3, 0.001, 0.001)).consume(0)
    assert caught.value.reason is Reason.DRAINING
    assert fake.calls.count("Consume") == 3


async def test_a_write_with_a_lost_answer_is_sent_again_under_its_number(
    fake: FakeServer, connect: Any
) -> None:
    seen: list[tuple[str, int, int]] = []

    def produce(request: pb.ProduceRequest, context: Any) -> pb.ProduceResponse:
        producer = request.producer
        seen.append((producer.id, producer.epoch, producer.sequence))
        if len(seen) == 1:
            context.abort(S.UNAVAILABLE, "lost")
        return pb.ProduceResponse(offset=len(seen), next_offset=len(seen) + 1, duplicate=True)

    fake.on("Produce", produce)
    client = connect(fake.url)
    assert (await client.produce(b"x")).duplicate
    await client.produce(b"y")
    assert seen[0] == seen[1]
    assert seen[2] == (seen[0][0], 0, 1)


async def test_a_lost_answer_of_the_real_server(
    server: RealServer, relay: Relay, connect: Any
) -> None:
    client, direct = connect(relay.url), connect(server.url)
    await client.produce(b"a")
    relay.swallow(True)
    waiting = asyncio.ensure_future(client.produce(b"b"))
    await until(relay.swallowed.is_set)
    relay.swallow(False)
    relay.cut()
    ack = await soon(waiting)
    assert (ack.offset, ack.duplicate) == (1, True)
    assert [r.value async for r in direct.records()] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("code", "reason"), [(S.FAILED_PRECONDITION, 13), (S.FAILED_PRECONDITION, 8), (S.ABORTED, 12)]
)
async def test_a_refused_retry_has_an_unknown_outcome(
    fake: FakeServer, connect: Any, code: grpc.StatusCode, reason: int
) -> None:
    def produce(request: pb.ProduceRequest, context: Any) -> pb.ProduceResponse:
        if fake.calls.count("Produce") == 1:
            context.abort(S.UNAVAILABLE, "lost")
        fail(context, code, reason=reason, nothing_appended=True)
        raise AssertionError

    fake.on("Produce", produce)
    with pytest.raises(OutcomeUnknownError) as unknown:
        await connect(fake.url).produce(b"x", expected_offset=4)
    assert unknown.value.reason == reason
    assert not unknown.value.nothing_appended
    assert unknown.value.__cause__ is not None


async def test_nothing_is_sent_twice_to_a_server_that_would_append_it_twice(
    fake: FakeServer, connect: Any
) -> None:
    fake.on("GetLog", lambda request, context: pb.GetLogResponse())
    fake.on("Produce", lambda request, context: context.abort(S.UNAVAILABLE, "lost"))
    with pytest.raises(OutcomeUnknownError):
        await connect(fake.url).produce(b"x")
    assert fake.calls.count("Produce") == 1


async def test_a_message_over_the_transports_limit_is_never_sent_again(
    fake: FakeServer, connect: Any
) -> None:
    fake.on("Produce", lambda request, context: context.abort(S.RESOURCE_EXHAUSTED, "too large"))
    with pytest.raises(NothingAppendedError) as caught:
        await connect(fake.url).produce(b"x")
    assert caught.value.from_server
    assert fake.calls.count("Produce") == 1


async def test_a_forgotten_identity_is_renewed_before_anything_was_sent_under_it(
    fake: FakeServer, connect: Any
) -> None:
    """The client was silent for so long that the server forgot it. The refused request provably
    appended nothing, so it goes on under another identity."""
    ids: list[tuple[str, int]] = []

    def produce(request: pb.ProduceRequest, context: Any) -> pb.ProduceResponse:
        ids.append((request.producer.id, request.producer.sequence))
        if len(ids) == 2:
            fail(context, S.FAILED_PRECONDITION, reason=15)
        return pb.ProduceResponse(offset=0, next_offset=1)

    fake.on("Produce", produce)
    client = connect(fake.url)
    await client.produce(b"x")
    await client.produce(b"y")
    assert ids[1] == (ids[0][0], 1)
    assert ids[2][0] != ids[0][0]
    assert ids[2][1] == 0


async def test_a_connection_that_was_refused_appended_nothing(connect: Any) -> None:
    with pytest.raises(NothingAppendedError) as caught:
        await connect("http://127.0.0.1:1").produce(b"x")
    assert caught.value.code is Code.UNAVAILABLE
    assert not caught.value.from_server


async def test_a_timeout_leaves_a_write_unknown(fake: FakeServer, connect: Any) -> None:
    go = threading.Event()

    def produce(request: pb.ProduceRequest, context: Any) -> pb.ProduceResponse:
        go.wait(30)
        return pb.ProduceResponse(offset=0, next_offset=1)

    fake.on("Produce", produce)
    client = connect(fake.url, timeout=0.1)
    try:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.produce(b"x")
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        together = await asyncio.gather(
            *(client.produce(b"x") for _ in range(4)), return_exceptions=True
        )
        assert all(isinstance(error, ProglogError) for error in together)
        assert any(isinstance(error, OutcomeUnknownError) for error in together)
    finally:
        go.set()


async def test_a_timeout_bounds_the_pauses(connect: Any) -> None:
    client = connect("http://127.0.0.1:1", retry=Retry(1000, 5.0, 5.0), timeout=0.2)
    with pytest.raises(ProglogError):
        await soon(client.consume(0))


async def test_a_delete_that_came_through_is_done(fake: FakeServer, connect: Any) -> None:
    def delete(request: pb.DeleteLogRequest, context: Any) -> pb.DeleteLogResponse:
        if fake.calls.count("DeleteLog") == 1:
            context.abort(S.UNAVAILABLE, "lost")
        fail(context, S.NOT_FOUND, reason=6)
        raise AssertionError

    fake.on("DeleteLog", delete)
    await connect(fake.url).delete_log("a")
    assert fake.calls.count("DeleteLog") == 2


async def test_a_number_by_hand_is_kept(fake: FakeServer, connect: Any) -> None:
    fake.on("Produce", lambda request, context: fail(context, S.FAILED_PRECONDITION, reason=15))
    with pytest.raises(OutcomeUnknownError) as forgotten:
        await connect(fake.url).produce(b"x", producer=ProducerSequence("me", 2, 9))
    assert forgotten.value.reason is Reason.SEQUENCE_FORGOTTEN
    assert fake.calls.count("Produce") == 1


async def test_an_internal_error_names_its_incident(fake: FakeServer, connect: Any) -> None:
    fake.on(
        "GetLog",
        lambda request, context: fail(context, S.INTERNAL, "oops", reason=1, incident="i7"),
    )
    with pytest.raises(ProglogError, match=r"internal \(INTERNAL\): oops \(incident i7\)"):
        await connect(fake.url).describe_log()


async def test_a_log_that_may_be_by_this_call_is_not_taken_for_anothers(
    fake: FakeServer, connect: Any
) -> None:
    """The answer that would have told who made it is lost; with a drain, nothing was made."""
    failures = [S.UNAVAILABLE]
    lost = True

    def put(request: pb.PutLogRequest, context: Any) -> pb.PutLogResponse:
        for code in [failures.pop()] if failures else []:
            if lost:
                context.abort(code, "lost")
            fail(context, code, reason=19)
        return pb.PutLogResponse(info=pb.LogInfo(log=request.log, log_id="a"))

    fake.on("PutLog", put)
    client = connect(fake.url)
    with pytest.raises(OutcomeUnknownError, match="may be by this call"):
        await client.create_log("a", retention=Retention(max_bytes=5))
    assert fake.calls.count("PutLog") == 2
    lost, failures = False, [S.UNAVAILABLE]
    with pytest.raises(ProglogError) as drained:
        await client.create_log("a")
    assert drained.value.code is Code.ALREADY_EXISTS


async def test_a_log_that_was_made_without_its_settings_is_told(
    fake: FakeServer, connect: Any
) -> None:
    def put(request: pb.PutLogRequest, context: Any) -> pb.PutLogResponse:
        if request.HasField("retention"):
            fail(context, S.PERMISSION_DENIED, reason=25)
        return pb.PutLogResponse(info=pb.LogInfo(log=request.log, log_id="a"), created=True)

    fake.on("PutLog", put)
    with pytest.raises(ProglogError, match="was made, but its settings") as caught:
        await connect(fake.url).create_log("a", retention=Retention(max_bytes=5))
    assert caught.value.reason is Reason.PERMISSION_DENIED
