"""How connections are made, and how many."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import grpc

from .._config import TLS, ClientConfig
from .._defaults import MAX_RESPONSE_BYTES
from .._errors import Code, ProglogError, closed

CONNECT_TIMEOUT_MS = 5_000
"""How long a connection may take to be made."""
PING_AFTER_MS = 15_000
"""A connection on which nothing arrived for so long is asked for a sign of life…"""
PING_TIMEOUT_MS = 5_000
"""… and given up so much later."""
RECONNECT_MIN_MS, RECONNECT_MAX_MS = 50, 1_000
"""The pauses of gRPC between connections. Ours, between calls, come on top."""
STREAMS_PER_CHANNEL = 100
"""So many streams share a connection; servers bound them, and what is over that waits."""

IDENTITY_ONLY = 1
"""The bit set of compression algorithms that has only the one that does nothing."""


def options(config: ClientConfig) -> list[tuple[str, Any]]:
    """The options of every channel."""
    return [
        ("grpc.primary_user_agent", config.user_agent),
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        ("grpc.max_send_message_length", -1),
        # Compressing small records costs more than sending them.
        ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
        ("grpc.keepalive_time_ms", PING_AFTER_MS),
        ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_MIN_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
        # Retries are ours: they know what may be sent twice.
        ("grpc.enable_retries", 0),
        # A channel is a connection of its own, with pauses of its own.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 1 if config.address.secure else 0),
        ("grpc.service_config_disable_resolution", 1),
    ]


def credentials(tls: TLS | None) -> Any:
    """The credentials of a channel to an https:// address."""
    tls = tls or TLS()
    return grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)


ChannelT = TypeVar("ChannelT")


@dataclass(eq=False)
class Slot(Generic[ChannelT]):
    """A channel and how much it is used."""

    channel: ChannelT
    streams: int = 0
    calls: int = 0
    methods: dict[str, Any] = field(default_factory=dict)


class ChannelPool(Generic[ChannelT]):
    """Channels to one server: the first for calls, and as many as the streams need.

    It is safe for use by many threads. A channel whose connection does not work is retired:
    what begins next gets another one, without the pauses of gRPC.
    """

    def __init__(self, make: Callable[[], ChannelT]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._closed = False
        self._slots: list[Slot[ChannelT]] = []
        self._retired: set[Slot[ChannelT]] = set()

    def enter_call(self) -> Slot[ChannelT]:
        """The channel for a call, which has to leave it."""
        with self._lock:
            self._check_open()
            if not self._slots:
                self._slots.append(Slot(self._make()))
            slot = self._slots[0]
            slot.calls += 1
            return slot

    def enter_stream(self) -> Slot[ChannelT]:
        """A channel for a stream, which has to leave it when it ends."""
        with self._lock:
            self._check_open()
            for slot in self._slots:
                if slot.streams < STREAMS_PER_CHANNEL:
                    break
            else:
                slot = Slot(self._make())
                self._slots.append(slot)
            slot.streams += 1
            return slot

    def _check_open(self) -> None:
        if self._closed:
            raise closed("client")

    def leave_call(self, slot: Slot[ChannelT]) -> ChannelT | None:
        """End the use of a channel by a call. What is returned is to be closed."""
        with self._lock:
            slot.calls -= 1
            return self._left(slot)

    def leave_stream(self, slot: Slot[ChannelT]) -> ChannelT | None:
        """End the use of a channel by a stream. What is returned is to be closed."""
        with self._lock:
            slot.streams -= 1
            return self._left(slot)

    def _left(self, slot: Slot[ChannelT]) -> ChannelT | None:
        if slot.calls or slot.streams or slot not in self._retired:
            return None
        self._retired.discard(slot)
        return slot.channel

    def retire(self, slot: Slot[ChannelT]) -> None:
        """Give a channel to nobody any more; who uses it still has to leave it."""
        with self._lock:
            if slot in self._slots:
                self._slots.remove(slot)
                self._retired.add(slot)

    def drain(self) -> list[ChannelT]:
        """Take all channels out, to close them; there are no others from now on."""
        with self._lock:
            self._closed = True
            slots = [*self._slots, *self._retired]
            self._slots.clear()
            self._retired.clear()
            return [slot.channel for slot in slots]


def not_connected(error: ProglogError) -> bool:
    """Say whether a call failed because there was no connection."""
    unsent = error.nothing_appended and not error.from_server and not error._status
    return error.code is Code.UNAVAILABLE and unsent


def method_of(slot: Slot[Any], shape: str, path: str) -> Any:
    """The callable of a method; it takes and gives bytes."""
    method = slot.methods.get(path)
    if method is None:
        method = slot.methods[path] = getattr(slot.channel, shape)(path)
    return method
