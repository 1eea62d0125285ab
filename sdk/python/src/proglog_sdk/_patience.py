"""How long a producer goes on without success. Pure: whoever asks tells the time."""

from __future__ import annotations

LAST_TRY = 0.1
"""Another try needs so many seconds, or a tenth of the bound if that is less: one that is cut off
leaves its records unknown, where the failure before it knew."""


class Patience:
    """The time since the last success, or since the oldest record that waits for an answer was
    first sent. While nothing waits, no time passes.

    Where no try is cut off, it passes from the first failure only.
    """

    __slots__ = ("_bound", "_since", "cuts")

    def __init__(self, bound: float, cuts: bool) -> None:
        self._bound = bound
        self.cuts = cuts
        self._since: float | None = None

    def sent(self, now: float) -> None:
        """Something was sent."""
        if self.cuts:
            self.failed(now)

    def failed(self, now: float) -> None:
        """Something failed."""
        if self._since is None:
            self._since = now

    def succeeded(self, now: float, more: bool) -> None:
        """Something was acknowledged; does more wait?"""
        self._since = now if more and self.cuts else None

    def end(self) -> None:
        """Nothing waits any more."""
        self._since = None

    def left(self, now: float) -> float | None:
        """How long a try that begins now may take, in seconds; None: it is not cut off."""
        if not self.cuts:
            return None
        return self._bound if self._since is None else max(self._since + self._bound - now, 0.0)

    def allows_try(self, now: float) -> bool:
        """There is time for another try."""
        left = self.left(now)
        return left is None or left >= min(LAST_TRY, self._bound / 10)

    def over(self, now: float) -> bool:
        """Something waits, and the time is over."""
        return self._since is not None and now - self._since >= self._bound
