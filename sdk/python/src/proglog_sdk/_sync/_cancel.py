"""Lets a thread's calls be broken off from another thread."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from types import TracebackType

from typing_extensions import Self

from .._errors import Code, ProglogError


class CancelScope:
    """Calls that a thread makes inside a ``with`` of this end when another thread cancels it.

    They raise a ProglogError with CANCELED; a write, whichever of its two errors is true. What
    is called inside a scope that is cancelled already fails at once. Readers have `close`
    instead, and producers `abort`.

        scope = CancelScope()
        threading.Timer(5, scope.cancel).start()
        with scope:
            record = client.consume(7, wait=60)
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.Lock()
        self._break_off: Callable[[], object] | None = None
        self._token: contextvars.Token[CancelScope | None] | None = None

    def cancel(self) -> None:
        """End what is called inside the scope, now and from now on; from any thread."""
        self.event.set()
        with self._lock:
            if self._break_off is not None:
                self._break_off()

    @property
    def cancelled(self) -> bool:
        """`cancel` was called."""
        return self.event.is_set()

    def under_way(self, break_off: Callable[[], object] | None) -> None:
        """Note how to break off what the thread waits for; None: it waits no longer. For the
        client's own use."""
        with self._lock:
            self._break_off = break_off
            if break_off is not None and self.event.is_set():
                break_off()

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)


_current: contextvars.ContextVar[CancelScope | None] = contextvars.ContextVar(
    "proglog_cancel_scope", default=None
)


def current_scope() -> CancelScope | None:
    """The scope that the thread is in."""
    return _current.get()


def cancelled(nothing_appended: bool) -> ProglogError:
    """The error of a call that was broken off."""
    return ProglogError(
        Code.CANCELED,
        "the call was cancelled",
        nothing_appended=nothing_appended,
        permanent=True,
    )
