"""The calls about logs as a whole, of the client for asyncio."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from .. import _administering as admin
from .._config import ClientConfig
from .._flow import Flow, T
from .._types import LogInfo, Retention, Seconds


class AsyncLogCalls(ABC):
    """A part of the client: makes, describes, lists, trims, seals and deletes logs."""

    _config: ClientConfig

    @abstractmethod
    async def _run(self, flow: Flow[T], timeout: Seconds | None) -> T: ...

    async def put_log(
        self,
        name: str,
        *,
        retention: Retention | None = None,
        sealed: bool | None = None,
        timeout: Seconds | None = None,
    ) -> tuple[LogInfo, bool]:
        """Make a log if there is none of that name, and change its settings; True beside it if
        it was made. What is None stays as it is. It can be repeated."""
        return await self._run(admin.put(self._config.retry, name, retention, sealed), timeout)

    async def create_log(
        self,
        name: str,
        *,
        retention: Retention | None = None,
        sealed: bool | None = None,
        timeout: Seconds | None = None,
    ) -> LogInfo:
        """Make a log. One of that name is left as it is, and the error has ALREADY_EXISTS. If an
        answer was lost, and the next one says that there is one, nobody knows whether this call
        made it: it is left as it is, and the error is an `OutcomeUnknownError`."""
        return await self._run(admin.create(self._config.retry, name, retention, sealed), timeout)

    async def describe_log(self, name: str = "", *, timeout: Seconds | None = None) -> LogInfo:
        """Describe a log."""
        return await self._run(admin.describe(self._config.retry, name), timeout)

    async def seal_log(self, name: str, *, timeout: Seconds | None = None) -> LogInfo:
        """Seal a log: it takes no more records, and reads end at its tail. It cannot be
        undone."""
        return await self._run(admin.seal(self._config.retry, name), timeout)

    async def trim_log(
        self, name: str, first_offset: int, *, timeout: Seconds | None = None
    ) -> int:
        """Remove the records below an offset, all of them if it is beyond the tail, and return
        the log's first offset then. It can be repeated."""
        return await self._run(admin.trim(self._config.retry, name, first_offset), timeout)

    async def delete_log(self, name: str, *, timeout: Seconds | None = None) -> None:
        """Remove a log and its records. A log that takes its name later goes on behind its
        offsets, with an identity of its own."""
        await self._run(admin.delete(self._config.retry, name), timeout)

    async def logs(
        self, prefix: str = "", *, timeout: Seconds | None = None
    ) -> AsyncIterator[LogInfo]:
        """List the logs whose names begin with `prefix`, in the order of their bytes. The
        timeout is that of each page."""
        token = ""
        while True:
            page, token = await self._run(
                admin.list_page(self._config.retry, prefix, token), timeout
            )
            for info in page:
                yield info
            if not token:
                return
