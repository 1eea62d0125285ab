"""The arguments of both clients' methods, checked and made into what the rest works with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from . import _checks as checks
from . import _defaults
from ._batch import ProducerConfig
from ._batching import ProducerCore
from ._codec import (
    REQUEST_RECORD,
    REQUEST_RECORDS,
    encode_expected,
    encode_log,
    encode_record,
)
from ._config import ClientConfig
from ._consuming import Start
from ._errors import ProglogError, outcome
from ._identity import Identity
from ._limits import as_record, check_batch, check_record
from ._producing import Write
from ._reading import ReadConfig
from ._types import Limits, Place, Record, RecordLike, Retry, Seconds, Time


@dataclass(frozen=True, slots=True)
class ProducerSequence:
    """Numbers a request by hand: the id of a producer, which life of it, and the number of the
    request within that, from 0 on without gaps.

    With the same three the same records are appended once, however often and by whatever
    process they are sent; the answer is the first acknowledgement then.
    """

    id: str
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Produced:
    """The records of one call, checked."""

    records: list[Record]
    size: int
    """As it counts towards the limit of a batch."""
    single: bool
    """One record, and not a batch of one."""

    def alone(self, log: str, expected_offset: int | None) -> Write:
        """The request that has these records to itself."""
        tag = REQUEST_RECORD if self.single else REQUEST_RECORDS
        parts = [encode_log(log), encode_expected(expected_offset)]
        parts += [encode_record(record, tag) for record in self.records]
        return Write(log, b"".join(parts), len(self.records))

    def shared(self) -> bytes:
        """The records as a part of a request."""
        return b"".join(encode_record(record, REQUEST_RECORDS) for record in self.records)


def check_call(log: str, expected_offset: int | None) -> None:
    """Check what goes with the records of a call."""
    checks.text("log", log)
    checks.optional_whole("expected_offset", expected_offset)


def produced(limits: Limits, records: RecordLike | Iterable[RecordLike], single: bool) -> Produced:
    """Check the records of a call; what is over a limit is a NothingAppendedError."""
    try:
        if single:
            record = as_record(cast(RecordLike, records))
            return Produced([record], check_record(limits, record), True)
        many = [as_record(record) for record in cast(Iterable[RecordLike], records)]
        return Produced(many, check_batch(limits, many), False)
    except ProglogError as error:
        raise outcome(error) from error


def chosen_identity(producer: ProducerSequence | None) -> Identity | None:
    """The identity of a call that is numbered by hand."""
    checks.kind("producer", producer, ProducerSequence)
    if producer is None:
        return None
    identity = Identity(producer.id, producer.epoch, producer.sequence, chosen=True)
    try:
        identity.check()
    except ProglogError as error:
        raise outcome(error) from error
    return identity


def start_of(
    start: int | Place | None, from_time: Time | None, from_tail: int | None
) -> tuple[Start, str]:
    """Where a read starts, and the log_id that goes with it."""
    if isinstance(start, Place):
        if not start:
            return Start(None, from_tail, from_time), ""
        return Start(start.offset, from_tail, from_time), start.log_id
    return Start(start, from_tail, from_time), ""


def read_config(
    log: str,
    start: int | Place | None,
    from_time: Time | None,
    from_tail: int | None,
    log_id: str,
    until: int | None,
    max_records: int,
    heartbeat: Seconds,
    to_tail: bool,
) -> ReadConfig:
    """The settings of a read that goes on by itself."""
    where, place_id = start_of(start, from_time, from_tail)
    checks.text("log_id", log_id)
    return ReadConfig(
        log=checks.text("log", log),
        start=where,
        log_id=log_id or place_id,
        read_before=isinstance(start, Place) and bool(start),
        to_tail=to_tail,
        until=checks.optional_whole("until", until),
        records=checks.whole("max_records", max_records, 1),
        heartbeat=checks.duration("heartbeat", heartbeat),
    )


def producer_core(
    config: ClientConfig,
    log: str,
    linger: Seconds,
    max_batch: tuple[int, int],
    max_in_flight: tuple[int, int],
    give_up_after: Seconds,
    identity: Identity,
) -> ProducerCore:
    """The state of a new producer."""
    identity.check()
    return ProducerCore(
        ProducerConfig(
            log=checks.text("log", log),
            linger=checks.duration("linger", linger),
            batch_records=checks.whole("max_batch_records", max_batch[0], 1),
            batch_bytes=checks.whole("max_batch_bytes", max_batch[1], 1),
            in_flight_batches=checks.whole("max_in_flight_batches", max_in_flight[0], 1),
            in_flight_bytes=checks.whole("max_in_flight_bytes", max_in_flight[1], 1),
            give_up_after=checks.duration("give_up_after", give_up_after),
        ),
        config.limits,
        config.retry,
        identity,
    )


def producer_identity(id: str | None, epoch: int, with_identity: bool) -> Identity:
    """The identity of a new producer."""
    if not with_identity:
        if id is not None:
            raise ValueError("a producer without an identity has no id")
        return Identity(none=True)
    if id is None:
        if epoch:
            raise ValueError("an epoch goes with an id")
        return Identity()
    return Identity(id, epoch, chosen=True)


def shared_core(limits: Limits, retry: Retry, log: str) -> ProducerCore:
    """The state of a producer whose stream the calls of a client share."""
    return ProducerCore(
        ProducerConfig(
            log=log,
            batch_records=limits.batch_records,
            batch_bytes=limits.batch_bytes,
            in_flight_batches=_defaults.SHARED_BATCHES,
            in_flight_bytes=_defaults.SHARED_BYTES,
            give_up_after=0.0 if retry.attempts == 1 else _defaults.SHARED_PATIENCE,
            cut=False,  # each call has a timeout of its own
            close_when_idle=_defaults.SHARED_IDLE,
        ),
        limits,
        retry,
        Identity(),
    )
