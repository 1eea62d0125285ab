"""Goal: an answer of HTTP itself counts for what it proves; a redirect is not followed: a token
must not travel where it points."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from proglog_sdk import Code, NothingAppendedError, OutcomeUnknownError, ProglogError

from .conftest import soon

PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM_AND_HEADERS = 5


class Redirecting:
    """Answers every request over HTTP/2 with a redirect to itself, and counts them. A stream of
    requests gets another status, if there is one, when data has come."""

    def __init__(self, status: str, of_stream: str = "") -> None:
        self._of_stream = of_stream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests = 0
        location = f"http://127.0.0.1:{self.port}/elsewhere".encode()
        # HPACK without a table of its own: 8 is the name :status, 46 the name location.
        self._location = b"\x0f\x1f" + bytes([len(location)]) + location
        self._status = status
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                self._ends.append(end)
                threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        streams: set[int] = set()
        with contextlib.suppress(OSError, EOFError):
            _exactly(end, PREFACE)
            end.sendall(_frame(SETTINGS, 0, 0, b""))
            while True:
                head = _exactly(end, 9)
                body = _exactly(end, int.from_bytes(head[:3], "big"))
                kind, stream = head[3], int.from_bytes(head[5:9], "big")
                if kind == SETTINGS and not head[4]:
                    end.sendall(_frame(SETTINGS, 1, 0, b""))
                if kind == HEADERS:
                    self.requests += 1
                    if self._of_stream and b"ProduceStream" in body:
                        streams.add(stream)
                    else:
                        self._answer(end, stream, self._status)
                if kind == DATA and stream in streams:
                    streams.discard(stream)
                    self._answer(end, stream, self._of_stream)

    def _answer(self, end: socket.socket, stream: int, status: str) -> None:
        answer = b"\x08\x03" + status.encode() + self._location
        end.sendall(_frame(HEADERS, END_STREAM_AND_HEADERS, stream, answer))

    def stop(self) -> None:
        for one in (self._listener, *self._ends):
            one.close()


def _exactly(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = end.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


@pytest.fixture(params=["302", "307"])
def redirecting(request: pytest.FixtureRequest) -> Iterator[Redirecting]:
    server = Redirecting(request.param)
    yield server
    server.stop()


async def test_a_redirect_is_final(redirecting: Redirecting, connect: Any) -> None:
    client = connect(f"http://127.0.0.1:{redirecting.port}", token="s3cret")
    with pytest.raises(NothingAppendedError) as write:
        await soon(client.produce(b"x"))
    with pytest.raises(ProglogError) as read:
        await soon(client.consume(0))
    for error in (write.value, read.value):
        assert error.code is Code.UNKNOWN
        assert not error.from_server
        assert "HTTP 30" in error.message
    assert redirecting.requests == 2
    producer = client.producer()
    with pytest.raises(NothingAppendedError):
        await soon(await producer.send(b"x"))
    with pytest.raises(ProglogError):
        await soon(producer.close())


REFUSING = (300, 401, 403, 404, 405, 407, 411, 413, 414, 415, 421, 426, 428, 429, 431, 505)


@pytest.mark.parametrize(
    "status", [*REFUSING, 400, 402, 406, 408, 409, 412, 422, 451, 499, 500, 503]
)
async def test_a_status_proves_of_a_single_write_what_came_before_the_log(
    connect: Any, status: int
) -> None:
    """What refuses a caller, a path, a method or a size comes in the place of passing the call
    on. Whoever says anything else may have passed it on."""
    server = Redirecting(str(status))
    try:
        client = connect(f"http://127.0.0.1:{server.port}")
        expected = NothingAppendedError if status in REFUSING else OutcomeUnknownError
        with pytest.raises(expected) as caught:
            await soon(client.produce(b"x"))
        assert f"HTTP {status}" in caught.value.message
    finally:
        server.stop()


@pytest.mark.parametrize("status", ["302", "401", "413", "429"])
async def test_a_status_proves_nothing_of_what_a_stream_had_sent(connect: Any, status: str) -> None:
    """A proxy passes a stream on while it lasts, and may give it up when its body gets too
    long. What was not sent by then is certainly in no log."""
    server = Redirecting("503", status)
    try:
        client = connect(f"http://127.0.0.1:{server.port}")
        producer = client.producer(linger=0.0, max_batch_records=1, max_in_flight_batches=1)
        sent, unsent = await soon(producer.send(b"sent")), await soon(producer.send(b"unsent"))
        with pytest.raises(OutcomeUnknownError):
            await soon(sent)
        with pytest.raises(NothingAppendedError):
            await soon(unsent)
        with pytest.raises(ProglogError):
            await soon(producer.close())
        assert (producer_outcome(producer).unknown, producer_outcome(producer).not_in_log) == (1, 1)
    finally:
        server.stop()


def producer_outcome(producer: Any) -> Any:
    """The counts of a producer of either client."""
    return getattr(producer, "inner", producer).outcome
