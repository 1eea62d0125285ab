"""The cursor for threads."""

from __future__ import annotations

import threading

from .. import _checks as checks
from .._cursoring import CursorState
from .._types import Place, Seconds
from ._session import Session


class Cursor:
    """A reader's place in a log, kept on the server: in a tiny log of its own, whose last record
    is the place. It is safe for use by many threads.

    Two readers that use one cursor do not overwrite each other: the one whose place is out of
    date gets an error with OFFSET_MISMATCH from `commit`, every time, until it has read the
    other's place with `get`, or begun anew with `restart`.
    """

    def __init__(self, session: Session, log: str, name: str) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._state = CursorState(session, log, name)

    @property
    def log(self) -> str:
        """The name of the log that holds the cursor."""
        return self._state.name

    def get(self, *, timeout: Seconds | None = None) -> Place:
        """The place that is stored, for the `start` of a read. Makes the cursor if there is
        none: its place is falsy, and a read from it starts at the first record."""
        with self._lock:
            return self._session.run(self._state.get(), checks.timeout("timeout", timeout))

    def set(self, offset: int) -> None:
        """Note the offset of the record to read next. `commit` stores it."""
        with self._lock:
            self._state.set(offset)

    def restart(self, *, timeout: Seconds | None = None) -> Place:
        """Begin anew with the log that has the name now, at its first record: for a reader that
        was told LOG_CHANGED, and decided to go on with the other log. `commit` stores it."""
        with self._lock:
            return self._session.run(self._state.restart(), checks.timeout("timeout", timeout))

    def commit(self, *, timeout: Seconds | None = None) -> None:
        """Store what was set since the last time. When it returns, a reader that begins anew,
        anywhere, begins there. A cursor that was set without `get` stores its place only if
        none is stored yet; otherwise it is out of date."""
        with self._lock:
            self._session.run(self._state.commit(), checks.timeout("timeout", timeout))
