"""What the tests share."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proglog_sdk import Retry

from . import facade
from .servers import FakeServer, RealServer, Relay, binary

LIMIT = 30.0
QUICK = Retry(attempts=4, min_delay=0.01, max_delay=0.05)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    """Which of the two clients a test is for."""
    name: str = request.param
    return name


@pytest_asyncio.fixture
async def connect(mode: str) -> AsyncIterator[Callable[..., Any]]:
    """Makes clients, and closes them after the test."""
    clients: list[Any] = []

    def make(url: str, **kwargs: Any) -> Any:
        client = facade.make(mode, url, **{"retry": QUICK, **kwargs})
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """A scripted server."""
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RealServer]]:
    """Starts real servers, and stops them after the test."""
    path = binary()
    if path is None:
        pytest.skip("PROGLOG_BIN is not set: build the server's binary and name it there")
    servers: list[RealServer] = []

    def run(*args: str) -> RealServer:
        server = RealServer(path, tmp_path / f"data{len(servers)}", *args)
        servers.append(server)
        return server

    yield run
    for server in servers:
        server.stop()


@pytest.fixture
def server(start: Callable[..., RealServer]) -> RealServer:
    """A real server."""
    return start()


@pytest.fixture
def relay(server: RealServer) -> Iterator[Relay]:
    """A way to the real server that can lose what it says."""
    way = Relay(server.addr)
    yield way
    way.close()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves threads of the SDK behind."""
    yield
    gc.collect()
    left = [t for t in threading.enumerate() if t.name.startswith("proglog-")]
    for thread in left:
        thread.join(5)
    assert not [t.name for t in left if t.is_alive()]


async def soon(awaitable: Awaitable[Any]) -> Any:
    """What comes of something within the limit of a test."""
    return await asyncio.wait_for(awaitable, LIMIT)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something outside the loop has happened."""

    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await soon(wait())


async def first(reader: Any, count: int) -> list[Any]:
    """The first so many things that a reader brings."""
    found: list[Any] = []
    while len(found) < count:
        found.append(await soon(reader.__anext__()))
    return found
