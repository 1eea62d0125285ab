"""The acknowledgement of one record to come, for threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from .. import _checks as checks
from .._batch import SendBatch
from .._config import logger
from .._errors import ProglogError
from .._types import Ack, Seconds
from ._cancel import Told


class Owner(Protocol):
    """What sends the record."""

    lock: threading.RLock

    def check_wait(self, what: str) -> None:
        """Refuse a wait that the current thread would have to end."""


class SendFuture:
    """The acknowledgement of one record to come, in the manner of concurrent.futures."""

    __slots__ = ("_batch", "_index", "_owner")

    def __init__(self, batch: SendBatch, index: int, owner: Owner) -> None:
        self._batch = batch
        self._index = index
        self._owner = owner

    def done(self) -> bool:
        """Whether the record's fate is known."""
        return self._batch.settled

    def result(self, timeout: Seconds | None = None) -> Ack:
        """Wait for the acknowledgement, or raise what the record failed with: a
        NothingAppendedError or an OutcomeUnknownError. A TimeoutError says nothing about the
        record; ask again, as after an OutcomeUnknownError by which a `CancelScope` ended the
        wait."""
        self._wait(timeout)
        return self._batch.ack_of(self._index)

    def exception(self, timeout: Seconds | None = None) -> ProglogError | None:
        """Wait, and return what the record failed with, or None."""
        self._wait(timeout)
        return self._batch.error

    def add_done_callback(self, call: Callable[[SendFuture], object]) -> None:
        """Have a function called with this future when it is done, in the producer's thread;
        at once if it is done already. It should be quick: nothing is acknowledged meanwhile.
        What would wait for the producer itself raises a RuntimeError in it: `close`, and
        `flush`, `result` or `send` if they cannot return at once."""
        with self._owner.lock:
            if not self._batch.settled:
                self._batch.listeners.append(lambda: _tell(call, self))
                return
        _tell(call, self)

    def _wait(self, timeout: Seconds | None) -> None:
        limit = checks.timeout("timeout", timeout)
        if self._batch.settled:
            return
        self._owner.check_wait("result")
        event: Told = self._batch.event
        if not event.wait_in_scopes(limit):
            raise TimeoutError("the record's fate is not known yet")


def _tell(call: Callable[[SendFuture], object], future: SendFuture) -> None:
    try:
        call(future)
    except Exception:
        logger.exception("a callback of a producer's future failed")


def announce(batch: SendBatch) -> None:
    """Tell those who wait that a batch's fate is known."""
    batch.event.set()
    for listener in batch.listeners:
        listener()
