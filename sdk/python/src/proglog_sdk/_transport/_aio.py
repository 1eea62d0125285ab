"""Calls and streams for asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio

from .._config import ClientConfig
from .._errors import Code, ProglogError, closed
from ._channels import ChannelPool, Slot, credentials, method_of, not_connected, options
from ._translate import translate

Metadata = list[tuple[str, str]]


class AsyncTransport:
    """Connections to one server, of one event loop. Nothing is dialled before the first
    call."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._closed = False
        self._closing: set[asyncio.Task[None]] = set()
        self._pool: ChannelPool[Any] = ChannelPool(self._connect)

    def _connect(self) -> Any:
        if self._closed:
            raise closed("client")
        address, opts = self._config.address, options(self._config)
        if not address.secure:
            return grpc.aio.insecure_channel(address.target, options=opts)
        creds = credentials(self._config.tls)
        return grpc.aio.secure_channel(address.target, creds, options=opts)

    def _path(self, service: str, method: str) -> str:
        return f"{self._config.address.path}/{service}/{method}"

    async def call(
        self,
        service: str,
        method: str,
        request: bytes,
        metadata: Metadata,
        timeout: float | None,
        asking: bool = False,
    ) -> bytes:
        """Make a unary call; the timeout is in seconds. One that asks gives a connection up
        that brings no answer in time."""
        slot = self._pool.enter_call()
        try:
            do = method_of(slot, "unary_unary", self._path(service, method))
            response: bytes = await do(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            ours = translate(error)
            if not_connected(ours) or (asking and ours.code is Code.DEADLINE_EXCEEDED):
                self._pool.retire(slot)
            raise ours from error
        except asyncio.CancelledError:
            if self._closed:
                raise closed_amid() from None
            raise
        except grpc.aio.UsageError as error:
            raise closed("client") from error
        finally:
            self._close_later(self._pool.leave_call(slot))
        return response

    def server_stream(
        self, service: str, method: str, request: bytes, metadata: Metadata
    ) -> AsyncStream:
        """Begin a stream of responses to one request."""
        slot = self._pool.enter_stream()
        do = method_of(slot, "unary_stream", self._path(service, method))
        return AsyncStream(self, slot, do, (request,), metadata)

    def bidi_stream(self, service: str, method: str, metadata: Metadata) -> AsyncStream:
        """Begin a stream of responses to a stream of requests; see `AsyncStream.send`."""
        slot = self._pool.enter_stream()
        do = method_of(slot, "stream_stream", self._path(service, method))
        return AsyncStream(self, slot, do, (), metadata)

    @property
    def closed(self) -> bool:
        """`close` was called."""
        return self._closed

    def leave(self, slot: Slot[Any]) -> None:
        """End the use of a channel by a stream."""
        self._close_later(self._pool.leave_stream(slot))

    def retire(self, slot: Slot[Any]) -> None:
        """Have other calls and streams use another connection: this one does not work."""
        self._pool.retire(slot)

    def _close_later(self, channel: Any) -> None:
        """Close a retired channel that nobody uses any more."""
        if channel is not None:
            task = asyncio.get_running_loop().create_task(channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End every call and stream, and close the connections."""
        self._closed = True
        for channel in self._pool.drain():
            await channel.close()
        if self._closing:
            await asyncio.wait(self._closing)


class AsyncStream:
    """One stream of responses, and of requests if it is of both."""

    def __init__(
        self,
        transport: AsyncTransport,
        slot: Slot[Any],
        do: Any,
        requests: tuple[bytes, ...],
        metadata: Metadata,
    ) -> None:
        self._transport: AsyncTransport | None = transport
        self._slot = slot
        self._canceled = False
        try:
            self._call = do(*requests, metadata=metadata)
        except grpc.aio.UsageError as error:
            self._transport = None
            transport.leave(slot)
            raise closed("client") from error

    async def receive(self) -> bytes | None:
        """The next response; None when the server ended the stream without an error."""
        try:
            response = await self._call.read()
        except grpc.RpcError as error:
            ours = translate(error)
            if not_connected(ours):
                self.retire()
            raise ours from error
        except asyncio.CancelledError:
            transport = self._transport
            if self._canceled or transport is None or transport.closed:
                raise closed_amid() from None
            raise
        return None if response is grpc.aio.EOF else response

    async def send(self, request: bytes) -> bool:
        """Send a request; False if the stream has ended, why `receive` tells."""
        try:
            await self._call.write(request)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return False
        return True

    async def end_requests(self) -> None:
        """Say that no more requests will come."""
        try:
            await self._call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return

    def retire(self) -> None:
        """Have other calls and streams use another connection: this one does not work."""
        if self._transport is not None:
            self._transport.retire(self._slot)

    def cancel(self) -> None:
        """Break the stream off. What waits in `receive` gets an error."""
        self._canceled = True
        self._call.cancel()

    def close(self) -> None:
        """End the use of the stream."""
        transport, self._transport = self._transport, None
        if transport is not None:
            self.cancel()
            transport.leave(self._slot)


def closed_amid() -> ProglogError:
    """The error of a call that was under way when its client or stream was closed."""
    return ProglogError(Code.CANCELED, "closed while the call was under way")
