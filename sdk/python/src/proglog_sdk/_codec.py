"""Messages to and from bytes.

The messages that carry records are encoded and decoded here, straight from and to
`Record`: the generated classes would cost several objects for each record. Everything
else goes through the generated code. The numbers are those of log/v1/log.proto.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ._errors import broken_promise
from ._gen import log_v1 as pb
from ._types import (
    Ack,
    DedupWindow,
    Durability,
    Header,
    LogInfo,
    Record,
    Retention,
    to_time,
)

# Tags: the field's number, shifted by 3, and the type: 0 a number, 2 bytes.
REQUEST_RECORD = b"\x0a"
REQUEST_RECORDS = b"\x1a"
_REQUEST_LOG = b"\x12"
_REQUEST_EXPECTED = b"\x20"
_REQUEST_PRODUCER = b"\x2a"
_VALUE = b"\x0a"
_HEADERS = b"\x32"
_NAME, _HEADER_VALUE = b"\x0a", b"\x12"

_RESPONSE_RECORD_OR_RECORDS, _RESPONSE_NEXT = (0x1A, 0x12), 0x20
_RECORD_VALUE, _RECORD_OFFSET, _RECORD_TIME, _RECORD_HEADERS = 0x0A, 0x10, 0x2A, 0x32

_SMALL = [bytes([n]) for n in range(128)]
_NANOS = 1_000_000_000


def varint(n: int) -> bytes:
    """A number from 0 to 2**64-1 as protobuf writes it."""
    if 0 <= n < 128:
        return _SMALL[n]
    if n < 0 or n >> 64:
        raise ValueError(f"{n} is no number of 64 bits without a sign")
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def encode_record(record: Record, tag: bytes) -> bytes:
    """A record as a field of a ProduceRequest."""
    value = record.value
    body = _VALUE + varint(len(value)) + value if value else b""
    for header in record.headers:
        body += _HEADERS + _sized(_encode_header(header))
    return tag + varint(len(body)) + body


def _encode_header(header: Header) -> bytes:
    out = b""
    if header.name:
        out += _NAME + _sized(header.name.encode())
    if header.value:
        out += _HEADER_VALUE + _sized(header.value)
    return out


def _sized(data: bytes) -> bytes:
    return varint(len(data)) + data


def encode_log(log: str) -> bytes:
    """The name of the log that a ProduceRequest is for."""
    return _REQUEST_LOG + _sized(log.encode()) if log else b""


def encode_expected(offset: int | None) -> bytes:
    """The offset that the first record must get."""
    return b"" if offset is None else _REQUEST_EXPECTED + varint(offset)


def encode_producer(id: str, epoch: int, sequence: int) -> bytes:
    """The identity of a ProduceRequest."""
    producer = pb.Producer(id=id, epoch=epoch, sequence=sequence)
    return _REQUEST_PRODUCER + _sized(producer.SerializeToString())


def decode_ack(data: bytes, records: int) -> Ack:
    """The acknowledgement of so many records. One that does not fit them leaves the outcome
    unknown."""
    message = pb.ProduceResponse.FromString(data)
    offset = message.offset
    # A server that knows the origin only tells the first offset alone.
    next_offset = message.next_offset or offset + records
    if next_offset != offset + records:
        raise broken_promise(
            f"the acknowledgement of {records} records names the offsets from {offset}"
            f" up to {next_offset}"
        )
    return Ack(offset, next_offset, _nanos(message.timestamp), message.duplicate)


def _nanos(time: pb.Timestamp) -> int:
    return time.seconds * _NANOS + time.nanos


def decode_consumed(data: bytes) -> tuple[list[Record], int | None]:
    """The records of a ConsumeResponse, and its next_offset."""
    records: list[Record] = []
    next_offset: int | None = None
    at, end = 0, len(data)
    last_time, nanos = b"", 0
    try:
        while at < end:
            tag = data[at]
            at += 1
            if tag in _RESPONSE_RECORD_OR_RECORDS:
                size = data[at]
                at += 1
                if size > 127:
                    size, at = _long(data, at - 1)
                stop = at + size
                if stop > end:
                    raise IndexError
                value, offset, time = b"", 0, 0
                while at < stop:
                    tag = data[at]
                    at += 1
                    if tag == _RECORD_OFFSET:
                        offset, at = _long(data, at)
                        continue
                    size = data[at]
                    at += 1
                    if size > 127:
                        size, at = _long(data, at - 1)
                    field = data[at : at + size]
                    at += size
                    if tag == _RECORD_VALUE:
                        value = field
                    elif tag == _RECORD_TIME:
                        if field != last_time:
                            last_time, nanos = field, _nanos(pb.Timestamp.FromString(field))
                        time = nanos
                    else:
                        raise _UnusualError
                if at != stop:
                    raise IndexError
                records.append(Record(value, (), offset, time))
            elif tag == _RESPONSE_NEXT:
                next_offset, at = _long(data, at)
            else:
                raise _UnusualError
    except (_UnusualError, IndexError):
        return _decode_any(data)
    return records, next_offset


class _UnusualError(Exception):
    """Not what a server sends for plain records: headers, or a field from the future."""


def _long(data: bytes, at: int) -> tuple[int, int]:
    """A number as protobuf writes it, and where it ends."""
    n = shift = 0
    while True:
        byte = data[at]
        at += 1
        n |= (byte & 127) << shift
        if byte < 128:
            return n, at
        shift += 7


def _decode_any(data: bytes) -> tuple[list[Record], int | None]:
    """The same by the generated code, which knows every form."""
    try:
        message = pb.ConsumeResponse.FromString(data)
    except Exception as cause:
        raise broken_promise("a response that is not a message") from cause
    records: Sequence[pb.Record] = message.records
    if message.HasField("record"):
        records = [message.record, *records]
    next_offset = message.next_offset if message.HasField("next_offset") else None
    return [_decode_record(record) for record in records], next_offset


def _decode_record(record: pb.Record) -> Record:
    headers = tuple(Header(header.name, header.value) for header in record.headers)
    return Record(record.value, headers, record.offset, _nanos(record.timestamp))


def duration(seconds: float | None) -> pb.Duration | None:
    """An optional duration of a request."""
    if not seconds:
        return None
    nanos = round(seconds * _NANOS)
    return pb.Duration(seconds=nanos // _NANOS, nanos=nanos % _NANOS)


def _delta(message: pb.Duration) -> timedelta:
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def to_seconds(message: pb.Duration) -> float:
    """A duration of a response in seconds."""
    return message.seconds + message.nanos / _NANOS


def decode_info(info: pb.LogInfo) -> LogInfo:
    """The description of a log."""

    def time(field: str, message: pb.Timestamp) -> datetime | None:
        return to_time(_nanos(message)) if info.HasField(field) else None

    retention, window = info.retention, info.dedup_window
    dedup = None
    if info.HasField("dedup_window"):
        dedup = DedupWindow(window.acks, _delta(window.max_age), window.producers)
    return LogInfo(
        name=info.log,
        id=info.log_id,
        first_offset=info.first_offset,
        next_offset=info.next_offset,
        bytes=info.bytes,
        first_time=time("first_time", info.first_time),
        last_time=time("last_time", info.last_time),
        retention=Retention(_delta(retention.max_age) or None, retention.max_bytes),
        durability=Durability(info.durability),
        sealed=info.sealed,
        dedup=dedup,
    )
