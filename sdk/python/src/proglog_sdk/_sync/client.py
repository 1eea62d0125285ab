"""The client for threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType

from typing_extensions import Self

from .. import _checks as checks
from .. import _defaults
from .._arguments import (
    Produced,
    ProducerSequence,
    check_call,
    chosen_identity,
    produced,
    producer_core,
    producer_identity,
    read_config,
    start_of,
)
from .._config import TLS, TokenSource, client_config
from .._consuming import consume, consume_batch
from .._errors import ProglogError
from .._flow import Flow, T
from .._producing import produce_alone
from .._reading import Reading, raise_typed
from .._types import (
    Ack,
    Batch,
    Limits,
    Place,
    Record,
    RecordLike,
    Retry,
    Seconds,
    Time,
    TraceHook,
)
from ._cursor import Cursor
from ._logs import LogCalls
from ._producer import Producer
from ._reader import BatchReader, RecordReader
from ._session import Session
from ._shared import SharedStreams


class Client(LogCalls):
    """Speaks to one server. It is safe for use by many threads, and one is enough.

    ``http://`` is HTTP/2 without TLS, ``https://`` with it. Nothing is dialled before the
    first call. A timeout bounds a call with all its tries, in seconds or as a timedelta; that
    of the client holds where a call names none. Use it in a ``with``, or call `close`. A
    forked child needs a client of its own.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8400",
        *,
        timeout: Seconds | None = None,
        retry: Retry | None = None,
        limits: Limits | None = None,
        tls: TLS | None = None,
        token: TokenSource | None = None,
        headers: Mapping[str, str] | None = None,
        user_agent: str = "",
        trace: TraceHook | None = None,
    ) -> None:
        config = client_config(
            address,
            timeout=timeout,
            retry=retry,
            limits=limits,
            tls=tls,
            token=token,
            headers=headers,
            user_agent=user_agent,
            trace=trace,
        )
        self._config = config
        self._session = Session(config, token)
        self._shared = SharedStreams(self._session)

    def close(self) -> None:
        """End every call, iterator and producer of the client, and close its connections.
        Close producers first to have their records acknowledged."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, flow: Flow[T], timeout: Seconds | None) -> T:
        limit = checks.timeout("timeout", timeout)
        try:
            return self._session.run(flow, limit)
        except ProglogError as error:
            raise_typed(error)

    # Writing.

    def produce(
        self,
        record: RecordLike,
        *,
        log: str = "",
        expected_offset: int | None = None,
        producer: ProducerSequence | None = None,
        alone: bool = False,
        timeout: Seconds | None = None,
    ) -> Ack:
        """Append one record, and return when it is durable.

        With `expected_offset` it is appended only if it gets exactly this offset. Calls that
        run at the same time travel together, unless `alone`; each has its own
        acknowledgement and error. The client has identities by which the server knows a
        record that comes twice, so a call goes on by itself after a lost connection;
        `producer` numbers it by hand. Raises NothingAppendedError or OutcomeUnknownError.
        """
        what = produced(self._config.limits, record, single=True)
        return self._produce(what, log, expected_offset, producer, alone, timeout)

    def produce_batch(
        self,
        records: Iterable[RecordLike],
        *,
        log: str = "",
        expected_offset: int | None = None,
        producer: ProducerSequence | None = None,
        alone: bool = False,
        timeout: Seconds | None = None,
    ) -> Ack:
        """Append records at contiguous offsets, all or none, and return when they are durable.
        Otherwise it is `produce`."""
        what = produced(self._config.limits, records, single=False)
        return self._produce(what, log, expected_offset, producer, alone, timeout)

    def _produce(
        self,
        what: Produced,
        log: str,
        expected_offset: int | None,
        producer: ProducerSequence | None,
        alone: bool,
        timeout: Seconds | None,
    ) -> Ack:
        check_call(log, expected_offset)
        identity = chosen_identity(producer)
        limit = checks.timeout("timeout", timeout)
        if limit is None:
            limit = self._config.timeout
        session = self._session

        def by_itself() -> Ack:
            write = what.alone(log, expected_offset)
            flow = produce_alone(
                self._config.retry, write, identity, session.identities, session.dedups
            )
            return session.run(flow, limit)

        # What may be refused for a reason of its own never shares a stream: the first refusal
        # ends it for all.
        if alone or identity is not None or expected_offset is not None or session.closed.is_set():
            return by_itself()
        shared = self._shared.enter(log)
        try:
            ack = self._shared.produce(shared, what, limit) if shared is not None else None
            return by_itself() if ack is None else ack
        finally:
            self._shared.leave(log)

    def producer(
        self,
        *,
        log: str = "",
        linger: Seconds = 0,
        max_batch_records: int = _defaults.DEFAULT_BATCH_RECORDS,
        max_batch_bytes: int = _defaults.DEFAULT_BATCH_BYTES,
        max_in_flight_batches: int = _defaults.DEFAULT_IN_FLIGHT_BATCHES,
        max_in_flight_bytes: int = _defaults.DEFAULT_IN_FLIGHT_BYTES,
        give_up_after: Seconds = _defaults.DEFAULT_GIVE_UP_AFTER,
        id: str | None = None,
        epoch: int = 0,
        with_identity: bool = True,
    ) -> Producer:
        """A producer: it appends many records over one stream, in batches, and acknowledges
        each with a future.

        `linger` lets a batch wait for more records; 0 sends what there is as soon as there is
        room in flight. `id` and `epoch` choose the identity that it writes under: a higher
        epoch fences the producers before it. Without an identity nothing is sent twice, and
        the first failure ends it.

        While records wait for an answer, it goes on for `give_up_after` seconds since the last
        success, or since the oldest of them was first sent. The try under way is cut off then,
        so that this bounds a server that says nothing, too; what was sent has an unknown
        outcome. 0: one try, which is not cut off.
        """
        core = producer_core(
            self._config,
            log,
            linger,
            (max_batch_records, max_batch_bytes),
            (max_in_flight_batches, max_in_flight_bytes),
            give_up_after,
            producer_identity(id, epoch, with_identity),
        )
        return Producer(self._session, core)

    # Reading.

    def consume(
        self,
        offset: int,
        *,
        log: str = "",
        log_id: str = "",
        wait: Seconds = 0,
        timeout: Seconds | None = None,
    ) -> Record:
        """Read the record at an offset, or `wait` for it at the tail. One that is not there is
        OUT_OF_RANGE: OFFSET_TRIMMED or OFFSET_UNWRITTEN, with both bounds."""
        flow = consume(self._config.retry, log, offset, log_id, checks.duration("wait", wait))
        return self._run(flow, timeout)

    def consume_batch(
        self,
        *,
        log: str = "",
        start: int | Place | None = None,
        from_time: Time | None = None,
        from_tail: int | None = None,
        max_records: int = _defaults.DEFAULT_READ_RECORDS,
        until: int | None = None,
        log_id: str = "",
        wait: Seconds = 0,
        timeout: Seconds | None = None,
    ) -> Batch:
        """Read the records that are there from a start on, by default the first, in one
        request. At the tail it waits as long as `wait` says, and then returns a batch without
        records; a start beyond the tail is OUT_OF_RANGE."""
        where, place_id = start_of(start, from_time, from_tail)
        flow = consume_batch(
            self._config.retry,
            log,
            where,
            max_records,
            until,
            log_id or place_id,
            checks.duration("wait", wait),
        )
        return self._run(flow, timeout)

    def follow(
        self,
        *,
        log: str = "",
        start: int | Place | None = None,
        from_time: Time | None = None,
        from_tail: int | None = None,
        log_id: str = "",
        until: int | None = None,
        max_records: int = _defaults.DEFAULT_READ_RECORDS,
        heartbeat: Seconds = _defaults.DEFAULT_HEARTBEAT,
    ) -> RecordReader:
        """Read a log, by default from its first record, and at its tail wait for what comes.

        It goes on by itself after every loss of the connection and every stop of the server:
        each record comes once, in order, without a gap. It ends where a sealed log ends, and
        before `until`. `from_tail` starts so many records before the tail, `from_time` at the
        first record of this time or later. A start below the log's first offset, and records
        that are gone before they were read, are an OffsetGapError; another log under the same
        name is a LogChangedError. `heartbeat` is how often the server gives a sign of life at
        the tail; when two fail to come, the reader connects again.
        """
        return RecordReader(
            self._reader(
                log, start, from_time, from_tail, log_id, until, max_records, heartbeat, False
            )
        )

    def records(
        self,
        *,
        log: str = "",
        start: int | Place | None = None,
        from_time: Time | None = None,
        from_tail: int | None = None,
        log_id: str = "",
        until: int | None = None,
        max_records: int = _defaults.DEFAULT_READ_RECORDS,
    ) -> RecordReader:
        """`follow`, up to the tail as it was when the read began."""
        return RecordReader(
            self._reader(log, start, from_time, from_tail, log_id, until, max_records, 0, True)
        )

    def batches(
        self,
        *,
        log: str = "",
        start: int | Place | None = None,
        from_time: Time | None = None,
        from_tail: int | None = None,
        log_id: str = "",
        until: int | None = None,
        max_records: int = _defaults.DEFAULT_READ_RECORDS,
        heartbeat: Seconds = _defaults.DEFAULT_HEARTBEAT,
        to_tail: bool = False,
    ) -> BatchReader:
        """`follow` by batches, for callers that work on many records at once or want to know
        when they have caught up; with `to_tail`, `records` by batches."""
        return self._reader(
            log, start, from_time, from_tail, log_id, until, max_records, heartbeat, to_tail
        )

    def _reader(
        self,
        log: str,
        start: int | Place | None,
        from_time: Time | None,
        from_tail: int | None,
        log_id: str,
        until: int | None,
        max_records: int,
        heartbeat: Seconds,
        to_tail: bool,
    ) -> BatchReader:
        config = read_config(
            log, start, from_time, from_tail, log_id, until, max_records, heartbeat, to_tail
        )
        return BatchReader(self._session, Reading(config, self._config.retry))

    def cursor(self, log: str, name: str) -> Cursor:
        """The cursor of that name on a log: a reader's place, kept on the server. Nothing is
        sent."""
        return Cursor(self._session, log, name)
