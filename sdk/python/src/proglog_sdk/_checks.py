"""Refuses what can never be sent, before anything is: wrong types with a TypeError, values that
make no sense with a ValueError. Pure."""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

LARGEST = (1 << 64) - 1
"""The largest number that a request can hold."""

LONGEST = 100 * 365 * 86400.0
"""No duration is longer, in seconds; clocks and platforms have bounds not far above."""

_HEADER_NAME = re.compile(r"[0-9a-z_.-]+")
_HEADER_VALUE = re.compile(r"[ -~]*")
_TOKEN = re.compile(r"[!-~]+")
_KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\s.+-----END \1-----", re.DOTALL)
_OF_THE_PROTOCOL = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


def whole(name: str, number: Any, least: int = 0, most: int = LARGEST) -> int:
    """A whole number within bounds."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{name} is an int, not {type(number).__name__}")
    if not least <= number <= most:
        raise ValueError(f"{name} is from {least} to {most}, not {number}")
    return number


def optional_whole(name: str, number: Any, least: int = 0, most: int = LARGEST) -> int | None:
    """A whole number within bounds, or None."""
    return None if number is None else whole(name, number, least, most)


def text(name: str, value: Any) -> str:
    """A string that has an encoding."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} has no encoding in UTF-8") from None
    return value


def duration(name: str, value: Any, least: float = 0.0) -> float:
    """A duration in seconds: finite, and not below `least`."""
    if isinstance(value, timedelta):
        out = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, int) and abs(value) > LONGEST:
            raise ValueError(f"{name} is longer than any wait can be")
        out = float(value)
    else:
        raise TypeError(f"{name} is seconds or a timedelta, not {type(value).__name__}")
    if not math.isfinite(out) or not least <= out <= LONGEST:
        raise ValueError(f"{name} is a duration from {max(least, -LONGEST)} s on, not {out} s")
    return out


def timeout(name: str, value: Any) -> float | None:
    """A timeout in seconds, or None. One that is below 0 has passed already."""
    return None if value is None else duration(name, value, -LONGEST)


def moment(name: str, value: Any) -> None:
    """Check a moment: a datetime, or nanoseconds since 1970."""
    if not isinstance(value, datetime):
        whole(name, value, -(1 << 63), (1 << 63) - 1)


def kind(name: str, value: Any, *kinds: type) -> None:
    """Check that an optional argument is of one of the types."""
    if value is not None and not isinstance(value, kinds):
        wanted = " or ".join(one.__name__ for one in kinds)
        raise TypeError(f"{name} is {wanted}, not {type(value).__name__}")


def header_fault(name: Any, value: Any) -> str:
    """Say why a header cannot be sent; empty if it can. The value may be a secret."""
    if not isinstance(name, str) or not isinstance(value, str):
        return "is not of strings"
    if not _HEADER_NAME.fullmatch(name):
        return "has a name that HTTP does not allow"
    if name.startswith("grpc-") or name.endswith("-bin") or name in _OF_THE_PROTOCOL:
        return "belongs to the protocol"
    if not _HEADER_VALUE.fullmatch(value):
        return "has a value that is not printable ASCII"
    return ""


def headers(given: Any) -> tuple[tuple[str, str], ...]:
    """The headers of every call, with their names in lower case."""
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise TypeError(f"headers are a mapping, not {type(given).__name__}")
    out = []
    for name, value in given.items():
        low = name.lower() if isinstance(name, str) else name
        fault = header_fault(low, value)
        if fault:
            wrong = TypeError if fault == "is not of strings" else ValueError
            raise wrong(f"the header {name!r} {fault}")
        out.append((low, value))
    return tuple(out)


def token_fault(token: Any) -> str:
    """Say why a token cannot be sent, without repeating it; empty if it can."""
    if not isinstance(token, str):
        return f"a token is a str, not {type(token).__name__}"
    if token and not _TOKEN.fullmatch(token):
        return "a token has visible ASCII characters only, and this one has others"
    return ""


def token(given: Any) -> None:
    """Check the token of a client, or that what gives it can be called."""
    if given is not None and not callable(given):
        fault = token_fault(given)
        if fault:
            raise (ValueError if isinstance(given, str) else TypeError)(fault)


def user_agent(given: Any) -> str:
    """Check the first part of the user agent."""
    if not _HEADER_VALUE.fullmatch(text("user_agent", given)):
        raise ValueError("user_agent is not printable ASCII")
    return str(given)


def certificates(name: str, pem: Any) -> None:
    """Check that an optional PEM file has certificates."""
    kind(name + " of TLS", pem, bytes)
    if pem is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (ValueError, OSError) as cause:  # ssl.SSLError is an OSError
        raise ValueError(f"{name} of TLS has no certificate in PEM: {cause}") from cause


def private_key(name: str, pem: Any) -> None:
    """Check that an optional PEM file has a private key."""
    kind(name + " of TLS", pem, bytes)
    if pem is not None and not _KEY.search(pem):
        raise ValueError(f"{name} of TLS has no private key in PEM")
