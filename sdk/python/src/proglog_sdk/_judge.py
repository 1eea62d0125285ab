"""What a failure allows: another try, or none. Pure: no clock, no connection."""

from __future__ import annotations

import enum
import random

from ._errors import Code, ProglogError, Reason
from ._types import Retry


class Fate(enum.Enum):
    """What another try of a failed read can bring."""

    FINAL = 0
    """The same."""
    DOUBTFUL = 1
    """Perhaps something else: a few tries are worth it."""
    PASSING = 2
    """Success, in time."""


_PASSING_REASONS = frozenset(
    {
        Reason.DRAINING,
        Reason.OVERLOADED,
        Reason.STORAGE_FULL,
        Reason.STORAGE_FAILED,
        Reason.NO_QUORUM,
        Reason.DEADLINE,
        Reason.CANCELED,
    }
)
_PASSING_CODES = frozenset(
    {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.CANCELED, Code.DEADLINE_EXCEEDED}
)
_DOUBTFUL_CODES = frozenset({Code.INTERNAL, Code.UNKNOWN, Code.ABORTED})


def fate(error: ProglogError) -> Fate:
    """Judge an error of a read."""
    # An offset that was not met is the server's considered answer, for good.
    if error._permanent or error.reason is Reason.OFFSET_MISMATCH:
        return Fate.FINAL
    if error.reason in _PASSING_REASONS or error.code in _PASSING_CODES:
        return Fate.PASSING
    if error.code in _DOUBTFUL_CODES:
        return Fate.DOUBTFUL
    return Fate.FINAL


def too_long(error: ProglogError) -> bool:
    """Recognise a message over the transport's limit: it will be over it for ever."""
    return (
        error.from_server
        and error.code is Code.RESOURCE_EXHAUSTED
        and error.reason is Reason.UNSPECIFIED
    )


def may_retry_write(error: ProglogError) -> bool:
    """Say whether a failed write without an identity can be sent again.

    It can if it provably did not happen, and what prevented it can pass.
    """
    if not error.nothing_appended or error._permanent:
        return False
    if error.from_server and error.reason is Reason.UNSPECIFIED:
        return False
    return error.code in (Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED)


class Backoff:
    """Counts the failures in a row and paces the tries between them."""

    __slots__ = ("failed", "retry")

    def __init__(self, retry: Retry) -> None:
        self.retry = retry
        self.failed = 0

    def reset(self) -> None:
        """Forget the failures: something worked."""
        self.failed = 0

    def exhausted(self) -> bool:
        """Count a failure and say whether it used up the attempts."""
        self.failed += 1
        return self.failed >= self.retry.attempts

    def pause(self) -> float:
        """Draw the seconds to wait after the failures counted so far."""
        doublings = min(max(self.failed - 1, 0), 64)
        ceiling = min(self.retry.min_delay * 2.0**doublings, self.retry.max_delay)
        return random.uniform(0, ceiling)  # noqa: S311 (it spreads clients and keeps no secret)
