"""Which calls of produce travel together, and what the failure of a shared stream means for
one of them. Pure."""

from __future__ import annotations

from ._batch import SendBatch
from ._errors import (
    ClosedError,
    Code,
    NothingAppendedError,
    OutcomeUnknownError,
    ProglogError,
    Reason,
)


def goes_alone_after(error: ProglogError, batch: SendBatch | None) -> bool:
    """Say whether a call that failed over a shared stream is to be sent by itself, to get an
    answer of its own."""
    if not isinstance(error, NothingAppendedError):
        return False
    cause = error._behind or error
    if cause.reason is Reason.LOG_CHANGED:
        return True  # the stream stays with a log that is deleted
    if cause is error and batch is not None and batch.senders == 1 and cause.from_server:
        return False  # it is an answer to this call alone
    beneath = cause.__cause__
    answered = cause.from_server or cause._status != 0
    return answered or isinstance(cause, ClosedError) or isinstance(beneath, ClosedError)


def out_of_time() -> OutcomeUnknownError:
    """The error of a call whose timeout passed while its records were under way."""
    return OutcomeUnknownError(
        Code.DEADLINE_EXCEEDED, "the call's timeout passed before the acknowledgement"
    )
