"""Whether another log took the name of the one that a producer writes to."""

from __future__ import annotations

from ._errors import Code, ProglogError, Reason, refused
from ._flow import Call, Flow
from ._gen import log_v1 as pb


def is_lost(error: ProglogError, log_id: str, written: bool) -> bool:
    """Say whether the server does not find what the producer wrote before."""
    if not error.from_server:
        return False
    if error.reason is Reason.SEQUENCE_FORGOTTEN:
        return log_id != ""
    return error.reason is Reason.LOG_NOT_FOUND and (log_id != "" or written)


def replaced(ask: Call, log_id: str, error: ProglogError) -> Flow[ProglogError]:
    """Say of such an error that another log has the name now, if that is so. The producer
    belongs to the log that it began with, and nothing was appended by this try then."""
    try:
        data: bytes = yield ask
    except ProglogError:
        return error
    if pb.GetLogResponse.FromString(data).info.log_id in ("", log_id):
        return error
    message = "the log was deleted, and another one has its name now"
    changed = refused(Code.FAILED_PRECONDITION, message, Reason.LOG_CHANGED)
    changed.__cause__ = error
    return changed
