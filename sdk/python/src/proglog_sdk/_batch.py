"""What a producer was asked for, and a request of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from . import _defaults
from ._errors import ClosedError, Code, ProglogError, like, refused
from ._identity import Identity
from ._types import Ack


@dataclass(frozen=True, slots=True)
class ProducerConfig:
    """What the caller asked for; times in seconds, sizes in bytes."""

    log: str = ""
    linger: float = 0.0
    batch_records: int = _defaults.DEFAULT_BATCH_RECORDS
    batch_bytes: int = _defaults.DEFAULT_BATCH_BYTES
    in_flight_batches: int = _defaults.DEFAULT_IN_FLIGHT_BATCHES
    in_flight_bytes: int = _defaults.DEFAULT_IN_FLIGHT_BYTES
    give_up_after: float = _defaults.DEFAULT_GIVE_UP_AFTER
    cut: bool = True
    """A try that has no answer when that is over is cut off; not the only one, for 0."""
    close_when_idle: float | None = None
    """After so many seconds with nothing to do it closes by itself; None: never."""

    def __post_init__(self) -> None:
        sizes = (self.batch_records, self.batch_bytes)
        if min(*sizes, self.in_flight_batches, self.in_flight_bytes) < 1:
            raise ValueError("a producer's batches and what is in flight have to be at least 1")
        if self.linger < 0 or self.give_up_after < 0:
            raise ValueError("a producer's times are not negative")


@dataclass(slots=True)
class Counts:
    """What became of the records so far; see `Outcome`."""

    acked: int = 0
    unknown: int = 0
    pending: int = 0
    not_in_log: int = 0
    last_offset: int | None = None


class SendBatch:
    """A request of a producer. `ack` or `error` is set once its fate is known."""

    __slots__ = (
        "ack",
        "body",
        "error",
        "event",
        "listeners",
        "parts",
        "records",
        "request",
        "ripe_at",
        "senders",
        "sequence",
        "settled",
        "size",
        "tried",
    )

    def __init__(self, ripe_at: float) -> None:
        self.parts: list[bytes] = []
        self.body = b""
        self.request = b""
        self.sequence = 0
        self.records = 0
        self.senders = 0  # who put records into it
        self.size = 0
        self.ripe_at = ripe_at  # it has lingered
        self.tried = False  # it was sent over a stream that broke without an answer
        self.settled = False
        self.ack: Ack | None = None
        self.error: ProglogError | None = None
        self.listeners: list[Callable[[], None]] = []
        self.event: Any = None  # what those who wait for its fate wait for

    def number(self, identity: Identity) -> None:
        """Give the request its place in an identity, in the stead of one that it had."""
        if self.parts:
            self.body = b"".join(self.parts)
            self.parts = []
        self.sequence = identity.sequence
        self.request = self.body + identity.encode(identity.sequence)
        identity.sequence += 1

    def ack_of(self, index: int, records: int = 1) -> Ack:
        """The acknowledgement of records of the batch, or raise the error of all."""
        if self.error is not None:
            raise self.error
        assert self.ack is not None, "asked before its fate is known"
        offset = self.ack.offset + index
        return replace(self.ack, offset=offset, next_offset=offset + records)


def after_failure(error: ProglogError) -> ProglogError:
    """The error of what came behind the batch that failed."""
    if isinstance(error, ClosedError):
        own = like(ClosedError, error, nothing_appended=True)
        own._behind = error
        return own
    out = refused(Code.ABORTED, f"the producer ended before: {error}")
    out.__cause__ = error
    out._behind = error
    return out
