"""One thread that gives up streams whose server says nothing any more."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class Watch:
    """The wait for a sign of life of one stream."""

    __slots__ = ("_dog", "deadline", "give_up", "lost")

    def __init__(self, dog: Watchdog, give_up: Callable[[], None]) -> None:
        self._dog = dog
        self.give_up = give_up
        self.deadline = math.inf
        self.lost = False

    def begin(self, patience: float) -> None:
        """Wait so many seconds, then give the stream up."""
        self._dog.look_before(self, time.monotonic() + patience)

    def end(self) -> None:
        """Something came, or nothing is waited for."""
        self.deadline = math.inf


class Watchdog:
    """Watches streams; its thread lives only while there are some."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._running = False
        self._next_look = math.inf

    def watch(self, give_up: Callable[[], None]) -> Watch:
        """Begin to watch a stream."""
        watch = Watch(self, give_up)
        with self._changed:
            self._watches.add(watch)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="proglog-watchdog", daemon=True).start()
        return watch

    def release(self, watch: Watch) -> None:
        """Watch a stream no longer."""
        with self._changed:
            self._watches.discard(watch)
            if not self._watches:
                self._changed.notify()

    def look_before(self, watch: Watch, deadline: float) -> None:
        """Set a deadline, and have the thread look in time; mostly it will anyway."""
        with self._changed:
            watch.deadline = deadline
            if deadline < self._next_look:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._watches:
                    self._running = False
                    self._next_look = math.inf
                    return
                now = time.monotonic()
                late = [watch for watch in self._watches if watch.deadline <= now]
                for watch in late:
                    watch.deadline = math.inf
                    watch.lost = True
                if not late:
                    self._next_look = min(watch.deadline for watch in self._watches)
                    wait = self._next_look - now
                    self._changed.wait(None if wait == math.inf else wait)
                    continue
            for watch in late:
                watch.give_up()
