"""The adapter protocol's JSON, to and from what the SDK has."""

from __future__ import annotations

import base64
import datetime
import platform
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import proglog_sdk
from proglog_sdk import (
    Ack,
    Attempt,
    AttemptEnd,
    Header,
    LogInfo,
    NothingAppendedError,
    OutcomeUnknownError,
    ProglogError,
    Record,
)

NANOS = 1_000_000_000


class MisuseError(Exception):
    """A command that cannot be done: a mistake of the runner."""


def hello(mode: str) -> dict[str, Any]:
    """Who answers."""
    return {
        "sdk": "python" if mode == "sync" else "python-async",
        "version": proglog_sdk.__version__,
        "runtime": f"{platform.python_implementation()} {platform.python_version()}",
        "lacks": {"http1": "gRPC, which it speaks, needs HTTP/2"},
    }


def bytes_of(text: str | None) -> bytes:
    """Bytes from base64; absent ones are empty."""
    return base64.b64decode(text or "")


def record_of(told: dict[str, Any]) -> Record:
    """A record to produce."""
    headers = tuple(
        Header(h.get("name", ""), bytes_of(h.get("value"))) for h in told.get("headers") or ()
    )
    return Record(bytes_of(told.get("value")), headers)


def reused(records: Iterable[Record]) -> Iterator[Any]:
    """The records, whose values stand one after another in the same bytes."""
    buffer = bytearray()
    for record in records:
        buffer[:] = record.value
        yield buffer


def token_of(c: dict[str, Any]) -> str | Callable[[], str] | None:
    """The token of a client, or what is asked for one: the last of several stays."""
    if not c.get("tokens"):
        return c.get("token") or None
    tokens = iter(c["tokens"])
    return lambda: str(next(tokens, c["tokens"][-1]))


class Trace:
    """A trace hook that notes the tries of a client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._calls: list[dict[str, str]] = []

    def __call__(self, attempt: Attempt) -> Callable[[AttemptEnd], None]:
        """A try begins."""
        with self._lock:
            self._open += 1

        def end(how: AttemptEnd) -> None:
            code = "" if how.error is None else str(how.error.code)
            with self._lock:
                self._open -= 1
                self._calls.append({"method": attempt.method, "code": code})

        return end

    def told(self) -> dict[str, Any]:
        """The tries that ended, and how many have not."""
        with self._lock:
            return {"calls": list(self._calls), "open": self._open}


def number(told: Any) -> int | None:
    """A 64-bit number, which is a decimal string."""
    return None if told is None else int(told)


def seconds(ms: Any) -> float:
    """A duration, which is in milliseconds."""
    return float(ms or 0) / 1000


def nanos_of(text: str | None) -> int | None:
    """A time of RFC 3339 in nanoseconds since 1970."""
    if text is None:
        return None
    whole, _, rest = text.partition(".")
    digits = "".join(c for c in rest if c.isdigit()) if rest.endswith("Z") else ""
    if rest and not digits:
        raise MisuseError(f"the time {text!r} is not in UTC")
    moment = datetime.datetime.fromisoformat(whole.removesuffix("Z") + "+00:00")
    return int(moment.timestamp()) * NANOS + int(digits.ljust(9, "0")[:9] or 0)


def tell_time(nanos: int) -> str:
    """Nanoseconds since 1970 as a time of RFC 3339."""
    moment = datetime.datetime.fromtimestamp(nanos // NANOS, datetime.timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos % NANOS:09d}Z"


def tell_bytes(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode()


def tell_record(record: Record) -> dict[str, Any]:
    """A record that was read."""
    return {
        "value": tell_bytes(record.value),
        "headers": [{"name": h.name, "value": tell_bytes(h.value)} for h in record.headers],
        "offset": str(record.offset),
        "time": tell_time(record.timestamp_ns),
    }


def tell_ack(ack: Ack) -> dict[str, Any]:
    """An acknowledgement."""
    return {
        "offset": str(ack.offset),
        "next_offset": str(ack.next_offset),
        "time": tell_time(ack.timestamp_ns),
        "duplicate": ack.duplicate,
    }


def tell_info(info: LogInfo) -> dict[str, Any]:
    """The description of a log."""
    age = info.retention.max_age
    return {
        "name": info.name,
        "id": info.id,
        "first_offset": str(info.first_offset),
        "next_offset": str(info.next_offset),
        "bytes": str(info.bytes),
        "sealed": info.sealed,
        "max_age_ms": 0 if age is None else age // datetime.timedelta(milliseconds=1),
        "max_bytes": str(info.retention.max_bytes),
    }


def tell_error(error: BaseException) -> dict[str, Any]:
    """An error: what the SDK's typed one holds, and nothing that it does not."""
    told: dict[str, Any] = {"message": str(error), "reason": "", "from_server": False}
    if not isinstance(error, ProglogError):
        told["code"] = "adapter" if isinstance(error, MisuseError) else "unknown"
        if isinstance(error, ValueError):
            told["code"] = "invalid_argument"  # how Python says it
        return told
    told.update(code=str(error.code), reason=str(error.reason), from_server=error.from_server)
    if isinstance(error, NothingAppendedError):
        told["outcome"] = "nothing_appended"
    if isinstance(error, OutcomeUnknownError):
        told["outcome"] = "unknown"
    for name in ("first_offset", "next_offset", "epoch", "sequence", "limit"):
        value = getattr(error, name)
        if value is not None:
            told[name] = str(value)
    if error.incident:
        told["incident"] = error.incident
    return told
