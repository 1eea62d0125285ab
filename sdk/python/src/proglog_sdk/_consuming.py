"""Single reads, and what a read needs to know of a log before it starts, as flows."""

from __future__ import annotations

from dataclasses import dataclass

from . import _checks as checks
from ._codec import decode_consumed, duration, to_seconds
from ._defaults import ASK_PATIENCE
from ._errors import Code, ProglogError, Reason, broken_promise
from ._flow import LOG, Call, Flow, retry_read
from ._gen import log_v1 as pb
from ._types import Batch, Record, Retry, Time, from_time

NO_OFFSET = (1 << 64) - 1
"""No offset of a record."""

MOST_RECORDS = (1 << 32) - 1
"""What the field for a count of records holds; every server sends fewer."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a read starts: at most one of the three; none is the first record."""

    offset: int | None = None
    tail: int | None = None
    time: Time | None = None

    def __post_init__(self) -> None:
        given = [n for n in (self.offset, self.tail, self.time) if n is not None]
        if len(given) > 1:
            raise ValueError("a read starts at an offset, a time or before the tail: name one")
        checks.optional_whole("the offset to start at", self.offset)
        checks.optional_whole("from_tail", self.tail)
        if self.time is not None:
            checks.moment("from_time", self.time)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A log as a read finds it."""

    log_id: str
    """Empty if the server does not tell."""
    first: int
    next: int
    min_heartbeat: float = 0
    max_heartbeat: float = 0
    """In seconds; 0: the server sends none."""


def bounds(retry: Retry, log: str) -> Flow[Bounds]:
    """Ask for the identity and the bounds of a log."""
    call = Call(LOG, "GetLog", pb.GetLogRequest(log=log).SerializeToString(), log)
    call.patience = ASK_PATIENCE
    try:
        data = yield from retry_read(retry, "describe the log", call)
    except ProglogError as error:
        if error.code is not Code.UNIMPLEMENTED or not error.from_server:
            raise
        return (yield from _bounds_of_origin(retry, log))
    res = pb.GetLogResponse.FromString(data)
    return Bounds(
        res.info.log_id,
        res.info.first_offset,
        res.info.next_offset,
        to_seconds(res.limits.min_heartbeat),
        to_seconds(res.limits.max_heartbeat),
    )


def _bounds_of_origin(retry: Retry, log: str) -> Flow[Bounds]:
    """A server without GetLog tells the bounds when it is asked for what cannot be there."""
    req = pb.ConsumeRequest(log=log, offset=NO_OFFSET, max_records=1)
    call = Call(LOG, "Consume", req.SerializeToString(), log)
    try:
        yield from retry_read(retry, "find the bounds of the log", call)
    except ProglogError as error:
        if error.reason is not Reason.OFFSET_UNWRITTEN:
            raise
        return Bounds("", error.first_offset or 0, error.next_offset or 0)
    raise broken_promise("a record came for an offset that none has")


def consume(retry: Retry, log: str, offset: int, log_id: str, wait: float) -> Flow[Record]:
    """Read the record at an offset."""
    checks.whole("offset", offset)
    checks.text("log", log)
    checks.text("log_id", log_id)
    req = pb.ConsumeRequest(log=log, log_id=log_id, offset=offset, wait=duration(wait))
    call = Call(LOG, "Consume", req.SerializeToString(), log, wait=wait)
    records, _ = decode_consumed((yield from retry_read(retry, "consume", call)))
    if len(records) != 1 or records[0].offset != offset:
        raise broken_promise(f"{len(records)} records came where the one at {offset} was due")
    return records[0]


def consume_batch(
    retry: Retry,
    log: str,
    start: Start,
    max_records: int,
    until: int | None,
    log_id: str,
    wait: float,
) -> Flow[Batch]:
    """Read the records that are there from a start on, in one request."""
    checks.text("log", log)
    checks.text("log_id", log_id)
    checks.whole("max_records", max_records, 1)
    checks.optional_whole("until", until)
    req = pb.ConsumeRequest(
        log=log,
        log_id=log_id,
        max_records=min(max_records, MOST_RECORDS),
        until_offset=until,
        wait=duration(wait),
    )
    if start.tail is not None:
        req.from_tail = start.tail
    elif start.time is not None:
        req.from_time.CopyFrom(_timestamp(start.time))
    elif start.offset is not None:
        req.offset = start.offset
    else:
        req.offset = (yield from bounds(retry, log)).first
    call = Call(LOG, "Consume", req.SerializeToString(), log, wait=wait)
    try:
        data = yield from retry_read(retry, "consume", call)
    except ProglogError as error:
        # Without a wait the server tells of the tail with an error. An offset beyond the tail
        # stays one: it is a mistake, or a log that went back.
        at_tail = start.offset is None or start.offset == error.next_offset
        if error.reason is Reason.OFFSET_UNWRITTEN and error.next_offset is not None and at_tail:
            return Batch([], error.next_offset)
        raise
    records, next_offset = decode_consumed(data)
    check_order(records, records[0].offset if records else 0, NO_OFFSET)
    return Batch(records, next_offset)


def find_time(retry: Retry, log: str, log_id: str, time: Time) -> Flow[int]:
    """The offset at which the records of a time begin."""
    req = pb.ConsumeRequest(log=log, log_id=log_id, max_records=1, from_time=_timestamp(time))
    call = Call(LOG, "Consume", req.SerializeToString(), log)
    try:
        data = yield from retry_read(retry, "find a time", call)
    except ProglogError as error:
        if error.reason is Reason.OFFSET_UNWRITTEN and error.next_offset is not None:
            return error.next_offset
        raise
    records, next_offset = decode_consumed(data)
    if records:
        return records[0].offset
    if next_offset is None:
        raise broken_promise("neither a record nor the tail came for a time")
    return next_offset


def check_order(records: list[Record], due: int, until: int) -> None:
    """Hold what came against what was due: a gap or a repeat would be silent corruption of
    whatever the caller builds from the records."""
    for record in records:
        if record.offset != due or due >= until:
            raise broken_promise(f"record {record.offset} came where {due} was due")
        due += 1


def _timestamp(time: Time) -> pb.Timestamp:
    seconds, nanos = from_time(time)
    return pb.Timestamp(seconds=seconds, nanos=nanos)
