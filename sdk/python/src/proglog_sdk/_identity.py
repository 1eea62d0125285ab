"""Numbers the requests of one writer, so that the server knows one that comes twice."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field, replace

from . import _checks as checks
from ._codec import encode_producer
from ._defaults import MAX_PRODUCER_ID
from ._errors import Code, ProglogError, Reason, refused


def new_id() -> str:
    """An id that nobody else has: 130 random bits."""
    return secrets.token_hex(16)


@dataclass(slots=True)
class Identity:
    """A writer in one log: its id, which life of it, and the number of its next request."""

    id: str = field(default_factory=new_id)
    epoch: int = 0
    sequence: int = 0
    chosen: bool = False
    """By the caller, who wants this one and no other."""
    none: bool = False
    """Requests carry nothing, and are not sent again."""

    def check(self) -> None:
        """Raise an error for an identity that no server takes."""
        checks.text("id", self.id)
        checks.whole("epoch", self.epoch)
        checks.whole("sequence", self.sequence)
        size = len(self.id.encode(errors="surrogatepass"))
        if not self.none and not 1 <= size <= MAX_PRODUCER_ID:
            raise refused(
                Code.INVALID_ARGUMENT,
                f"a producer's id has 1 to {MAX_PRODUCER_ID} bytes, not {size}",
                Reason.INVALID_REQUEST,
            )

    def encode(self, sequence: int) -> bytes:
        """The identity as a field of the request with this number."""
        return b"" if self.none else encode_producer(self.id, self.epoch, sequence)

    def renewed(self, error: ProglogError) -> Identity | None:
        """The identity to go on with after an error that says that the server does not, or no
        longer, know this one; None if the error does not say so.

        Only requests that were never sent, or provably never appended, may go on under
        another identity.
        """
        if self.none or self.chosen:
            return None
        if error.reason is Reason.SEQUENCE_FORGOTTEN:
            return Identity()
        if error.reason is Reason.UNSUPPORTED:
            return Identity(none=True)
        return None


class Identities:
    """Those under which requests of a client go alone.

    One id has one order, so a request takes an identity for itself, and gives it back when
    its outcome is known. There are as many as there were such requests at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[str, list[Identity]] = {}

    def take(self, log: str) -> Identity:
        """An identity for one request to a log."""
        with self._lock:
            free = self._free.get(log)
            return free.pop() if free else Identity()

    def give(self, log: str, identity: Identity) -> None:
        """Take an identity back."""
        if not identity.chosen:
            with self._lock:
                self._free.setdefault(log, []).append(replace(identity))
