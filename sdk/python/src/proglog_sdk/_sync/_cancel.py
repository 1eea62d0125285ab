"""Lets what a thread waits for be broken off from another thread."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from typing_extensions import Self

from .._errors import Code, ProglogError, outcome


class Stop:
    """Something that happens once, for good. Who waits for other things asks to be called."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.RLock()  # a signal's handler may come in between
        self._calls: dict[object, Callable[[], object]] = {}

    def set(self) -> None:
        """Let it happen, and call those who asked, in this thread."""
        with self._lock:
            self._event.set()
            calls = list(self._calls.values())
        for call in calls:  # without the lock: they take their own
            call()

    def is_set(self) -> bool:
        """It has happened."""
        return self._event.is_set()

    def add(self, key: object, call: Callable[[], object]) -> None:
        """Have a function called when it happens; who adds looks at `is_set` afterwards."""
        with self._lock:
            self._calls[key] = call

    def remove(self, key: object) -> None:
        """Have it called no longer; it may be on its way."""
        with self._lock:
            self._calls.pop(key, None)


class Stops:
    """Several of them: what ends a wait is whichever comes first."""

    __slots__ = ("_all",)

    def __init__(self, *stops: Stop | None) -> None:
        self._all = tuple(stop for stop in stops if stop is not None)

    def __bool__(self) -> bool:
        return bool(self._all)

    def __add__(self, other: Stops) -> Stops:
        return Stops(*self._all, *other._all)

    def is_set(self) -> bool:
        """One of them has happened."""
        # Mostly there is none, and every call asks.
        return bool(self._all) and any(stop.is_set() for stop in self._all)

    @contextmanager
    def calling(self, call: Callable[[], object]) -> Iterator[None]:
        """Have a function called when one happens, at once if it has; from any thread, so it
        may come late."""
        key = object()
        for stop in self._all:
            stop.add(key, call)
        try:
            if self.is_set():
                call()
            yield
        finally:
            for stop in self._all:
                stop.remove(key)

    def wait(self, seconds: float) -> bool:
        """Wait so long for one of them, and say whether it came."""
        happened = threading.Event()
        with self.calling(happened.set):
            return happened.wait(seconds)


class Told:
    """Like threading.Event, but scopes may end a wait for it."""

    __slots__ = ("_changed", "_set")

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._set = False

    def set(self) -> None:
        """Let it happen; for good."""
        with self._changed:
            self._set = True
            self._changed.notify_all()

    def is_set(self) -> bool:
        """It has happened."""
        return self._set

    def wait(self, timeout: float | None = None, scopes: Stops | None = None) -> bool:
        """Wait for it, and say whether it happened; a cancelled scope ends the wait."""
        if self._set:
            return True
        if not scopes:
            with self._changed:
                return self._changed.wait_for(self.is_set, timeout)
        with scopes.calling(self._stir), self._changed:
            self._changed.wait_for(lambda: self._set or scopes.is_set(), timeout)
        return self._set

    def wait_in_scopes(self, timeout: float | None) -> bool:
        """Wait for it, or raise that a scope was cancelled that the thread is in."""
        scopes = current_scopes()
        if self.wait(timeout, scopes):
            return True
        if scopes.is_set():
            raise outcome(cancelled(nothing_appended=False))
        return False

    def _stir(self) -> None:
        with self._changed:
            self._changed.notify_all()


class CancelScope:
    """Calls that a thread makes inside a ``with`` of this end when another thread cancels it.

    They raise a ProglogError with CANCELED; a write, whichever of its two errors is true. What
    is called inside a scope that is cancelled already fails at once. Many threads may be inside
    a scope, and a thread inside several: any of them ends its calls.

    It ends a wait for what goes on by itself, and not that: a reader brings what came to the
    next wait, and a record whose `result` or `flush` was broken off may still be acknowledged.
    Only `close` of a producer breaks the producer off, as its timeout does. A reader ends by
    its `close`, and a producer by `abort`.

        scope = CancelScope()
        threading.Timer(5, scope.cancel).start()
        with scope:
            record = client.consume(7, wait=60)
    """

    def __init__(self) -> None:
        self._stop = Stop()

    def cancel(self) -> None:
        """End what is called inside the scope, now and from now on; from any thread."""
        self._stop.set()

    @property
    def cancelled(self) -> bool:
        """`cancel` was called."""
        return self._stop.is_set()

    def __enter__(self) -> Self:
        _current.set((*_current.get(), self._stop))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        inside = list(_current.get())
        for place in range(len(inside) - 1, -1, -1):
            if inside[place] is self._stop:
                del inside[place]
                break
        _current.set(tuple(inside))


_current: contextvars.ContextVar[tuple[Stop, ...]] = contextvars.ContextVar(
    "proglog_cancel_scopes", default=()
)


_none = Stops()


def current_scopes() -> Stops:
    """The scopes that the thread is in."""
    scopes = _current.get()
    return Stops(*scopes) if scopes else _none


def cancelled(nothing_appended: bool) -> ProglogError:
    """The error of a call that was broken off."""
    return ProglogError(
        Code.CANCELED,
        "the call was cancelled",
        nothing_appended=nothing_appended,
        permanent=True,
    )
