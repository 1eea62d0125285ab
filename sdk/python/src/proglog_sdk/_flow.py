"""Protocol logic without connections.

A flow is a generator that yields what has to be done (`Call`, `Sleep`) and gets back what
came of it. One driver does it with threads, another with asyncio, so that the rules are
written once.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar, Union

from ._errors import ProglogError, Reason
from ._judge import Backoff, Fate, fate
from ._types import Retry

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """One try of a unary call. The driver sends back the response as bytes, or throws a
    ProglogError."""

    service: str
    method: str
    request: bytes
    log: str = ""
    number: int = 1
    wait: float = 0
    """The seconds that the server may take by request, beside its work."""
    patience: float | None = None
    """How long to wait for an answer of this try, in seconds. What comes after that goes over
    another connection: this one may have gone silent."""
    unanswered: bool = False
    """A try before this one got no answer of the server, so that it may have come through."""
    open: bool = False
    """As `unanswered`; or its answer leaves open whether it came through."""


@dataclass(slots=True)
class Sleep:
    """A pause before the next try. The driver sends back False if the caller's deadline does
    not allow it."""

    seconds: float
    to: str
    """What is tried again, for the log."""
    failures: int
    error: ProglogError


Effect = Union[Call, Sleep]
Flow = Generator[Effect, Any, T]

LOG = "log.v1.Log"
ADMIN = "log.v1.Admin"


def retry_read(retry: Retry, what: str, call: Call) -> Flow[bytes]:
    """Make a call until it succeeds, fails for good, or the attempts are used up."""
    backoff: Backoff | None = None  # mostly none is needed
    while True:
        try:
            response: bytes = yield call
            return response
        except ProglogError as error:
            backoff = backoff or Backoff(retry)
            if fate(error) is Fate.FINAL or backoff.exhausted():
                raise
            if not (yield Sleep(backoff.pause(), what, backoff.failed, error)):
                raise
            call.number += 1
            call.unanswered = call.unanswered or not error.from_server
            call.open = call.open or _leaves_open(error)


def _leaves_open(error: ProglogError) -> bool:
    """Say whether a change that failed so may have happened all the same."""
    if error.from_server:
        return error.reason not in (Reason.DRAINING, Reason.OVERLOADED)
    return not error.nothing_appended
