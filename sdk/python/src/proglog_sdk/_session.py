"""What calls and streams of both clients share: headers, deadlines, the trace hook."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable

from . import _checks as checks
from ._config import ClientConfig, logger
from ._errors import Code, ProglogError, like, refused
from ._flow import Call, Sleep
from ._identity import Identities
from ._producing import Dedups
from ._types import Attempt, AttemptEnd

Finish = Callable[[ProglogError | None], None]
Metadata = list[tuple[str, str]]

# A call that asks the server to wait gets so much more, for the way and the work.
WAIT_SLACK = 10.0


class SessionBase:
    """The state of a client beside its connections."""

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self.identities = Identities()
        self.dedups = Dedups()
        self._hook_blamed = False

    def begin(self, method: str, log: str, number: int) -> tuple[Attempt, Finish]:
        """Tell the trace hook that a try begins; the second result tells it the end."""
        attempt = Attempt(method, log, number)
        hook = self.config.trace
        if hook is None:
            return attempt, _nothing
        try:
            on_end = hook(attempt)
        except Exception as fault:
            self._blame_hook("failed when a try began", fault)
            return attempt, _nothing
        if on_end is None:
            return attempt, _nothing
        began = time.monotonic()

        def finish(error: ProglogError | None) -> None:
            try:
                on_end(AttemptEnd(time.monotonic() - began, error))
            except Exception as fault:
                self._blame_hook("failed when a try ended", fault)

        return attempt, finish

    def _blame_hook(self, what: str, fault: Exception | None = None) -> None:
        """Report a fault of the trace hook once. A look at a call must not change what comes of
        it."""
        if self._hook_blamed:
            return
        self._hook_blamed = True
        message = f"the trace hook {what}; this is reported once"
        logger.error("%s", message, exc_info=fault)
        with contextlib.suppress(Warning):  # where warnings are errors
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def metadata(self, attempt: Attempt, token: str) -> Metadata:
        """The headers of a try."""
        out = list(self.config.headers)
        for name, value in attempt.headers.items():
            fault = checks.header_fault(name, value)
            if fault:
                self._blame_hook(f"added a header that {fault}: {name!r}")
            else:
                out.append((name, value))
        if token:
            out.append(("authorization", f"Bearer {token}"))
        return out

    def deadline(self, timeout: float | None) -> float | None:
        """When a call has to be over, by the monotonic clock."""
        limit = self.config.timeout if timeout is None else timeout
        return None if limit is None else time.monotonic() + limit


def _nothing(error: ProglogError | None) -> None:
    return None


def remaining(deadline: float | None) -> float | None:
    """The seconds that are left; an error if there are none, since nothing was sent."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise refused(Code.DEADLINE_EXCEEDED, "the call's timeout passed")
    return left


def patient(call: Call, left: float | None) -> float | None:
    """The seconds that a try may take."""
    return left if call.patience is None or (left or math.inf) < call.patience else call.patience


def asked_in_vain(call: Call, left: float | None, error: ProglogError) -> ProglogError:
    """The error of a try, which is one of the connection if it had no answer in its time."""
    late = error.code is Code.DEADLINE_EXCEEDED and not error.from_server
    if call.patience is None or not late or patient(call, left) == left:
        return error
    message = f"no answer from the server within {call.patience:.3g} s"
    return like(ProglogError, error, code=Code.UNAVAILABLE, message=message, _permanent=False)


def allowed(deadline: float | None, pause: Sleep) -> bool:
    """Say whether a pause leaves time for another try, and log it if so."""
    if deadline is not None and time.monotonic() + pause.seconds >= deadline:
        return False
    logger.warning(
        "trying again to %s after %.2f s, failures: %d, error: %s",
        pause.to,
        pause.seconds,
        pause.failures,
        str(pause.error),  # a record that is kept must not keep the error's frames
    )
    return True


def interrupted() -> ProglogError:
    """The error of a try whose thread or task was torn out of it, for the trace hook."""
    return ProglogError(Code.CANCELED, "the caller was interrupted")


def usable(token: str) -> str:
    """A token that a function gave, or the error of the call that wanted it."""
    fault = checks.token_fault(token)
    if fault:
        raise refused(Code.INVALID_ARGUMENT, fault)
    return token


def bad_token(cause: BaseException) -> ProglogError:
    """The error of a call whose token could not be had."""
    error = refused(Code.UNAUTHENTICATED, f"get a token: {cause}")
    error.__cause__ = cause
    return error
