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
from ._errors import Code, OutcomeUnknownError, ProglogError, Reason, like
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
        self._place = Place()
        self._dirty = False  # the place was set since it was stored

    def get(self) -> Flow[Place]:
        """The place that is stored; makes the cursor if there is none."""
        yield from self._load()
        self._dirty = False
        return self._place

    def set(self, offset: int) -> None:
        """Note the offset of the record to read next."""
        checks.whole("offset", offset)
        self._place, self._dirty = Place(offset, self._place.log_id), True

    def restart(self) -> Flow[Place]:
        """Begin anew with the log that has the name now, at its first record."""
        yield from self._load()
        info = yield from describe(self._retry, self.log)
        self._place, self._dirty = Place(info.first_offset, info.id), True
        return self._place

    def commit(self) -> Flow[None]:
        """Store what was set since the last time."""
        if not self._dirty:
            return
        if not self._loaded:
            offset = self._place.offset
            yield from self._load()
            self._place = Place(offset, self._place.log_id)
        if not self._place.log_id:
            info = yield from describe(self._retry, self.log)
            self._place = Place(self._place.offset, info.id)
        value = self._encode()
        try:
            self._at = yield from self._produce(value)
        except OutcomeUnknownError as error:
            if not (yield from self._stored(value)):
                raise self._explain("store a place in it", "produce to", error) from error
            self._at += 1
        except ProglogError as error:
            if error.reason is Reason.OFFSET_MISMATCH:
                self._loaded = False
                raise _told(error, f"cursor {self.name!r}: somebody else has moved it") from error
            raise self._explain("store a place in it", "produce to", error) from error
        self._dirty = False

    def _encode(self) -> bytes:
        place = {
            "log_id": self._place.log_id,
            "offset": str(self._place.offset),
            "writer": self._writer,
        }
        return json.dumps(place, separators=(",", ":"), ensure_ascii=False).encode()

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
