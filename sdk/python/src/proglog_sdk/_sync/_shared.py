"""Streams over which calls of produce that wait at the same time travel together."""

from __future__ import annotations

import threading
import time
from collections import Counter

from .._arguments import Produced, shared_core
from .._batch import SendBatch
from .._errors import ProglogError, outcome
from .._sharing import goes_alone_after, out_of_time
from .._types import Ack
from ._cancel import Told, cancelled, current_scopes
from ._producer import Producer
from ._session import Session


class SharedStreams:
    """One stream for each log that several calls write to at once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._callers: Counter[str] = Counter()
        self._open: dict[str, Producer] = {}

    def enter(self, log: str) -> Producer | None:
        """Begin a call; None if it is the only one, and faster by itself."""
        with self._lock:
            self._callers[log] += 1
            if self._callers[log] == 1:
                return None
            producer = self._open.get(log)
            if producer is None or producer.done or producer.closing:
                config = self._session.config
                core = shared_core(config.limits, config.retry, log)
                producer = self._open[log] = Producer(self._session, core)
            return producer

    def leave(self, log: str) -> None:
        """End a call."""
        with self._lock:
            self._callers[log] -= 1
            if not self._callers[log]:
                del self._callers[log]

    def produce(self, producer: Producer, what: Produced, timeout: float | None) -> Ack | None:
        """Send records with those of other calls; None: the call has to go alone."""
        batch = None
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            if current_scopes().is_set():
                raise outcome(cancelled(nothing_appended=True))
            batch, index = producer.add(what.shared(), len(what.records), what.size, timeout)
            if not self._await(batch, None if deadline is None else deadline - time.monotonic()):
                raise out_of_time()
            return batch.ack_of(index, len(what.records))
        except ProglogError as error:
            if goes_alone_after(error, batch):
                return None
            raise

    def _await(self, batch: SendBatch, timeout: float | None) -> bool:
        event: Told = batch.event
        return event.wait_in_scopes(timeout)
