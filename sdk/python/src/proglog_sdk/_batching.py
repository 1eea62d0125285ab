"""What a producer knows: its batches, their numbers, and what becomes of them.

Nothing in here waits or sends. The producers of both clients hold their lock while they
ask it what to do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from . import _defaults
from ._batch import Counts, ProducerConfig, SendBatch, after_failure
from ._codec import decode_ack, encode_log
from ._errors import (
    Code,
    ProglogError,
    Reason,
    broken_promise,
    closed,
    like,
    outcome,
)
from ._flow import LOG, Call, Flow
from ._gen import log_v1 as pb
from ._identity import Identity
from ._judge import Backoff, Fate, fate, too_long
from ._limits import lowered
from ._patience import Patience
from ._replaced import is_lost, replaced
from ._types import Limits, Outcome, Retry


@dataclass(frozen=True, slots=True)
class Next:
    """What follows the end of a stream: the end, or another stream after a pause."""

    pause: float = 0.0
    end: bool = False
    error: ProglogError | None = None


@dataclass
class ProducerCore:
    """The state of a producer across its streams."""

    config: ProducerConfig
    limits: Limits
    retry: Retry
    identity: Identity
    full: deque[SendBatch] = field(default_factory=deque)
    flight: deque[SendBatch] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.batch_records = self.config.batch_records
        self.batch_bytes = self.config.batch_bytes
        self.window = self.config.in_flight_batches
        if not self.identity.none:
            self.window = min(self.window, _defaults.DEDUP_ACKS)
        self.open: SendBatch | None = None  # takes records
        self.last: SendBatch | None = None  # the latest that was opened
        self.sent = 0  # of flight, over the stream that is open now
        self.streams = 0  # so many were begun
        self.bytes = 0
        self.senders = 0  # who asked to add records, and still wait
        self.leaving = False  # nobody else may ask
        self.closing = False  # no more records come
        self.error: ProglogError | None = None
        self.ended = False
        self._flush = False
        self._known = False  # the server told its bounds, or that it does not
        self._log_id = ""  # of the log when the server was asked; empty: not known
        self._reached = False  # the server has answered
        self._backoff = Backoff(self.retry)
        bound = self.config.give_up_after
        self.patience = Patience(bound, self.config.cut and bound > 0)
        self._idle_since = 0.0
        self._counts = Counts()

    # Records come in.

    def enter(self) -> None:
        """Count a sender that has to wait, so that a close that comes later is behind it. Who
        entered has to leave."""
        self._admit(entered=False)
        self.senders += 1

    def leave(self) -> None:
        """A sender that entered has added its records, or given up."""
        self.senders -= 1
        self.closing = self.closing or (self.leaving and not self.senders)

    def close(self) -> None:
        """Take no more records but those of the senders that wait."""
        self.leaving = True
        self.closing = self.closing or not self.senders

    def abort(self) -> None:
        """Take no more records at all."""
        self.leaving = self.closing = True

    def _admit(self, entered: bool) -> None:
        if self.error is not None:
            raise outcome(after_failure(self.error))
        if self.closing or self.ended or (self.leaving and not entered):
            raise outcome(closed("producer"))

    def room_for(self, size: int, records: int) -> bool:
        """Whether records may be added now. Any are taken when there is nothing else, or they
        would wait for ever."""
        if self.error is not None or self.closing or self.ended or not self.bytes:
            return True
        weight = size + records * _defaults.RECORD_OVERHEAD
        return self.bytes + weight <= self.config.in_flight_bytes

    def add(
        self, encoded: bytes, records: int, size: int, now: float, entered: bool
    ) -> tuple[SendBatch, int]:
        """Put encoded records into a batch, and return it and the place of the first."""
        self._admit(entered)
        batch = self.open
        if batch is not None and (
            batch.records + records > self.batch_records or batch.size + size > self.batch_bytes
        ):
            self.full.append(batch)
            batch = None
        if batch is None:
            batch = SendBatch(now + self.config.linger)
            self.open = self.last = batch
        index = batch.records
        batch.parts.append(encoded)
        batch.records += records
        batch.size += size
        batch.senders += 1
        self.bytes += size + records * _defaults.RECORD_OVERHEAD
        self._counts.pending += records
        return batch, index

    def flush(self) -> None:
        """Let what waits linger no longer."""
        self._flush = self.open is not None

    # Batches go out.

    def begin(self, now: float) -> None:
        """Another stream begins."""
        self.sent = 0
        self.streams += 1
        if self.flight:
            self.patience.sent(now)

    def take(self, first: bool, now: float) -> bytes | None:
        """The next request for the stream, whose first one names the log; None: not now."""
        if self.sent == len(self.flight) and len(self.flight) < self.window:
            due = self._due(now)
            if due is not None:
                self.flight.append(due)  # first, so that no failure loses it
                due.number(self.identity)
        if self.sent == len(self.flight):
            return None
        batch = self.flight[self.sent]
        self.sent += 1
        self.patience.sent(now)
        return batch.request + encode_log(self.config.log) if first else batch.request

    def _due(self, now: float) -> SendBatch | None:
        if self.full:
            return self.full.popleft()
        batch = self.open
        if batch is None:
            return None
        ripe = now >= batch.ripe_at or batch.records >= self.batch_records
        if not (ripe or self._flush or self.closing):
            return None
        self.open, self._flush = None, False
        return batch

    def wake_in(self, now: float) -> float | None:
        """Seconds until `take` may have something that only time brings; None: never."""
        if self.idle and self.config.close_when_idle is not None:
            return max(self._idle_since + self.config.close_when_idle - now, 0.0)
        if self.open is None or len(self.flight) >= self.window:
            return None
        return max(self.open.ripe_at - now, 0.0)

    def close_if_idle(self, now: float) -> None:
        """Close a producer that has had nothing to do for as long as it was told."""
        patience = self.config.close_when_idle
        if patience is None or not self.idle:
            self._idle_since = now
        elif now - self._idle_since >= patience:
            self.close()

    @property
    def drained(self) -> bool:
        """Everything was sent, and no more will come."""
        waiting = self.full or self.open is not None or self.sent < len(self.flight)
        return self.closing and not waiting

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return not self.flight and not self.full and self.open is None

    # Answers come back.

    def acknowledge(self, data: bytes, now: float) -> SendBatch:
        """Take the answer to the oldest batch in flight."""
        if self.sent == 0:
            raise broken_promise("an acknowledgement came of nothing that was sent")
        batch = self.flight[0]
        ack = decode_ack(data, batch.records)
        self.flight.popleft()
        self.sent -= 1
        batch.ack = ack
        self._reached = True
        self._backoff.reset()
        self.patience.succeeded(now, bool(self.flight))
        self._counts.acked += batch.records
        self._counts.last_offset = ack.next_offset - 1
        self._settle(batch)
        return batch

    def _settle(self, batch: SendBatch) -> None:
        self.bytes -= batch.size + batch.records * _defaults.RECORD_OVERHEAD
        self._counts.pending -= batch.records
        batch.settled = True
        batch.parts, batch.body, batch.request = [], b"", b""

    def clean_end(self) -> ProglogError | None:
        """Judge an end of the stream without an error, which is right only when everything was
        sent and acknowledged."""
        if self.closing and self.idle:
            return None
        return broken_promise(
            f"the stream ended without an error and without {len(self.flight)} acknowledgements"
        )

    # A stream ended.

    def go_on(self, error: ProglogError | None, now: float) -> Next:
        """Decide what follows the end of a stream."""
        if error is None:
            return Next(end=self.closing and self.idle)
        if error._status not in (0, 505):
            # Whoever answered may have passed on what was sent until then; but not where streams
            # of requests are refused as such.
            error = like(ProglogError, error, nothing_appended=False)
        self._reached = self._reached or error.from_server
        renewed = self._renew(error)
        if not error.nothing_appended and not renewed:
            for n in range(self.sent):
                self.flight[n].tried = True
        self.sent = 0
        if self.closing and self.idle:
            return Next(end=True)
        if renewed:
            return Next()
        if self._hopeless(error, now):
            return Next(end=True, error=error)
        pause, left = self._backoff.pause(), self.patience.left(now)
        if left is None:
            return Next(pause=pause)
        end = not self.patience.allows_try(now)
        return Next(pause=min(pause, left / 2), end=end, error=error)

    def _hopeless(self, error: ProglogError, now: float) -> bool:
        """Say whether to give up after a failure, which it counts."""
        if self.identity.none:
            return True
        if not self.patience.cuts or not self.idle:
            self.patience.failed(now)
        exhausted = self._backoff.exhausted()
        judged = fate(error)
        if judged is Fate.FINAL or too_long(error) or (judged is Fate.DOUBTFUL and exhausted):
            return True
        if not self._reached and (exhausted or not self.patience.cuts):
            return exhausted
        return self.patience.over(now)

    def _renew(self, error: ProglogError) -> bool:
        """Take another identity if the server knows none, and nothing that was sent under this
        one is undecided.

        A producer that is forgotten after it had acknowledgements has to end: the log may be
        another one now, and records would go on where those before them are not.
        """
        after = self.identity.renewed(error)
        if after is None or error.reason is Reason.SEQUENCE_FORGOTTEN:
            return False
        if self.flight and self.flight[0].tried:
            return False
        self.identity = after
        for batch in self.flight:
            batch.number(after)
        return True

    def unanswered(self) -> ProglogError:
        """The error of a try that was cut off."""
        bound = f"{self.config.give_up_after:g} s"
        message = f"no answer for {bound}, after which the producer gives up"
        return ProglogError(Code.UNAVAILABLE, message)

    def end(self, error: ProglogError | None) -> list[SendBatch]:
        """Decide the fate of every batch that has none, and return them.

        The server ends a stream at the first request that fails, and appends nothing after
        it. So if it vouches for that request, it does for all in flight that it saw for the
        first time. If it does not, any of those that were sent may be in the log. What was
        sent over an earlier stream, and never answered, may be in the log whatever is said of
        this one.
        """
        if self.ended:
            return []
        self.ended = True
        if error is None or not error.nothing_appended:
            for n in range(self.sent):
                self.flight[n].tried = True
        self.error = error
        waiting = [*self.flight, *self.full]
        if self.open is not None:
            waiting.append(self.open)
        self.flight.clear()
        self.full.clear()
        self.open = None
        cause = error or closed("producer")
        for number, batch in enumerate(waiting):
            if batch.tried:
                batch.error = outcome(like(ProglogError, cause, nothing_appended=False))
                self._counts.unknown += batch.records
            else:
                own = like(ProglogError, cause, nothing_appended=True)
                batch.error = outcome(own if number == 0 else after_failure(cause))
                self._counts.not_in_log += batch.records
            self._settle(batch)
        return waiting

    def outcome(self) -> Outcome:
        """The counts so far."""
        c = self._counts
        return Outcome(c.acked, c.unknown, c.pending, c.not_in_log, c.last_offset)

    # What the server allows.

    def ask_patience(self, now: float) -> float:
        """How long to wait for the server's bounds, in seconds."""
        left = self.patience.left(now)
        return _defaults.ASK_PATIENCE if left is None else min(left, _defaults.ASK_PATIENCE)

    def learn(self, now: float) -> Flow[ProglogError | None]:
        """Ask the server for its bounds, unless it has told them.

        One that does not tell is taken to have the usual ones; one that knows no identities
        must not get a record twice. An answer for good of something that is not the server is
        returned: nothing has to be sent to learn it, and what was not sent is in no log.
        """
        if self._known:
            return None
        own = True
        try:
            try:
                data = yield self._ask(self.config.log, now)
            except ProglogError as error:
                if error.reason is not Reason.LOG_NOT_FOUND:
                    raise
                own = False
                # The first record may make the log, under the limits that hold for all.
                data = yield self._ask("", now)
        except ProglogError as error:
            self._known = error.from_server and fate(error) is Fate.FINAL
            if error.from_server and error.code is Code.UNIMPLEMENTED:
                self._drop_identity()
            return error if error._status and error._permanent else None
        self._known = True
        res = pb.GetLogResponse.FromString(data)
        self._log_id = res.info.log_id if own else ""
        if res.HasField("capabilities") and not res.capabilities.producers:
            self._drop_identity()
        acks = res.info.dedup_window.acks
        if acks > 0 and not self.identity.none:
            self.window = min(self.window, acks)
        self.limits = lowered(self.limits, res.limits)
        self.batch_records = min(self.batch_records, self.limits.batch_records)
        self.batch_bytes = min(self.batch_bytes, self.limits.batch_bytes)
        return None

    def judge(self, error: ProglogError, now: float) -> Flow[ProglogError]:
        """Say of a failure that another log has the name now, if that is why."""
        if not is_lost(error, self._log_id, self._counts.acked > 0):
            return error
        return (yield from replaced(self._ask(self.config.log, now), self._log_id, error))

    def _ask(self, log: str, now: float) -> Call:
        request = pb.GetLogRequest(log=log).SerializeToString()
        return Call(LOG, "GetLog", request, log, patience=self.ask_patience(now))

    def _drop_identity(self) -> None:
        if not self.identity.chosen and not self.flight:
            self.identity = Identity(none=True)
