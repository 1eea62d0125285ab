"""Goal: what a client is set up with reaches the server, and what makes no sense is refused."""

from __future__ import annotations

import asyncio
import gc
import pickle
import subprocess
import sys
import threading
from typing import Any

import grpc
import pytest
import trustme

import proglog_sdk
from proglog_sdk import (
    TLS,
    Attempt,
    AttemptEnd,
    CancelScope,
    Client,
    ClosedError,
    Code,
    NothingAppendedError,
    OutcomeUnknownError,
    ProglogError,
    Reason,
    Retry,
)
from proglog_sdk._errors import like
from proglog_sdk._gen import log_v1 as pb

from .conftest import first, soon, until
from .servers import FakeServer, RealServer, fail, records, until_gone


async def test_headers_token_and_user_agent(fake: FakeServer, connect: Any, mode: str) -> None:
    """On single calls and on streams; the token is asked for before each."""
    tokens = iter(["one", "two", "three"])

    async def token() -> str:
        return next(tokens)

    client = connect(
        fake.url,
        headers={"X-Team": "blue"},
        user_agent="billing/2.1",
        token=token if mode == "async" else lambda: next(tokens),
    )
    fake.next = 1
    fake.on(
        "ConsumeStream",
        lambda request, context: iter([pb.ConsumeResponse(records=records(0, b"x"))]),
    )
    await client.describe_log()
    await first(client.follow(), 1)
    for sent, expected in zip(fake.metadata, ("one", "two", "three"), strict=True):
        assert sent["x-team"] == "blue"
        assert sent["authorization"] == f"Bearer {expected}"
        start = f"billing/2.1 proglog-python/{proglog_sdk.__version__} "
        assert sent["user-agent"].startswith(start)
        assert "gzip" not in sent.get("grpc-accept-encoding", "")
        assert "grpc-encoding" not in sent


async def test_a_token_that_cannot_be_had(fake: FakeServer, connect: Any) -> None:
    def token() -> str:
        raise RuntimeError("the vault is shut")

    with pytest.raises(NothingAppendedError, match="the vault is shut") as caught:
        await connect(fake.url, token=token).produce(b"x")
    assert caught.value.code is Code.UNAUTHENTICATED
    assert "Produce" not in fake.calls


async def test_the_trace_hook_sees_every_try(fake: FakeServer, connect: Any) -> None:
    seen: list[tuple[str, str, int, int | None]] = []

    def hook(attempt: Attempt) -> Any:
        attempt.headers["traceparent"] = f"t{attempt.number}"

        def end(told: AttemptEnd) -> None:
            assert told.duration >= 0
            code = None if told.error is None else told.error.code
            seen.append((attempt.method, attempt.log, attempt.number, code))

        return end

    def consume(request: pb.ConsumeRequest, context: Any) -> pb.ConsumeResponse:
        if fake.calls.count("Consume") == 1:
            fail(context, grpc.StatusCode.UNAVAILABLE, reason=19)
        return pb.ConsumeResponse(record=pb.Record(offset=0))

    def stream(requests: Any, context: Any) -> Any:
        for n, _ in enumerate(requests):
            yield pb.ProduceResponse(offset=n)

    fake.on("Consume", consume)
    fake.on("ProduceStream", stream)
    client = connect(fake.url, trace=hook)
    await client.consume(0, log="a")
    assert seen == [("Consume", "a", 1, Code.UNAVAILABLE), ("Consume", "a", 2, None)]
    assert [m["traceparent"] for m in fake.metadata] == ["t1", "t2"]
    seen.clear()
    async with client.producer(log="b") as producer:
        await producer.send(b"x")
    assert seen == [("GetLog", "b", 1, None), ("ProduceStream", "b", 1, None)]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Any:
    """A server with a certificate, that wants one of the client too."""
    own = authority.issue_cert("localhost")
    server = FakeServer(
        grpc.ssl_server_credentials(
            [(own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())],
            authority.cert_pem.bytes(),
            require_client_auth=True,
        )
    )
    yield server
    server.stop()


async def test_tls(secure: FakeServer, authority: trustme.CA, connect: Any) -> None:
    """A certificate authority of one's own, a client certificate, and a token over TLS."""
    mine = authority.issue_cert("client@example.org")
    tls = TLS(
        ca=authority.cert_pem.bytes(),
        certificate=mine.cert_chain_pems[0].bytes(),
        key=mine.private_key_pem.bytes(),
    )
    assert (await connect(secure.url, tls=tls, token="s3cret").describe_log()).id == "id-1"
    assert secure.metadata[0]["authorization"] == "Bearer s3cret"


async def test_a_certificate_of_strangers_is_refused_for_good(
    secure: FakeServer, connect: Any
) -> None:
    other = TLS(ca=trustme.CA().cert_pem.bytes())
    with pytest.raises(NothingAppendedError) as caught:
        await connect(secure.url, tls=other, retry=Retry(1000, 5, 5)).produce(b"x", timeout=20)
    assert not caught.value.from_server
    assert not secure.calls


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:8400", "start with http"),
        ("ftp://host", "start with http"),
        ("http://", "names no host"),
        ("http://user@host", "a host, a port and a path"),
        ("http://host?x=1", "a host, a port and a path"),
    ],
)
def test_addresses_that_make_no_sense(address: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Client(address)


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="in the clear"):
        Client("http://example.org", token="x")
    with pytest.raises(ValueError, match="no effect"):
        Client("http://localhost", tls=TLS())
    with pytest.raises(ValueError, match="needs its key"):
        TLS(certificate=b"x")
    with pytest.raises(ValueError, match="above 0"):
        Client(timeout=0)
    with pytest.raises(ValueError, match="belongs to the protocol"):
        Client(headers={"grpc-timeout": "1"})
    for wrong in ((0, 1.0, 1.0), (1, 0.0, 1.0), (1, 2.0, 1.0), (1, 1.0, 1e9)):
        with pytest.raises(ValueError, match="retry"):
            Retry(*wrong)


async def test_a_path_is_put_before_the_method(fake: FakeServer, connect: Any) -> None:
    assert (await connect(fake.url + "/behind/a/proxy").describe_log()).id == "id-1"


async def test_http_that_is_no_grpc(connect: Any, server: RealServer) -> None:
    """The real server does not know that path, and says so as HTTP does."""
    with pytest.raises(ProglogError) as caught:
        await connect(server.url + "/nothing/here").consume(0)
    assert caught.value.code is Code.UNIMPLEMENTED


async def test_close_twice_and_calls_after(server: RealServer, connect: Any) -> None:
    client = connect(server.url)
    await client.produce(b"x")
    await client.close()
    await client.close()
    with pytest.raises(ClosedError) as caught:
        await client.describe_log()
    assert (caught.value.code, caught.value.from_server) == (Code.CANCELED, False)
    with pytest.raises(NothingAppendedError):
        await client.produce(b"y")


async def test_more_streams_than_a_connection_takes(start: Any, connect: Any) -> None:
    """Followers beyond one connection's share get another one."""
    server = start("--max-streams", "120")
    client = connect(server.url)
    readers = [client.follow(from_tail=0) for _ in range(5)]
    import proglog_sdk._transport._channels as channels

    usual, channels.STREAMS_PER_CHANNEL = channels.STREAMS_PER_CHANNEL, 2
    try:
        waiting = [asyncio.ensure_future(reader.__anext__()) for reader in readers]
        pool = getattr(client, "inner", client)._session.transport._pool
        await until(lambda: sum(slot.streams for slot in pool._slots) == 5)
        assert [slot.streams for slot in pool._slots] == [2, 2, 1]
        await client.produce(b"x")
        assert {(await soon(one)).value for one in waiting} == {b"x"}
    finally:
        channels.STREAMS_PER_CHANNEL = usual
        for reader in readers:
            await reader.aclose()


def test_a_thread_is_cancelled_from_another(fake: FakeServer) -> None:
    began = threading.Event()

    def wait(request: Any, context: Any) -> Any:
        began.set()
        list(until_gone(context))
        context.abort(grpc.StatusCode.CANCELLED, "")

    fake.on("Consume", wait)
    fake.on("Produce", wait)
    with Client(fake.url) as client:
        for call, kind in (
            (lambda: client.consume(0, wait=60), ProglogError),
            (lambda: client.produce(b"x"), OutcomeUnknownError),
        ):
            began.clear()
            scope = CancelScope()

            def cancel(scope: CancelScope = scope) -> None:
                began.wait(30)
                scope.cancel()

            thread = threading.Thread(target=cancel)
            thread.start()
            with scope, pytest.raises(kind) as caught:
                call()
            thread.join()
            assert caught.value.code is Code.CANCELED
            assert scope.cancelled
            with scope, pytest.raises(ProglogError, match="cancelled"):
                client.consume(0)


def test_errors_cross_processes() -> None:
    error = ProglogError(Code.OUT_OF_RANGE, "gone", reason=Reason.OFFSET_TRIMMED, first_offset=4)
    for one in (error, like(NothingAppendedError, error, nothing_appended=True)):
        copy = pickle.loads(pickle.dumps(one))
        assert type(copy) is type(one)
        assert str(copy) == "out_of_range (OFFSET_TRIMMED): gone"
        assert (copy.first_offset, copy.nothing_appended) == (4, one.nothing_appended)


def test_a_program_that_forgets_to_close_ends(fake: FakeServer) -> None:
    """Nothing keeps the process alive, and nothing is said on standard error."""
    program = f"""
import asyncio, proglog_sdk
from proglog_sdk import aio
client = proglog_sdk.Client({fake.url!r})
client.describe_log()
producer = client.producer()
async def main():
    async with aio.Client({fake.url!r}) as client:
        await client.describe_log()
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        timeout=60,
        env={"PYTHONPATH": "src"},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"")


async def test_nothing_is_left_running(server: RealServer, mode: str) -> None:
    """After close the threads are those from before."""
    from . import facade

    before = set(threading.enumerate())
    client = facade.make(mode, server.url)
    await client.produce(b"x")
    await first(client.follow(), 1)
    producer = client.producer()
    await producer.send(b"y")
    await producer.close()
    await client.close()
    del client, producer
    gc.collect()

    def own() -> list[str]:
        # Executor threads are the test's, and gRPC keeps one for all loops of the process.
        return [
            thread.name
            for thread in set(threading.enumerate()) - before
            if not thread.name.startswith(("asyncio_", "ThreadPool"))
            and "_poll_wrapper" not in thread.name
        ]

    await until(lambda: not own())
