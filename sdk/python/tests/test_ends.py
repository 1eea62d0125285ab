"""Goal: what is told to end does, whatever the network does, and leaves nothing behind.

The scripted server keeps the connection alive and answers no call: what waits for it would
wait for ever.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import grpc
import pytest

from proglog_sdk import (
    Attempt,
    CancelScope,
    Client,
    ClosedError,
    Code,
    NothingAppendedError,
    OutcomeUnknownError,
    ProglogError,
)
from proglog_sdk import _identity as identity_module
from proglog_sdk._codec import encode_producer
from proglog_sdk._gen import log_v1 as pb

from .conftest import soon, until
from .servers import FakeServer, RealServer, records, until_gone


@pytest.fixture
def silent(fake: FakeServer) -> FakeServer:
    """A server that answers nothing."""

    def wait(request: Any, context: Any) -> Any:
        list(until_gone(context))
        context.abort(grpc.StatusCode.CANCELLED, "")

    def stream(request: Any, context: Any) -> Any:
        yield from until_gone(context)

    for method in ("GetLog", "Produce", "Consume"):
        fake.on(method, wait)
    for method in ("ProduceStream", "ConsumeStream"):
        fake.on(method, stream)
    return fake


@pytest.mark.parametrize("how", ["close", "abort", "client"])
async def test_a_producer_ends_before_its_first_answer(
    silent: FakeServer, connect: Any, how: str
) -> None:
    client = connect(silent.url)
    producer = client.producer()
    sending = asyncio.ensure_future(producer.send(b"x"))
    await until(lambda: "GetLog" in silent.calls)
    if how == "close":
        with pytest.raises(ClosedError):  # that is what ended it
            await asyncio.wait_for(producer.close(timeout=0.05), 10)
    elif how == "abort":
        await asyncio.wait_for(producer.abort(), 10)
    else:
        await asyncio.wait_for(client.close(), 10)
    with pytest.raises(NothingAppendedError) as caught:
        await soon(sending)
    assert caught.value.code is Code.CANCELED
    assert producer.done


async def test_an_abort_leaves_what_was_sent_unknown(
    silent: FakeServer, connect: Any, mode: str
) -> None:
    silent.handlers["GetLog"] = silent._get_log
    took = threading.Event()

    def stream(requests: Any, context: Any) -> Any:
        next(requests)
        took.set()
        yield from until_gone(context)

    silent.on("ProduceStream", stream)
    client = connect(silent.url)
    producer = client.producer(max_batch_records=1, max_in_flight_batches=1)
    futures = [await producer.send(b"x") for _ in range(3)]
    await until(took.is_set)
    await asyncio.wait_for(client.close(), 10)
    kinds = [OutcomeUnknownError, NothingAppendedError, NothingAppendedError]
    for future, kind in zip(futures, kinds, strict=True):
        with pytest.raises(kind):
            await soon(future)


@pytest.mark.parametrize("how", ["result", "exception", "flush", "close"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_scope_breaks_off_what_waits_for_a_producer(
    silent: FakeServer, how: str, when: str
) -> None:
    """The record's outcome is unknown then. After all but `close` the producer goes on."""
    silent.handlers["GetLog"] = silent._get_log
    scope = CancelScope()
    with Client(silent.url) as client:
        producer = client.producer()
        future = producer.send(b"x")
        wait = getattr(future if how in ("result", "exception") else producer, how)
        began = threading.Event()
        caught: list[BaseException] = []

        def run() -> None:
            with scope:
                began.set()
                try:
                    wait()
                except BaseException as error:
                    caught.append(error)

        if when == "before":
            scope.cancel()
        thread = threading.Thread(target=run)
        thread.start()
        assert began.wait(10)
        scope.cancel()
        thread.join(10)
        assert [getattr(error, "code", error) for error in caught] == [Code.CANCELED]
        assert isinstance(caught[0], ClosedError if how == "close" else OutcomeUnknownError)
        assert producer.done == (how == "close")
        if how == "close":
            assert future.done()
        else:
            with pytest.raises(TimeoutError):
                future.result(0)
        producer.abort()


@pytest.mark.parametrize("timeout", [None, 30])
@pytest.mark.parametrize("kind", ["follow", "batches"])
def test_a_scope_breaks_off_a_wait_of_a_reader(
    server: RealServer, timeout: float | None, kind: str
) -> None:
    """The reader goes on, as after a timeout: what comes later is there for the next wait."""
    scope, began = CancelScope(), threading.Event()
    caught: list[BaseException] = []
    with Client(server.url) as client, getattr(client, kind)(from_tail=0) as reader:
        with pytest.raises(TimeoutError):
            reader.next(timeout=0.01)

        def run() -> None:
            with scope:
                began.set()
                try:
                    reader.next(timeout)
                except BaseException as error:
                    caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert began.wait(10)
        scope.cancel()
        thread.join(10)
        assert [getattr(error, "code", error) for error in caught] == [Code.CANCELED]
        assert not isinstance(caught[0], ClosedError)
        client.produce(b"x")
        with scope, pytest.raises(ProglogError) as again:
            reader.next(timeout)
        assert again.value.code is Code.CANCELED
        came = reader.next(timeout=30)
        assert getattr(came, "records", [came])[0].offset == 0
        # A loop that is in the scope from its start.
        fresh = CancelScope()
        threading.Timer(0.05, fresh.cancel).start()
        with fresh, pytest.raises(ProglogError) as loop:
            for _ in reader:
                pass
        assert loop.value.code is Code.CANCELED


@pytest.mark.parametrize("how", ["flush", "close", "result", "send", "leave"])
def test_a_callback_that_would_wait_for_its_own_producer_fails(
    server: RealServer, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It runs in the thread that it would wait for. The producer goes on, and so it does when
    the callback is called at the producer's end."""
    errors: list[BaseException | None] = []
    told = threading.Event()
    with Client(server.url) as client:
        producer = client.producer(max_batch_records=1, max_in_flight_bytes=1000)
        producer.send(b"first").result(10)

        def call(done: Any) -> None:
            try:
                if how == "result":
                    last.result()
                elif how == "send":
                    for _ in range(3):
                        producer.send(bytes(400))
                elif how == "leave":
                    with producer:
                        pass
                else:
                    getattr(producer, how)()
                errors.append(None)
            except BaseException as error:
                errors.append(error)
                raise
            finally:
                told.set()

        with producer._sending.lock:  # nothing is acknowledged before the callback is there
            producer.send(b"a").add_done_callback(call)
            last = producer.send(b"b")
        assert told.wait(10)
        producer.close(timeout=10)
        assert [type(error) for error in errors] == [RuntimeError]
        assert "callback" in str(errors[0])
        assert "callback of a producer's future failed" in caplog.text
        assert last.result(10).offset == 2


def test_a_callback_may_use_what_needs_no_wait(server: RealServer) -> None:
    """Of a producer that has ended, or has nothing more to do; and `abort`."""
    with Client(server.url) as client:
        producer = client.producer()
        told = threading.Event()
        seen: list[object] = []

        def call(done: Any) -> None:
            producer.flush()
            seen.append(done.result().offset)
            seen.append(producer.send(b"b"))
            producer.abort()
            told.set()

        with producer._sending.lock:
            producer.send(b"a").add_done_callback(call)
        assert told.wait(10)
        with pytest.raises(ClosedError):
            producer.close(timeout=10)
        assert seen[0] == 0


@pytest.mark.parametrize("how", ["reader", "client"])
async def test_a_reader_ends_before_its_first_answer(
    silent: FakeServer, connect: Any, how: str
) -> None:
    client = connect(silent.url)
    reader = client.follow()
    waiting = asyncio.ensure_future(reader.__anext__())
    await until(lambda: "GetLog" in silent.calls)
    if how == "reader":
        reader.close()
    else:
        await asyncio.wait_for(client.close(), 10)
    with pytest.raises(ClosedError) as caught:
        await asyncio.wait_for(waiting, 10)
    assert caught.value.code is Code.CANCELED


@pytest.mark.parametrize("how", ["reader", "client"])
async def test_a_reader_ends_in_its_pause(fake: FakeServer, connect: Any, how: str) -> None:
    """Between two streams, where the pause is far longer than the test."""
    from proglog_sdk import Retry

    failed = threading.Event()

    def stream(request: Any, context: Any) -> Any:
        failed.set()
        context.abort(grpc.StatusCode.UNAVAILABLE, "")
        yield from ()

    fake.on("ConsumeStream", stream)
    client = connect(fake.url, retry=Retry(5, 3600, 3600))
    reader = client.follow()
    waiting = asyncio.ensure_future(reader.__anext__())
    await until(failed.is_set)
    if how == "reader":
        reader.close()
    else:
        await client.close()
    with pytest.raises(ClosedError):
        await asyncio.wait_for(waiting, 10)


async def test_closing_ends_calls_at_the_same_time(silent: FakeServer, connect: Any) -> None:
    client = connect(silent.url)
    calls = [asyncio.ensure_future(client.produce(b"x")) for _ in range(4)]
    await until(lambda: {"Produce", "GetLog"} <= set(silent.calls))
    await asyncio.wait_for(client.close(), 10)
    for call in calls:
        with pytest.raises(ProglogError) as caught:
            await asyncio.wait_for(call, 10)
        assert caught.value.code is Code.CANCELED


async def test_a_token_that_never_comes_keeps_nothing_open(
    silent: FakeServer, connect: Any, mode: str
) -> None:
    """The function that gives tokens hangs; an abort does not wait for it."""
    asked, release = threading.Event(), threading.Event()

    def token() -> str:
        asked.set()
        release.wait(30)
        return "x"

    async def token_async() -> str:
        asked.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    client = connect(silent.url, token=token if mode == "sync" else token_async)
    producer = client.producer()
    try:
        await until(asked.is_set)
        await asyncio.wait_for(producer.abort(), 15)
        assert producer.done
    finally:
        release.set()


def test_scopes_reach_calls_that_share_a_stream(silent: FakeServer) -> None:
    """Four threads inside one scope; some of them wait for room or for the server's bounds."""
    caught: list[ProglogError] = []
    with Client(silent.url) as client:
        scope = CancelScope()

        def call() -> None:
            with scope:
                try:
                    client.produce(b"x")
                except ProglogError as error:
                    caught.append(error)

        threads = [threading.Thread(target=call, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        deadline = threading.Event()
        while not {"Produce", "GetLog"} <= set(silent.calls):
            deadline.wait(0.005)
        scope.cancel()
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)
        assert {error.code for error in caught} == {Code.CANCELED}
        assert len(caught) == 4


def test_a_scope_is_for_many_threads_and_may_be_nested(fake: FakeServer) -> None:
    with Client(fake.url) as client:
        outer, inner = CancelScope(), CancelScope()
        entered, leave = threading.Event(), threading.Event()
        errors: list[BaseException] = []

        def other() -> None:
            try:
                with outer:
                    entered.set()
                    leave.wait(30)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(30)
        with outer, outer, inner:
            assert client.describe_log().id == "id-1"
        leave.set()
        thread.join()
        assert errors == []
        with outer, inner:
            outer.cancel()
            with pytest.raises(ProglogError, match="cancelled"):
                client.describe_log()
        with inner:  # nothing of the other is left
            assert client.describe_log().id == "id-1"


@pytest.mark.parametrize("when", ["first", "later"])
async def test_a_fault_of_our_own_ends_a_producer(
    fake: FakeServer, connect: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """An encoder that fails must leave nobody waiting, and no outcome invented."""
    usual = encode_producer
    fail_at = 0 if when == "first" else 1

    def encode(id: str, epoch: int, sequence: int) -> bytes:
        if sequence >= fail_at:
            raise ArithmeticError("a fault")
        return usual(id, epoch, sequence)

    took = threading.Event()

    def stream(requests: Any, context: Any) -> Any:
        for _ in requests:
            took.set()
        yield from until_gone(context)

    fake.on("ProduceStream", stream)
    client = connect(fake.url)
    await client.describe_log()
    monkeypatch.setattr(identity_module, "encode_producer", encode)
    producer = client.producer()
    futures = [await producer.send(b"a")]
    if when == "later":
        await until(took.is_set)
        futures.append(await producer.send(b"b"))
    told = []
    for future in futures:
        with pytest.raises(ProglogError) as caught:
            await asyncio.wait_for(future, 15)
        told.append(caught.value)
    assert told[0].code is Code.INTERNAL
    # What went out before may be in the log, and what did not is not.
    kinds: list[type[ProglogError]] = [NothingAppendedError]
    if when == "later":
        kinds.insert(0, OutcomeUnknownError)
    assert [type(error) for error in told] == kinds
    with pytest.raises(ProglogError):
        await asyncio.wait_for(producer.close(), 15)
    assert producer.done


async def test_a_producer_that_is_let_go_of_ends(server: RealServer, connect: Any) -> None:
    """What it took is in the log; then its threads and tasks are gone."""
    client = connect(server.url)
    inner = getattr(client, "inner", client)
    futures = []
    for n in range(5):
        producer = client.producer(linger=60)
        futures.append(await producer.send(b"%d" % n))
        del producer
    gc.collect()
    for future in futures:
        await soon(future)
    await until(lambda: not inner._session.running)
    names = [t.name for t in threading.enumerate()]
    await until(lambda: "proglog-producer" not in [t.name for t in threading.enumerate()])
    assert (await client.describe_log()).next_offset == 5, names


@pytest.mark.filterwarnings("ignore:the trace hook")
@pytest.mark.parametrize("where", ["begin", "end", "header"])
async def test_a_broken_trace_hook_changes_nothing(
    server: RealServer, connect: Any, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The record is appended and acknowledged, and the fault is reported once."""

    def hook(attempt: Attempt) -> Any:
        if where == "begin":
            raise RuntimeError("hook")
        if where == "header":
            attempt.headers["not a name"] = "x"
            return None

        def end(told: Any) -> None:
            raise RuntimeError("hook")

        return end

    client = connect(server.url, trace=hook)
    assert (await client.produce(b"a")).offset == 0
    async with client.producer() as producer:
        assert (await soon(await producer.send(b"b"))).offset == 1
    assert [r.value async for r in client.records()] == [b"a", b"b"]
    assert len([r for r in caplog.records if "trace hook" in r.getMessage()]) == 1


def test_a_broken_trace_hook_warns(fake: FakeServer) -> None:
    def hook(attempt: Attempt) -> Any:
        raise RuntimeError("hook")

    with Client(fake.url, trace=hook) as client, pytest.warns(RuntimeWarning, match="trace hook"):
        client.describe_log()


async def test_a_stream_that_is_left_is_no_success_to_the_trace_hook(
    fake: FakeServer, connect: Any
) -> None:
    """Left at the caller's wish: CANCELED. Ended by the server: no error."""
    ends: list[Code | None] = []

    def hook(attempt: Attempt) -> Any:
        if attempt.method != "ConsumeStream":
            return None
        return lambda told: ends.append(None if told.error is None else told.error.code)

    def stream(request: pb.ConsumeRequest, context: Any) -> Any:
        yield pb.ConsumeResponse(records=records(0, b"x", b"y"), next_offset=2)
        if request.log != "sealed":
            yield from until_gone(context)

    fake.on("ConsumeStream", stream)
    client = connect(fake.url, trace=hook)
    assert [r.offset async for r in client.follow(log="sealed")] == [0, 1]
    assert ends == [None]
    reader = client.follow()
    assert (await soon(reader.__anext__())).offset == 0
    waiting = asyncio.ensure_future(client.follow().__anext__())
    await soon(waiting)
    await reader.aclose()
    await until(lambda: len(ends) >= 2)
    assert set(ends[1:]) == {Code.CANCELED}
