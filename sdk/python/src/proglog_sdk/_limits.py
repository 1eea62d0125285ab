"""Holds records against limits before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ._errors import Code, ProglogError, Reason, refused
from ._gen import log_v1 as pb
from ._types import Header, Limits, Record, RecordLike


def as_record(record: RecordLike) -> Record:
    """A record, from one or from its value alone."""
    if isinstance(record, Record):
        return record if type(record.value) is bytes and not record.headers else _checked(record)
    if isinstance(record, (bytes, bytearray, memoryview)):
        return Record(bytes(record))
    raise TypeError(f"a record is bytes or a Record, not {type(record).__name__}")


def _checked(record: Record) -> Record:
    """A record whose parts are of the right types, and nobody else's to change."""
    value, headers = record.value, record.headers
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"the value of a record is bytes, not {type(value).__name__}")
    for header in headers:
        if not isinstance(header, Header):
            raise TypeError(f"a header is a Header, not {type(header).__name__}")
        if not isinstance(header.name, str) or not isinstance(
            header.value, (bytes, bytearray, memoryview)
        ):
            raise TypeError("a header has a name that is a str and a value that is bytes")
    copies = tuple(Header(header.name, bytes(header.value)) for header in headers)
    return replace(record, value=bytes(value), headers=copies)


def check_record(limits: Limits, record: Record) -> int:
    """Return the bytes that count towards those of a batch, or raise what is over."""
    size = len(record.value)
    if size > limits.value_bytes:
        raise _too_large(f"a value of {size} bytes", limits.value_bytes)
    if record.headers:
        size += _check_headers(limits, record.headers)
    return size


def _check_headers(limits: Limits, headers: Sequence[Header]) -> int:
    if len(headers) > limits.headers:
        raise _too_large(f"{len(headers)} headers", limits.headers)
    size = 0
    for number, header in enumerate(headers):
        try:
            size += len(header.name.encode()) + len(header.value)
        except UnicodeEncodeError:
            raise refused(
                Code.INVALID_ARGUMENT,
                f"the name of header {number} is not UTF-8",
                Reason.INVALID_REQUEST,
            ) from None
    if size > limits.header_bytes:
        raise _too_large(f"headers of {size} bytes", limits.header_bytes)
    return size


def check_batch(limits: Limits, records: Sequence[Record]) -> int:
    """Return the size of a batch, or raise what is over a limit."""
    if not records:
        raise refused(Code.INVALID_ARGUMENT, "the batch has no record", Reason.NO_RECORD)
    if len(records) > limits.batch_records:
        raise _too_large(f"a batch of {len(records)} records", limits.batch_records)
    size = sum(check_record(limits, record) for record in records)
    if len(records) > 1 and size > limits.batch_bytes:
        raise _too_large(f"a batch of {size} bytes", limits.batch_bytes)
    return size


def lowered(limits: Limits, servers: pb.Limits) -> Limits:
    """The limits, brought down to the server's where those are lower; 0: it does not tell."""

    def low(own: int, told: int) -> int:
        return min(own, told) if told > 0 else own

    return replace(
        limits,
        value_bytes=low(limits.value_bytes, servers.value_bytes),
        headers=low(limits.headers, servers.headers),
        header_bytes=low(limits.header_bytes, servers.header_bytes),
        batch_records=low(limits.batch_records, servers.batch_records),
        batch_bytes=low(limits.batch_bytes, servers.batch_bytes),
    )


def _too_large(what: str, limit: int) -> ProglogError:
    return refused(
        Code.INVALID_ARGUMENT, f"{what} is over the limit of {limit}", Reason.TOO_LARGE, limit
    )
