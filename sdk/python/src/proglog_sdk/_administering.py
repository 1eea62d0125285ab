"""Making, describing and removing logs, as flows."""

from __future__ import annotations

from . import _checks as checks
from ._codec import decode_info, duration
from ._errors import Code, ProglogError, Reason, like, outcome, refused
from ._flow import ADMIN, LOG, Call, Flow, retry_read
from ._gen import log_v1 as pb
from ._types import LogInfo, Retention, Retry


def describe(retry: Retry, log: str) -> Flow[LogInfo]:
    """Describe a log."""
    checks.text("log", log)
    call = Call(LOG, "GetLog", pb.GetLogRequest(log=log).SerializeToString(), log)
    data = yield from retry_read(retry, "describe the log", call)
    return decode_info(pb.GetLogResponse.FromString(data).info)


def put(
    retry: Retry, log: str, retention: Retention | None, sealed: bool | None
) -> Flow[tuple[LogInfo, bool]]:
    """Make a log if there is none of that name, and change its settings."""
    checks.text("log", log)
    checks.kind("sealed", sealed, bool)
    checks.kind("retention", retention, Retention)
    req = pb.PutLogRequest(log=log, sealed=sealed)
    if retention is not None:
        checks.whole("max_bytes", retention.max_bytes)
        age = None if retention.max_age is None else checks.duration("max_age", retention.max_age)
        req.retention.CopyFrom(pb.Retention(max_bytes=retention.max_bytes, max_age=duration(age)))
    call = _put_call(log, req)
    res = pb.PutLogResponse.FromString((yield from retry_read(retry, "put a log", call)))
    # A try before this one may have made it without a word; then it is not told.
    return decode_info(res.info), res.created


def _put_call(log: str, req: pb.PutLogRequest) -> Call:
    checks.text("log", log)
    return Call(ADMIN, "PutLog", req.SerializeToString(), log)


def create(
    retry: Retry, log: str, retention: Retention | None, sealed: bool | None
) -> Flow[LogInfo]:
    """Make a log; one of that name is left as it is."""
    checks.kind("sealed", sealed, bool)
    checks.kind("retention", retention, Retention)
    call = _put_call(log, pb.PutLogRequest(log=log))
    res = pb.PutLogResponse.FromString((yield from retry_read(retry, "put a log", call)))
    if not res.created and call.open:
        message = (
            f"there is a log {log!r}, and it may be by this call, whose first answer was lost;"
            " put_log sets it up whoever made it"
        )
        raise outcome(ProglogError(Code.UNKNOWN, message, permanent=True))
    if not res.created:
        raise refused(Code.ALREADY_EXISTS, f"there is a log {log!r} already")
    if retention is None and sealed is None:
        return decode_info(res.info)
    try:
        info, _ = yield from put(retry, log, retention, sealed)
    except ProglogError as error:
        message = f"the log {log!r} was made, but its settings were not confirmed: {error.message}"
        raise like(type(error), error, message=message) from error
    return info


def seal(retry: Retry, log: str) -> Flow[LogInfo]:
    """Seal a log, for good."""
    yield from describe(retry, log)  # PutLog would make one
    info, _ = yield from put(retry, log, None, True)
    return info


def trim(retry: Retry, log: str, first_offset: int) -> Flow[int]:
    """Remove the records below an offset."""
    checks.text("log", log)
    checks.whole("first_offset", first_offset)
    req = pb.TrimLogRequest(log=log, first_offset=first_offset)
    call = Call(ADMIN, "TrimLog", req.SerializeToString(), log)
    res = pb.TrimLogResponse.FromString((yield from retry_read(retry, "trim a log", call)))
    return res.first_offset


def delete(retry: Retry, log: str) -> Flow[None]:
    """Remove a log and its records."""
    checks.text("log", log)
    req = pb.DeleteLogRequest(log=log).SerializeToString()
    call = Call(ADMIN, "DeleteLog", req, log)
    try:
        yield from retry_read(retry, "delete a log", call)
    except ProglogError as error:
        # The try before may have come through without a word.
        if not (call.unanswered and error.reason is Reason.LOG_NOT_FOUND):
            raise


def list_page(retry: Retry, prefix: str, token: str) -> Flow[tuple[list[LogInfo], str]]:
    """A page of logs, and the token of the next one; empty: it was the last."""
    checks.text("prefix", prefix)
    req = pb.ListLogsRequest(prefix=prefix, page_token=token)
    call = Call(ADMIN, "ListLogs", req.SerializeToString())
    res = pb.ListLogsResponse.FromString((yield from retry_read(retry, "list logs", call)))
    return [decode_info(info) for info in res.logs], res.next_page_token
