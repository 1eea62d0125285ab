"""gRPC's errors made ours: what the server said, what HTTP answered in its place, or how the
connection failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from .._errors import Code, ProglogError, Reason
from .._gen import log_v1 as pb

_DETAILS = "grpc-status-details-bin"
_DETAIL_TYPE = b"/log.v1.ErrorDetail"
_HTTP_STATUS = re.compile(r"[Rr]eceived http2 header with status: (\d+)")

# gRPC tells these apart by text alone. What is not recognised counts as unknown, which is
# never wrong.
_NOT_CONNECTED = ("failed to connect to all addresses", "DNS resolution failed")
_BAD_CERTIFICATE = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed", "SSL_ERROR")
_OWN_LIMIT = ("CLIENT: Received message larger", "Received message larger than max")

_BEFORE_THE_LOG = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.UNIMPLEMENTED,
        Code.RESOURCE_EXHAUSTED,
        Code.UNAUTHENTICATED,
        Code.PERMISSION_DENIED,
        Code.NOT_FOUND,
    }
)
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
# These answer a unary call in the place of passing it on, as do redirects: they refuse a
# caller, a path, a method, a protocol or a size before anything looks at the request. Of a
# stream they prove nothing: what was sent before the status came may have been passed on.
_REFUSING_STATUS = frozenset(
    {401, 403, 404, 405, 407, 411, 413, 414, 415, 421, 426, 428, 429, 431, 505, *range(300, 400)}
)


def translate(error: Any) -> ProglogError:
    """Make a `grpc.RpcError` of a finished call ours."""
    number = error.code().value[0]
    code = Code(number) if 1 <= number <= 16 else Code.UNKNOWN
    text = error.details() or ""
    out = _with_detail(code, text, error.trailing_metadata() or ())
    if out is None:
        out = _without_detail(code, text)
    out.__cause__ = error
    return out


def _with_detail(code: Code, text: str, metadata: Iterable[tuple[str, Any]]) -> ProglogError | None:
    """The error with the server's typed detail, if it has one."""
    for key, value in metadata:
        if key != _DETAILS:
            continue
        detail = _find_detail(bytes(value))
        if detail is not None:
            return ProglogError(
                code,
                text,
                reason=Reason(detail.reason),
                from_server=True,
                nothing_appended=detail.nothing_appended,
                first_offset=detail.first_offset if detail.HasField("first_offset") else None,
                next_offset=detail.next_offset if detail.HasField("next_offset") else None,
                epoch=detail.epoch if detail.HasField("epoch") else None,
                sequence=detail.sequence if detail.HasField("sequence") else None,
                limit=detail.limit if detail.HasField("limit") else None,
                incident=detail.incident,
            )
    return None


def _without_detail(code: Code, text: str) -> ProglogError:
    status = _HTTP_STATUS.search(text)
    if status is not None:
        return _of_http(int(status.group(1)), text)
    if code is Code.UNAVAILABLE and any(part in text for part in _NOT_CONNECTED):
        final = any(part in text for part in _BAD_CERTIFICATE)
        return ProglogError(code, text, nothing_appended=True, permanent=final)
    if code is Code.RESOURCE_EXHAUSTED and text.startswith(_OWN_LIMIT):
        return ProglogError(code, text, permanent=True)
    if code in _BEFORE_THE_LOG:
        # The protocol library raised it, before the request reached the log: a message that
        # it could not read or found too large, a method that it does not know.
        return ProglogError(code, text, from_server=True, nothing_appended=True)
    if code in (Code.CANCELED, Code.INTERNAL, Code.UNKNOWN):
        code = Code.UNAVAILABLE  # what gRPC calls a connection that broke
    return ProglogError(code, text)


def _of_http(status: int, text: str) -> ProglogError:
    """An answer of HTTP itself: of the server before it came to the call, of a proxy, or of
    something else that listens at that address."""
    code = {401: Code.UNAUTHENTICATED, 403: Code.PERMISSION_DENIED, 404: Code.UNIMPLEMENTED}
    passing = status in _PASSING_STATUS
    error = ProglogError(
        Code.UNAVAILABLE if passing else code.get(status, Code.UNKNOWN),
        f"the server answered HTTP {status}: {text}",
        nothing_appended=status in _REFUSING_STATUS,
        permanent=not passing,
    )
    error._status = status
    return error


def _find_detail(status: bytes) -> pb.ErrorDetail | None:
    """Our detail in an encoded google.rpc.Status, whose field 3 has them as Any: a type's
    address in field 1, the message in field 2."""
    for number, packed in _bytes_fields(status):
        if number == 3:
            fields = dict(_bytes_fields(packed))
            if fields.get(1, b"").endswith(_DETAIL_TYPE):
                return pb.ErrorDetail.FromString(fields.get(2, b""))
    return None


def _bytes_fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of an encoded message that hold bytes; numbers are passed over."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == 2:
            yield tag >> 3, data[at : at + value]
            at += value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    n = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        n |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return n, at
