"""Calls and streams for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import grpc

from .._config import ClientConfig
from .._errors import Code, ProglogError, closed
from ._channels import ChannelPool, Slot, credentials, method_of, not_connected, options
from ._translate import translate

Metadata = list[tuple[str, str]]


class Stops(Protocol):
    """What may break a call off."""

    def calling(self, call: Callable[[], object]) -> AbstractContextManager[None]:
        """Have a function called when it does."""


class SyncTransport:
    """Connections to one server. Nothing is dialled before the first call. It is safe for use
    by many threads; a forked child needs one of its own."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._pool: ChannelPool[Any] = ChannelPool(self._connect)

    def _connect(self) -> Any:
        address, opts = self._config.address, options(self._config)
        if not address.secure:
            return grpc.insecure_channel(address.target, options=opts)
        return grpc.secure_channel(address.target, credentials(self._config.tls), options=opts)

    def _path(self, service: str, method: str) -> str:
        return f"{self._config.address.path}/{service}/{method}"

    def call(
        self,
        service: str,
        method: str,
        request: bytes,
        metadata: Metadata,
        timeout: float | None,
        stops: Stops | None = None,
        asking: bool = False,
    ) -> bytes:
        """Make a unary call; the timeout is in seconds. What is in `stops` breaks it off. One
        that asks gives a connection up that brings no answer in time."""
        slot = self._pool.enter_call()
        try:
            do = method_of(slot, "unary_unary", self._path(service, method))
            if stops is not None:
                return self._call_until(
                    stops, do.future(request, timeout=timeout, metadata=metadata)
                )
            response: bytes = do(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            ours = translate(error)
            if not_connected(ours) or (asking and ours.code is Code.DEADLINE_EXCEEDED):
                self._pool.retire(slot)
            raise ours from error
        except ValueError as error:  # the channel was closed
            raise closed("client") from error
        finally:
            _close(self._pool.leave_call(slot))
        return response

    @staticmethod
    def _call_until(stops: Stops, call: Any) -> bytes:
        try:
            with stops.calling(call.cancel):
                response: bytes = call.result()
        except grpc.FutureCancelledError as error:
            raise ProglogError(Code.CANCELED, "the call was cancelled") from error
        except BaseException:
            call.cancel()
            raise
        return response

    def server_stream(
        self, service: str, method: str, request: bytes, metadata: Metadata
    ) -> SyncStream:
        """Begin a stream of responses to one request."""
        return self._stream("unary_stream", service, method, request, metadata)

    def bidi_stream(
        self, service: str, method: str, requests: Iterator[bytes], metadata: Metadata
    ) -> SyncStream:
        """Begin a stream of responses to a stream of requests, which a thread of gRPC takes
        from the iterator."""
        return self._stream("stream_stream", service, method, requests, metadata)

    def _stream(
        self, shape: str, service: str, method: str, request: Any, metadata: Metadata
    ) -> SyncStream:
        slot = self._pool.enter_stream()
        try:
            do = method_of(slot, shape, self._path(service, method))
            return SyncStream(self._pool, slot, do(request, metadata=metadata))
        except ValueError as error:  # the channel was closed
            _close(self._pool.leave_stream(slot))
            raise closed("client") from error

    def close(self) -> None:
        """End every call and stream, and close the connections."""
        for channel in self._pool.drain():
            channel.close()


class SyncStream:
    """One stream of responses."""

    def __init__(self, pool: ChannelPool[Any], slot: Slot[Any], call: Any) -> None:
        self._pool: ChannelPool[Any] | None = pool
        self._slot = slot
        self._call = call

    def receive(self) -> bytes | None:
        """The next response; None when the server ended the stream without an error."""
        try:
            response: bytes = next(self._call)
        except StopIteration:
            return None
        except grpc.RpcError as error:
            ours = translate(error)
            if not_connected(ours):
                self.retire()
            raise ours from error
        return response

    def retire(self) -> None:
        """Have other calls and streams use another connection: this one does not work."""
        if self._pool is not None:
            self._pool.retire(self._slot)

    def cancel(self) -> None:
        """Break the stream off, from any thread. What waits in `receive` gets an error."""
        self._call.cancel()

    def close(self) -> None:
        """End the use of the stream, which only the thread that reads it may do."""
        pool, self._pool = self._pool, None
        if pool is not None:
            self._call.cancel()
            _close(pool.leave_stream(self._slot))


def _close(channel: Any) -> None:
    """Close a retired channel that nobody uses any more."""
    if channel is not None:
        channel.close()
