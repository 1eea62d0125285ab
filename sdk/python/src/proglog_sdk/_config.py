"""The settings of a client, checked."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Union
from urllib.parse import urlsplit

from . import _checks as checks
from ._types import Limits, Retry, Seconds, TraceHook
from ._version import __version__

TokenSource = Union[str, Callable[[], str]]
"""A bearer token, or what gives one before each call."""

AsyncTokenSource = Union[str, Callable[[], Union[str, Awaitable[str]]]]
"""A bearer token, or what gives one, or an awaitable of one, before each call."""

USER_AGENT = f"proglog-python/{__version__}"

logger = logging.getLogger("proglog_sdk")
"""Reports every lost connection and every retry, without values; to nobody unless told."""
logger.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class TLS:
    """What an https:// address is reached with. All of it is PEM, as bytes."""

    ca: bytes | None = None
    """The roots to trust; None: those that come with gRPC."""
    certificate: bytes | None = None
    """The client's own certificate and those up to its root."""
    key: bytes | None = None
    """The key of that certificate."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a client certificate needs its key, and a key its certificate")
        checks.certificates("ca", self.ca)
        checks.certificates("certificate", self.certificate)
        checks.private_key("key", self.key)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def target(self) -> str:
        """The address as gRPC names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What both clients are set up with."""

    address: Address
    timeout: float | None
    """Of a single call, its retries included, in seconds."""
    retry: Retry
    limits: Limits
    tls: TLS | None
    headers: tuple[tuple[str, str], ...]
    user_agent: str
    trace: TraceHook | None


def client_config(
    address: str,
    *,
    timeout: Seconds | None,
    retry: Retry | None,
    limits: Limits | None,
    tls: TLS | None,
    token: object,
    headers: Mapping[str, str] | None,
    user_agent: str,
    trace: TraceHook | None,
) -> ClientConfig:
    """Check the arguments of a client; a ValueError or a TypeError says what is wrong."""
    checks.kind("tls", tls, TLS)
    checks.kind("retry", retry, Retry)
    checks.kind("limits", limits, Limits)
    if trace is not None and not callable(trace):
        raise TypeError(f"trace is a function, not {type(trace).__name__}")
    checks.token(token)
    where = parse_address(address)
    if tls is not None and not where.secure:
        raise ValueError("TLS settings have no effect on http://: use https://")
    if token is not None and not where.secure and not _is_loopback(where.host):
        raise ValueError(f"a token would travel to {where.host} in the clear: use https://")
    limit = checks.timeout("timeout", timeout)
    if limit is not None and limit <= 0:
        raise ValueError("a timeout is above 0")
    return ClientConfig(
        address=where,
        timeout=limit,
        retry=retry or Retry(),
        limits=limits or Limits(),
        tls=tls,
        headers=checks.headers(headers),
        user_agent=f"{checks.user_agent(user_agent)} {USER_AGENT}".lstrip(),
        trace=trace,
    )


def parse_address(address: str) -> Address:
    """Check the address of a server."""
    parts = urlsplit(checks.text("address", address))
    if "://" not in address or parts.scheme not in ("http", "https"):
        raise ValueError(f"the address {address!r} has to start with http:// or https://")
    if not parts.hostname:
        raise ValueError(f"the address {address!r} names no host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"the address {address!r} may have a host, a port and a path only")
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    return Address(secure, parts.hostname, port, parts.path.rstrip("/"))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
