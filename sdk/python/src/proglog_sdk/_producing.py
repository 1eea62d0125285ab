"""A single write, tried until it succeeds or may not be tried again, as a flow."""

from __future__ import annotations

from dataclasses import dataclass

from ._codec import decode_ack
from ._errors import Code, ProglogError, Reason, like, outcome
from ._flow import LOG, Call, Flow, Sleep, retry_read
from ._gen import log_v1 as pb
from ._identity import Identities, Identity
from ._judge import Backoff, Fate, fate, may_retry_write, too_long
from ._types import Ack, Retry


@dataclass(slots=True)
class Dedups:
    """Whether the server is known to recognise a request that comes twice."""

    known: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """What is to be appended: the encoded request without its identity, and how many
    records are in it."""

    log: str
    body: bytes
    records: int


def produce_alone(
    retry: Retry, write: Write, identity: Identity | None, pool: Identities, dedups: Dedups
) -> Flow[Ack]:
    """Send a request of its own until it succeeds, or fails in a way that does not allow
    another try."""
    mine = identity or pool.take(write.log)
    tried = False  # a try is unanswered
    number = 0
    backoff = Backoff(retry)
    while True:
        number += 1
        request = write.body + mine.encode(mine.sequence)
        try:
            data = yield Call(LOG, "Produce", request, write.log, number)
            ack = decode_ack(data, write.records)
        except ProglogError as caught:
            error = caught
        else:
            mine.sequence += 1
            pool.give(write.log, mine)
            return ack
        renewed = mine.renewed(error)
        if renewed is not None and not tried and (renewed.none or mine.sequence > 0):
            mine = renewed
            continue
        tried = tried or not error.nothing_appended
        again = may_retry_write(error)
        if not mine.none:
            again = fate(error) is not Fate.FINAL and not too_long(error)
        again = again and not backoff.exhausted()
        if again and tried and not mine.none:
            again = yield from recognises(retry, write.log, dedups)
        if again:
            again = yield Sleep(backoff.pause(), "produce", backoff.failed, error)
            if again:
                continue
        if not tried:
            pool.give(write.log, mine)  # the sequence is still to be used
        elif error.nothing_appended:  # so did this try, but not the one before
            error = like(ProglogError, error, nothing_appended=False)
        raise outcome(error)


def recognises(retry: Retry, log: str, dedups: Dedups) -> Flow[bool]:
    """Say whether the server knows a request that comes twice. One that does not know the
    field would append it twice, without a word."""
    if dedups.known:
        return True
    call = Call(LOG, "GetLog", pb.GetLogRequest(log=log).SerializeToString(), log)
    try:
        data = yield from retry_read(retry, "describe the log", call)
    except ProglogError as error:
        # A server that judges the question understands it.
        judged = error.from_server and error.reason is not Reason.UNSPECIFIED
        known = judged and error.code is not Code.UNIMPLEMENTED
    else:
        known = pb.GetLogResponse.FromString(data).capabilities.producers
    dedups.known = dedups.known or known
    return known
