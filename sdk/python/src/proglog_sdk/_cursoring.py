"""A reader's place in a log, kept in a tiny log of its own, as flows.

The place is the last record of that log: JSON, the same in every language.
"""

from __future__ import annotations

import json
from typing import Any

from . import _checks as checks
from ._administering import describe, put
from ._codec import REQUEST_RECORD, encode_expected, encode_log, encode_record
from ._consuming import Start, consume, consume_batch
from ._defaults import CURSOR_BYTES
from ._errors import Code, OutcomeUnknownError, ProglogError, Reason, like, outcome, refused
from ._flow import Flow
from ._identity import new_id
from ._producing import Write, produce_alone
from ._session import SessionBase
from ._types import Place, Record, Retention


def cursor_log(log: str, name: str) -> str:
    """The name of the log that holds a cursor: ``<log>.cursor/<name>``, and ``cursor/<name>``
    for one on the default log."""
    checks.text("log", log)
    checks.text("name", name)
    return f"{log}.cursor/{name}" if log else f"cursor/{name}"


class CursorState:
    """What a cursor knows between its calls."""

    def __init__(self, session: SessionBase, log: str, name: str) -> None:
        self._session = session
        self._retry = session.config.retry
        self.log = log
        self.name = cursor_log(log, name)
        self._writer = new_id()  # tells this cursor's records from those of others
        self._loaded = False
        self._at = 0  # the next offset of the cursor's log
        self._place = Place()  # as it was read or stored the last time
        self._begun = ""  # the log to be read, as it was when nothing was stored yet
        self._set: int | None = None  # the offset that is to be stored
        self._sets = 0  # so often it was set; it may be while something is under way
        self._stale: ProglogError | None = None  # somebody else has moved it since it was read
        self._untold = b""  # was sent to be stored at _at, and nobody told whether it is

    def get(self) -> Flow[Place]:
        """The place that is stored; makes the cursor if there is none. What `commit` stores is a
        place in the log that is there now, whatever takes its name until then."""
        sets = self._sets
        yield from self._load()
        self._begun = "" if self._place else (yield from self._id_now())
        if self._sets == sets:
            self._set = None
        return self._place

    def set(self, offset: int) -> None:
        """Note the offset of the record to read next."""
        self._set = checks.whole("offset", offset)
        self._sets += 1

    def restart(self) -> Flow[Place]:
        """Begin anew with the log that has the name now, at its first record."""
        yield from self._load()
        self._set = None
        info = yield from describe(self._retry, self.log)
        self._place = Place(info.first_offset, info.id)
        self.set(info.first_offset)
        return self._place

    def commit(self) -> Flow[None]:
        """Store what was set since the last time."""
        if self._set is None:
            return
        yield from self._prepare()
        sets, place = self._sets, Place(self._set, self._place.log_id)
        value = self._encode(place)
        try:
            try:
                yield from self._store(value)
            except ProglogError as error:
                if error.reason is not Reason.OFFSET_MISMATCH or not (yield from self._own()):
                    raise
                yield from self._store(value)
        except ProglogError as error:
            if error.reason is Reason.OFFSET_MISMATCH:
                raise self._moved(error, "somebody else has moved it") from error
            raise self._explain("store a place in it", "produce to", error) from error
        self._place = place
        if self._sets == sets:
            self._set = None

    def _prepare(self) -> Flow[None]:
        """Find out where to store a place, and of which log it is."""
        if self._stale is None and not self._loaded:
            yield from self._load()
            if self._place.log_id:
                self._loaded = False
                message = "a place is stored in it that was not read"
                error = refused(Code.ABORTED, message, Reason.OFFSET_MISMATCH)
                error.next_offset = self._at
                raise self._moved(outcome(error))
        if self._stale is not None:
            raise like(type(self._stale), self._stale)
        if not self._place.log_id:
            log_id = self._begun or (yield from describe(self._retry, self.log)).id
            self._place = Place(self._place.offset, log_id)

    def _id_now(self) -> Flow[str]:
        """The identity of the log that is to be read; empty if it is not there yet."""
        try:
            return (yield from describe(self._retry, self.log)).id
        except ProglogError as error:
            if error.reason is not Reason.LOG_NOT_FOUND:
                raise
            return ""

    def _moved(self, error: ProglogError, what: str = "") -> ProglogError:
        """Remember that the cursor is out of date, and return the error that says so."""
        told = _told(error, f"cursor {self.name!r}" + (what and f": {what}"))
        self._stale = like(type(told), told)
        self._stale.__cause__ = None  # what is kept must not keep the error's frames
        return told

    def _store(self, value: bytes) -> Flow[None]:
        """Append a place, if nobody else has since the cursor was loaded."""
        try:
            self._at = yield from self._produce(value)
        except OutcomeUnknownError:
            self._untold = value
            if not (yield from self._own()):
                raise
        self._untold = b""

    def _own(self) -> Flow[bool]:
        """Look whether what the cursor sent, and nobody told of, is there; if so, go on
        behind it."""
        if not self._untold or not (yield from self._stored(self._untold)):
            return False
        self._at, self._untold = self._at + 1, b""
        return True

    def _encode(self, place: Place) -> bytes:
        stored = {"log_id": place.log_id, "offset": str(place.offset), "writer": self._writer}
        return json.dumps(stored, separators=(",", ":"), ensure_ascii=False).encode()

    def _produce(self, value: bytes) -> Flow[int]:
        body = encode_log(self.name) + encode_expected(self._at)
        body += encode_record(Record(value), REQUEST_RECORD)
        session = self._session
        ack = yield from produce_alone(
            self._retry, Write(self.name, body, 1), None, session.identities, session.dedups
        )
        return ack.next_offset

    def _stored(self, value: bytes) -> Flow[bool]:
        """Look whether a record of which nobody told is there."""
        try:
            record = yield from consume(self._retry, self.name, self._at, "", 0)
        except ProglogError:
            return False
        return record.value == value

    def _load(self) -> Flow[None]:
        """Read the last record of the cursor's log, which is made if there is none."""
        try:
            info = yield from describe(self._retry, self.name)
        except ProglogError as error:
            if error.reason is not Reason.LOG_NOT_FOUND:
                raise self._explain("look for it", "describe", error) from error
            info = yield from self._make()
        place, at = Place(), info.next_offset
        if info.next_offset > info.first_offset:
            try:
                last = yield from consume_batch(
                    self._retry, self.name, Start(tail=1), 1, None, "", 0
                )
            except ProglogError as error:
                raise self._explain("read it", "consume", error) from error
            for record in last.records:
                place, at = self._decode(record), record.offset + 1
        self._place, self._at, self._loaded = place, at, True
        self._stale, self._untold = None, b""

    def _make(self) -> Flow[Any]:
        try:
            info, _ = yield from put(self._retry, self.name, Retention(None, CURSOR_BYTES), None)
        except ProglogError as error:
            raise self._explain("create it", "create", error) from error
        return info

    def _decode(self, record: Record) -> Place:
        try:
            stored = json.loads(record.value)
            return Place(int(stored["offset"]), str(stored["log_id"]))
        except (ValueError, KeyError, TypeError) as cause:
            raise ProglogError(
                Code.DATA_LOSS,
                f"cursor {self.name!r}: record {record.offset} is not a place: {cause}",
                permanent=True,
            ) from cause

    def _explain(self, do: str, right: str, error: ProglogError) -> ProglogError:
        """Say what is missing when the server does not let the cursor be."""
        name = self.name
        if error.code is Code.PERMISSION_DENIED:
            text = (
                f"cursor {name!r}: may not {do}: the right to {right} the log {name!r} is missing"
                f" (`proglog logs create {name} --max-bytes {CURSOR_BYTES}` by somebody who has the"
                " right to create it does the first part)"
            )
        elif error.code is Code.UNIMPLEMENTED:
            text = f"cursor {name!r}: cannot {do}: the server has no named logs, which it needs"
        else:
            text = f"cursor {name!r}: cannot {do}"
        return _told(error, text)


def _told(error: ProglogError, text: str) -> ProglogError:
    message = f"{text}: {error.message}"
    return like(type(error), error, message=message)
