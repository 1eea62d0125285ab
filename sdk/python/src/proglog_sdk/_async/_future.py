"""The acknowledgement of one record to come, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from .._batch import SendBatch
from .._errors import ProglogError
from .._types import Ack


class AsyncSendFuture:
    """The acknowledgement of one record to come: await it, as often as you like."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: SendBatch, index: int) -> None:
        self._batch = batch
        self._index = index

    def __await__(self) -> Generator[Any, None, Ack]:
        """The acknowledgement, or raise what the record failed with: a NothingAppendedError or
        an OutcomeUnknownError."""
        if not self._batch.settled:
            yield from self._batch.event.wait().__await__()
        return self.result()

    def done(self) -> bool:
        """Whether the record's fate is known."""
        return self._batch.settled

    def result(self) -> Ack:
        """The acknowledgement of a future that is done, or raise what its record failed with."""
        if not self._batch.settled:
            raise asyncio.InvalidStateError("the record's fate is not known yet")
        return self._batch.ack_of(self._index)

    def exception(self) -> ProglogError | None:
        """What the record of a future that is done failed with, or None."""
        if not self._batch.settled:
            raise asyncio.InvalidStateError("the record's fate is not known yet")
        return self._batch.error

    def add_done_callback(self, call: Callable[[AsyncSendFuture], object]) -> None:
        """Have a function called with this future, by the loop, when it is done."""
        loop = asyncio.get_running_loop()
        if self._batch.settled:
            loop.call_soon(call, self)
        else:

            def tell() -> None:
                loop.call_soon(call, self)

            self._batch.listeners.append(tell)


def announce(batch: SendBatch) -> None:
    """Tell those who wait that a batch's fate is known."""
    batch.event.set()
    for listener in batch.listeners:
        listener()
