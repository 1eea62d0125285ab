"""Streams over which calls of produce that wait at the same time travel together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from .._arguments import Produced, shared_core
from .._errors import ProglogError
from .._sharing import goes_alone_after, out_of_time
from .._types import Ack
from ._producer import AsyncProducer
from ._session import Session


class SharedStreams:
    """One stream for each log that several calls write to at once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._callers: Counter[str] = Counter()
        self._open: dict[str, AsyncProducer] = {}

    def enter(self, log: str) -> AsyncProducer | None:
        """Begin a call; None if it is the only one, and faster by itself."""
        self._callers[log] += 1
        if self._callers[log] == 1:
            return None
        producer = self._open.get(log)
        if producer is None or producer.done or producer.closing:
            config = self._session.config
            core = shared_core(config.limits, config.retry, log)
            producer = self._open[log] = AsyncProducer(self._session, core)
        return producer

    def leave(self, log: str) -> None:
        """End a call."""
        self._callers[log] -= 1
        if not self._callers[log]:
            del self._callers[log]

    async def produce(
        self, producer: AsyncProducer, what: Produced, timeout: float | None
    ) -> Ack | None:
        """Send records with those of other calls; None: the call has to go alone."""
        batch = None
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            batch, index = await producer.add(what.shared(), len(what.records), what.size, timeout)
            left = None if deadline is None else deadline - time.monotonic()
            try:
                if not batch.settled:
                    await asyncio.wait_for(batch.event.wait(), left)
            except (asyncio.TimeoutError, TimeoutError):
                raise out_of_time() from None
            return batch.ack_of(index, len(what.records))
        except ProglogError as error:
            if goes_alone_after(error, batch):
                return None
            raise
