"""One iteration over a log, across as many streams as it takes. No connection in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from ._codec import decode_consumed, duration
from ._consuming import MOST_RECORDS, NO_OFFSET, Bounds, Start, bounds, check_order, find_time
from ._errors import (
    Code,
    LogChangedError,
    OffsetGapError,
    ProglogError,
    Reason,
    broken_promise,
    like,
)
from ._flow import Flow, T
from ._gen import log_v1 as pb
from ._judge import Backoff, Fate, fate
from ._types import Batch, Retry


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """What the caller asked for."""

    log: str
    start: Start
    log_id: str
    read_before: bool
    """The start is where an earlier read of this very log ended."""
    to_tail: bool
    """End at the tail as it was when the read began."""
    until: int | None
    records: int
    """Of a batch, at most."""
    heartbeat: float
    """In seconds; 0: none."""


class Reading:
    """Where a read stands, and what follows from what comes."""

    def __init__(self, config: ReadConfig, retry: Retry) -> None:
        self.config = config
        self.retry = retry
        self.log_id = config.log_id
        self.next = 0
        """The offset that is due from the server."""
        self.place = 0
        """Where another read would go on: behind the last record that the caller was given."""
        self.until = NO_OFFSET if config.until is None else config.until
        self.heartbeat = 0.0
        self.streams = 0
        """So many were begun."""
        self._backoff = Backoff(retry)
        self._delivered = False
        self._known = 0
        """The log had records, or its tail, up to here."""

    def begin(self) -> Flow[None]:
        """Find out where to start, and which log it is.

        A log that takes over the name of a deleted one must not be read on as if it were
        that.
        """
        config = self.config
        found = yield from bounds(self.retry, config.log)
        if config.log_id and found.log_id and config.log_id != found.log_id:
            raise LogChangedError(
                Code.FAILED_PRECONDITION,
                f"the log is {found.log_id}, and not the one that is to be read, {config.log_id}",
                reason=Reason.LOG_CHANGED,
                permanent=True,
            )
        self.log_id = config.log_id or found.log_id
        self._set_heartbeat(found)
        start = config.start
        if start.offset is not None:
            self.next = start.offset
        elif start.tail is not None:
            self.next = max(found.first, found.next - start.tail)
        elif start.time is not None:
            self.next = yield from find_time(self.retry, config.log, self.log_id, start.time)
        else:
            self.next = found.first
        if self.next <= found.next or config.read_before:
            self._known = self.next
        if found.next < self._known:
            raise self._went_back(found.next)
        if config.to_tail:
            self._end_at_tail(found)
        self.place = self.next

    def _set_heartbeat(self, found: Bounds) -> None:
        asked = self.config.heartbeat
        if found.max_heartbeat > 0 and asked > 0 and not self.config.to_tail:
            self.heartbeat = min(max(asked, found.min_heartbeat), found.max_heartbeat)

    def _end_at_tail(self, found: Bounds) -> None:
        if self.next > found.next:
            raise ProglogError(
                Code.OUT_OF_RANGE,
                f"offset {self.next} is not yet written: the log's next offset is {found.next}",
                reason=Reason.OFFSET_UNWRITTEN,
                first_offset=found.first,
                next_offset=found.next,
                permanent=True,
            )
        self.until = min(self.until, found.next)

    @property
    def done(self) -> bool:
        """Everything that was asked for was delivered."""
        return self.next >= self.until

    @property
    def patience(self) -> float | None:
        """How long a stream may say nothing, in seconds, before it is taken for dead."""
        return 2.5 * self.heartbeat if self.heartbeat > 0 else None

    def request(self) -> bytes:
        """The request of the next stream."""
        self.streams += 1
        req = pb.ConsumeRequest(
            log=self.config.log,
            log_id=self.log_id,
            offset=self.next,
            max_records=min(self.config.records, MOST_RECORDS),
            heartbeat=duration(self.heartbeat),
        )
        if self.until != NO_OFFSET:
            req.until_offset = self.until
        return req.SerializeToString()

    def receive(self, data: bytes) -> Batch | None:
        """Take a response of the stream; None if it was a sign of life alone."""
        records, next_offset = decode_consumed(data)
        check_order(records, self.next, self.until)
        reached = self.next + len(records)
        if next_offset is not None:
            self._check_tail(next_offset, reached, bool(records))
        self._backoff.reset()
        if not records:
            return None
        self.next = self._known = reached
        self._delivered = True
        return Batch(records, next_offset)

    def given(self, batch: Batch) -> Batch:
        """Note that the caller has a batch. One that came after its wait was given up has not
        been delivered."""
        self.place = batch.records[-1].offset + 1
        return batch

    def _check_tail(self, tail: int, reached: int, records: bool) -> None:
        if tail > reached:
            raise broken_promise(f"the tail, at offset {tail}, came where record {reached} was due")
        # Only a start beyond the tail may be above it. A log that was read further than it
        # now reaches lost records: it went back to an earlier state.
        if tail < (reached if records else self._known):
            raise self._went_back(tail)

    def _went_back(self, tail: int) -> LogChangedError:
        return LogChangedError(
            Code.FAILED_PRECONDITION,
            f"the log's next offset is {tail}, but it was read up to {self._known} before:"
            " it was restored from a backup, or its data directory was replaced",
            reason=Reason.LOG_CHANGED,
            next_offset=tail,
            permanent=True,
        )

    def ended(self) -> Flow[None]:
        """Judge an end of the stream without an error: raise if it is too early."""
        if self.until == NO_OFFSET or self.done:
            return
        # A sealed log ends a stream too, but only at its tail.
        found = yield from bounds(self.retry, self.config.log)
        if found.next > self.next:
            raise broken_promise(f"the stream ended at offset {self.next}, before {self.until}")

    def resume(self, error: ProglogError) -> float:
        """Return the seconds to wait before the next stream, or raise what ends the read."""
        trimmed = error.reason is Reason.OFFSET_TRIMMED and error.first_offset is not None
        if trimmed and not self._delivered and self.config.start.offset is None:
            first = error.first_offset or 0
            if first > self.next:  # trimmed since the read began
                self.next = self.place = self._known = first
                return 0.0
        spent = self._backoff.exhausted()
        judged = fate(error)
        if judged is Fate.FINAL or (judged is Fate.DOUBTFUL and spent):
            raise typed(error)
        return self._backoff.pause()

    @property
    def failures(self) -> int:
        """So many streams failed in a row."""
        return self._backoff.failed


def typed(error: ProglogError) -> ProglogError:
    """The error of a read as the kind that names what happened to the log."""
    if error.reason is Reason.OFFSET_TRIMMED and not isinstance(error, OffsetGapError):
        return like(OffsetGapError, error)
    if error.reason is Reason.LOG_CHANGED and not isinstance(error, LogChangedError):
        return like(LogChangedError, error)
    return error


def named(flow: Flow[T]) -> Flow[T]:
    """The flow of a read, with its errors as `typed` names them."""
    try:
        return (yield from flow)
    except ProglogError as error:
        raise_typed(error)


def raise_typed(error: ProglogError) -> NoReturn:
    """Raise the error of a read as `typed` names it, where it is handled."""
    kind = typed(error)
    if kind is error:
        raise
    raise kind from error


def no_life() -> ProglogError:
    """The error of a stream that was given up."""
    return ProglogError(Code.UNAVAILABLE, "no sign of life from the server, where two were due")
