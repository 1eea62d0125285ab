"""What goes in and comes out: records, acknowledgements, batches, logs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Union

from . import _defaults
from ._errors import ProglogError

Seconds = Union[float, timedelta]
"""A duration: seconds as a number, or a timedelta."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def to_time(timestamp_ns: int) -> datetime:
    """Nanoseconds since 1970 as a datetime in UTC, which has microseconds."""
    return _EPOCH + timedelta(microseconds=timestamp_ns // 1000)


Time = Union[datetime, int]
"""A moment: a datetime, which is in local time if it is naive, or nanoseconds since 1970."""


def from_time(time: Time) -> tuple[int, int]:
    """A moment as seconds since 1970 and nanoseconds."""
    if isinstance(time, int):
        return divmod(time, 1_000_000_000)
    delta = time.astimezone(timezone.utc) - _EPOCH
    return delta.days * 86400 + delta.seconds, delta.microseconds * 1000


@dataclass(frozen=True, slots=True)
class Header:
    """A named annotation of a record. The name is UTF-8; both may be empty."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One value in a log.

    `value` is the caller's bytes; an empty value is a value. `headers` are the caller's
    annotations; order and duplicates are kept. `offset` is the record's number in its log,
    from 0 on without gaps, and `timestamp_ns` says when the server appended it, in
    nanoseconds since 1970: both are the server's, and ignored in a record that is produced.
    """

    value: bytes
    headers: tuple[Header, ...] = ()
    offset: int = 0
    timestamp_ns: int = 0

    @property
    def time(self) -> datetime:
        """When the server appended the record, in UTC, to the microsecond."""
        return to_time(self.timestamp_ns)


RecordLike = Union[bytes, Record]
"""What can be produced: a record, or just its value."""


@dataclass(frozen=True, slots=True)
class Ack:
    """The server's word that records are durable: they, and all before them in the log."""

    offset: int
    """Of the record, or of the first of a batch."""
    next_offset: int
    """One past that of the record, or of the last of a batch."""
    timestamp_ns: int
    """When the records were appended, in nanoseconds since 1970."""
    duplicate: bool = False
    """This is the acknowledgement of an earlier try, which had come through."""

    @property
    def time(self) -> datetime:
        """When the records were appended, in UTC, to the microsecond."""
        return to_time(self.timestamp_ns)


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of records that arrived together; their offsets are contiguous."""

    records: Sequence[Record]
    """At least one, but for `consume_batch` at the tail."""
    next_offset: int | None = None
    """The log's next offset, if the last record was the last of the log when the server
    sent it; else None."""

    @property
    def tail(self) -> bool:
        """The batch reached the tail, so that the next one may take a while."""
        return self.next_offset is not None


class Durability(enum.IntEnum):
    """What an acknowledgement means; one that is not known here is UNSPECIFIED."""

    UNSPECIFIED = 0
    SYNCED = 1
    QUORUM_SYNCED = 2
    UNSAFE = 3

    @classmethod
    def _missing_(cls, value: object) -> Durability:
        return cls.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a log keeps records. Whatever is exceeded first removes the oldest."""

    max_age: timedelta | None = None
    """The longest time; None is for ever."""
    max_bytes: int = 0
    """The most bytes, as `LogInfo` counts them; 0 is no bound."""


@dataclass(frozen=True, slots=True)
class DedupWindow:
    """How long a server knows a request that comes twice."""

    acks: int
    """Of each producer, the latest."""
    max_age: timedelta
    """Of a producer's latest request."""
    producers: int
    """Of each log, those that were active last."""


@dataclass(frozen=True, slots=True)
class LogInfo:
    """A log as it was at one moment."""

    name: str
    """Empty: the default log."""
    id: str
    """The log's identity: given at creation, another one after a restore from a backup."""
    first_offset: int
    next_offset: int
    bytes: int
    """Of the records in storage."""
    first_time: datetime | None
    """Of the first record; None in an empty log."""
    last_time: datetime | None
    """Of the last record ever appended; None if there was none."""
    retention: Retention
    durability: Durability
    sealed: bool
    """It takes no more records, ever."""
    dedup: DedupWindow | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What is checked before anything is sent, in the server's stead.

    A record over a limit then costs no round trip, and cannot take others of its batch
    with it. The defaults are those of a server that was not told others.
    """

    value_bytes: int = 1 << 20
    headers: int = 64
    header_bytes: int = 16 << 10
    """Of a record: names and values together."""
    batch_records: int = 1000
    batch_bytes: int = 2 << 20
    """Of a batch of two records or more: values, header names, header values."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how fast failed calls are tried again, if their failure can pass.

    The pause after the nth failure in a row is random and evenly spread between 0 and
    ``min_delay * 2**(n-1)``, at most `max_delay`. An answer, a record or a heartbeat ends
    the row.
    """

    attempts: int = _defaults.DEFAULT_ATTEMPTS
    """How often a single call is tried in all; 1: only once. A follower that lost its
    connection tries for ever, whatever this says; a producer goes by `give_up_after`."""
    min_delay: float = _defaults.DEFAULT_MIN_DELAY
    max_delay: float = _defaults.DEFAULT_MAX_DELAY

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise TypeError(f"attempts is an int, not {type(self.attempts).__name__}")
        if not (self.attempts >= 1 and 0 < self.min_delay <= self.max_delay):
            raise ValueError("retry needs at least 1 attempt and delays above 0 in order")
        if self.max_delay > _defaults.MAX_RETRY_DELAY:
            raise ValueError(f"the longest delay of a retry is {_defaults.MAX_RETRY_DELAY:.0f} s")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader goes on. Falsy if nothing was stored yet."""

    offset: int = 0
    """Of the record to read next."""
    log_id: str = ""
    """Of the log that is read; empty: nothing was stored yet."""

    def __bool__(self) -> bool:
        return bool(self.log_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts the records that a producer took, by what became of them.

    Their order is that of the fields: first all that are acknowledged, and so on.
    """

    acked: int = 0
    unknown: int = 0
    pending: int = 0
    """Waiting, or in flight; 0 once the producer has ended."""
    not_in_log: int = 0
    last_offset: int | None = None
    """Of the last record that is acknowledged."""


@dataclass(slots=True)
class Attempt:
    """One try of one call, as a trace hook sees it when it begins."""

    method: str
    """Such as ``Produce`` or ``ConsumeStream``."""
    log: str
    number: int
    """1 for the first try of a call; of a read or a producer, the streams so far."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with this try, in lower case: the hook may add to them, such as
    ``traceparent``."""


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How a try ended."""

    duration: float
    """In seconds."""
    error: ProglogError | None


TraceHook = Callable[[Attempt], "Callable[[AttemptEnd], None] | None"]
"""Called when a try begins; what it returns, if anything, is called when it ends."""
