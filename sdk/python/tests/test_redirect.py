"""Goal: a redirect is an answer, and not followed: a token must not travel where it points."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from proglog_sdk import Code, NothingAppendedError, ProglogError

from .conftest import soon

PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
HEADERS, SETTINGS = 1, 4
END_STREAM_AND_HEADERS = 5


class Redirecting:
    """Answers every request over HTTP/2 with a redirect to itself, and counts them."""

    def __init__(self, status: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests = 0
        location = f"http://127.0.0.1:{self.port}/elsewhere".encode()
        # HPACK without a table of its own: 8 is the name :status, 46 the name location.
        self._answer = b"\x08\x03" + status.encode()
        self._answer += b"\x0f\x1f" + bytes([len(location)]) + location
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                self._ends.append(end)
                threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            _exactly(end, PREFACE)
            end.sendall(_frame(SETTINGS, 0, 0, b""))
            while True:
                head = _exactly(end, 9)
                _exactly(end, int.from_bytes(head[:3], "big"))
                kind, stream = head[3], int.from_bytes(head[5:9], "big")
                if kind == SETTINGS and not head[4]:
                    end.sendall(_frame(SETTINGS, 1, 0, b""))
                if kind == HEADERS:
                    self.requests += 1
                    end.sendall(_frame(HEADERS, END_STREAM_AND_HEADERS, stream, self._answer))

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
