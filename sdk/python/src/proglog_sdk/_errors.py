"""The errors that the SDK raises.

Every one is a `ProglogError` with the server's words. A failed write is exactly one of
`NothingAppendedError` and `OutcomeUnknownError`.
"""

from __future__ import annotations

import copy
import enum
from typing import TypeVar

_E = TypeVar("_E", bound="ProglogError")


class Code(enum.IntEnum):
    """A status code; its numbers are those of Connect and gRPC."""

    CANCELED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    def __str__(self) -> str:
        """The code as Connect writes it, such as ``out_of_range``."""
        return self.name.lower()


class Reason(enum.IntEnum):
    """Why the server refused or failed; the numbers are those of ``log.v1.Reason``.

    A reason that a newer server knows and this SDK does not is ``UNSPECIFIED``.
    """

    UNSPECIFIED = 0
    INTERNAL = 1
    INVALID_REQUEST = 2
    NO_RECORD = 3
    TOO_LARGE = 4
    INVALID_LOG_NAME = 5
    LOG_NOT_FOUND = 6
    LOG_CHANGED = 7
    LOG_SEALED = 8
    NOT_ALLOWED_ON_LOG = 9
    OFFSET_TRIMMED = 10
    OFFSET_UNWRITTEN = 11
    OFFSET_MISMATCH = 12
    PRODUCER_FENCED = 13
    SEQUENCE_GAP = 14
    SEQUENCE_FORGOTTEN = 15
    SEQUENCE_REUSED = 16
    OVERLOADED = 17
    STORAGE_FULL = 18
    DRAINING = 19
    STORAGE_FAILED = 20
    NO_QUORUM = 21
    DATA_DAMAGED = 22
    UNSUPPORTED = 23
    UNAUTHENTICATED = 24
    PERMISSION_DENIED = 25
    DEADLINE = 26
    CANCELED = 27

    @classmethod
    def _missing_(cls, value: object) -> Reason:
        return cls.UNSPECIFIED

    def __str__(self) -> str:
        """The reason as the contract writes it; empty for ``UNSPECIFIED``."""
        return self.name if self else ""


class ProglogError(Exception):
    """Says why a call failed. Decide by `reason`, then by `code`.

    Numbers that the error does not have are None.
    """

    code: Code
    """The status code."""
    reason: Reason
    """The server's reason; UNSPECIFIED for an error that the server did not raise itself."""
    message: str
    """For people. It is not stable."""
    from_server: bool
    """The server said this. Otherwise the connection failed, HTTP answered in its place, or
    the error arose in this process."""
    nothing_appended: bool
    """This call appended nothing, for certain."""
    first_offset: int | None
    """The log's first offset; with DATA_DAMAGED, the first damaged one."""
    next_offset: int | None
    """The log's next offset; with DATA_DAMAGED, one past the last damaged one."""
    epoch: int | None
    """The epoch in force, with PRODUCER_FENCED and SEQUENCE_GAP."""
    sequence: int | None
    """The sequence expected, with SEQUENCE_GAP and SEQUENCE_FORGOTTEN."""
    limit: int | None
    """What was exceeded, with TOO_LARGE."""
    incident: str
    """Names the line in the server's log that holds the cause, with INTERNAL."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        reason: Reason = Reason.UNSPECIFIED,
        from_server: bool = False,
        nothing_appended: bool = False,
        first_offset: int | None = None,
        next_offset: int | None = None,
        epoch: int | None = None,
        sequence: int | None = None,
        limit: int | None = None,
        incident: str = "",
        permanent: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.from_server = from_server
        self.nothing_appended = nothing_appended
        self.first_offset = first_offset
        self.next_offset = next_offset
        self.epoch = epoch
        self.sequence = sequence
        self.limit = limit
        self.incident = incident
        # Trying again cannot help, whatever the code says.
        self._permanent = permanent
        # The HTTP status that came in the place of the server's answer; 0: none.
        self._status = 0
        # It was not looked at because of this failure before it.
        self._behind: ProglogError | None = None

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        message = f": {self.message}" if self.message else ""
        incident = f" (incident {self.incident})" if self.incident else ""
        return f"{self.code}{reason}{message}{incident}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__))


def _rebuild(kind: type[ProglogError], state: dict[str, object]) -> ProglogError:
    """Unpickle: errors cross processes, as from a pool of workers."""
    error = kind.__new__(kind, state["message"])
    error.__dict__.update(state)
    return error


class NothingAppendedError(ProglogError):
    """A write failed, and its records are certainly not in the log.

    Sending them again cannot double them. The cause is in ``__cause__``.
    """


class OutcomeUnknownError(ProglogError):
    """A write failed, and nobody told whether its records are in the log.

    They may be there already, or appear; reading the log is the way to know. The cause is in
    ``__cause__``.
    """


class OffsetGapError(ProglogError):
    """The records that a read has to deliver next are gone: trimmed, or removed by retention.

    `first_offset` and `next_offset` are the bounds of what is left.
    """


class LogChangedError(ProglogError):
    """The log is not the one that was read before: another one has its name, or it was
    restored from a backup and lost records that were read already."""


class ClosedError(ProglogError):
    """The client, producer or iterator was closed."""


def like(kind: type[_E], error: ProglogError, **changes: object) -> _E:
    """An error of another kind with the same words and numbers, and `error` as its cause."""
    out = kind.__new__(kind, error.message)
    out.__dict__.update(copy.copy(error.__dict__))
    out.__dict__.update(changes)
    out.__cause__ = error
    return out


def outcome(error: ProglogError) -> NothingAppendedError | OutcomeUnknownError:
    """The error of a write as the one of the two kinds that is true."""
    if isinstance(error, (NothingAppendedError, OutcomeUnknownError)):
        return error
    if error.nothing_appended:
        return like(NothingAppendedError, error)
    return like(OutcomeUnknownError, error)


def refused(
    code: Code, message: str, reason: Reason = Reason.UNSPECIFIED, limit: int | None = None
) -> ProglogError:
    """An error that arises before anything is sent."""
    return ProglogError(
        code, message, reason=reason, nothing_appended=True, permanent=True, limit=limit
    )


def closed(what: str) -> ClosedError:
    """The error of a call on something that was closed."""
    return ClosedError(
        Code.CANCELED, f"the {what} is closed", nothing_appended=True, permanent=True
    )


def broken_promise(message: str) -> ProglogError:
    """The error of an answer that the contract rules out."""
    return ProglogError(Code.INTERNAL, f"the server broke the contract: {message}", permanent=True)
