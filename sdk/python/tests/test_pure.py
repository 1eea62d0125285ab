"""Goal: the rules that need no connection hold, each by itself."""

from __future__ import annotations

import datetime
import random

import pytest

from proglog_sdk import Code, Header, ProglogError, Reason, Record, Retry
from proglog_sdk._codec import (
    REQUEST_RECORD,
    REQUEST_RECORDS,
    _decode_any,
    decode_ack,
    decode_consumed,
    encode_expected,
    encode_log,
    encode_producer,
    encode_record,
    varint,
)
from proglog_sdk._gen import log_v1 as pb
from proglog_sdk._judge import Backoff, Fate, fate
from proglog_sdk._types import from_time


def test_requests_are_what_the_generated_code_reads() -> None:
    rows = [
        Record(b""),
        Record(b"x" * 300, (Header("name", b"v" * 200), Header("", b""), Header("n", b""))),
    ]
    one = encode_log("a/b") + encode_expected(1 << 63) + encode_producer("me", 3, 1 << 40)
    one += encode_record(rows[1], REQUEST_RECORD)
    request = pb.ProduceRequest.FromString(one)
    assert (request.log, request.expected_offset) == ("a/b", 1 << 63)
    producer = request.producer
    assert (producer.id, producer.epoch, producer.sequence) == ("me", 3, 1 << 40)
    assert request.record.value == b"x" * 300
    assert [(h.name, h.value) for h in request.record.headers] == [
        ("name", b"v" * 200),
        ("", b""),
        ("n", b""),
    ]
    many = b"".join(encode_record(row, REQUEST_RECORDS) for row in rows)
    assert [r.value for r in pb.ProduceRequest.FromString(many).records] == [b"", b"x" * 300]
    assert pb.ProduceRequest.FromString(encode_record(rows[0], REQUEST_RECORD)).HasField("record")


def test_responses_are_read_as_the_generated_code_reads_them() -> None:
    """Random messages, plain and unusual, by both decoders."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    for _ in range(300):
        message = pb.ConsumeResponse(
            records=[
                pb.Record(
                    value=rng.randbytes(rng.choice([0, 1, 127, 128, 20_000])),
                    offset=rng.choice([0, 127, 128, 1 << 40, (1 << 64) - 1]),
                    timestamp=rng.choice(
                        [None, pb.Timestamp(seconds=1795378033, nanos=rng.randrange(10**9))]
                    ),
                    headers=[pb.Header(name="a", value=b"b")] * rng.choice([0, 0, 0, 2]),
                )
                for _ in range(rng.randrange(4))
            ]
        )
        if rng.random() < 0.5:
            message.next_offset = rng.choice([0, 5, (1 << 64) - 1])
        data = message.SerializeToString()
        assert decode_consumed(data) == _decode_any(data), f"seed {seed}"
        # A field from the future is passed over.
        assert decode_consumed(data + b"\x7a\x01x") == _decode_any(data), f"seed {seed}"
        if data:
            cut = data[: rng.randrange(len(data))]
            try:
                expected = _decode_any(cut)
            except ProglogError:
                with pytest.raises(ProglogError, match="not a message"):
                    decode_consumed(cut)
            else:
                assert decode_consumed(cut) == expected, f"seed {seed}"


def test_acknowledgements_that_do_not_fit() -> None:
    data = pb.ProduceResponse(offset=4, next_offset=6).SerializeToString()
    assert decode_ack(data, 2).next_offset == 6
    with pytest.raises(ProglogError, match="broke the contract"):
        decode_ack(data, 3)
    origin = pb.ProduceResponse(offset=4).SerializeToString()
    assert decode_ack(origin, 1).next_offset == 5


def test_varints() -> None:
    assert [varint(n) for n in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\1", b"\xac\2"]


def test_moments() -> None:
    utc = datetime.timezone.utc
    assert from_time(datetime.datetime(1970, 1, 1, 0, 0, 1, 5, utc)) == (1, 5000)
    assert from_time(datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999, utc)) == (-1, 999_999_000)
    assert from_time(1_000_000_001) == (1, 1)


def test_pauses_are_spread_up_to_a_ceiling_that_doubles() -> None:
    backoff = Backoff(Retry(attempts=3, min_delay=1, max_delay=5))
    ceilings = []
    for _ in range(5):
        backoff.exhausted()
        ceilings.append(max(backoff.pause() for _ in range(2000)))
    for ceiling, most in zip(ceilings, (1, 2, 4, 5, 5), strict=True):
        assert 0.9 * most < ceiling <= most
    assert backoff.failed == 5
    backoff.reset()
    assert not backoff.exhausted()


@pytest.mark.parametrize(
    ("code", "reason", "judged"),
    [
        (Code.UNAVAILABLE, Reason.UNSPECIFIED, Fate.PASSING),
        (Code.RESOURCE_EXHAUSTED, Reason.STORAGE_FULL, Fate.PASSING),
        (Code.UNKNOWN, Reason.UNSPECIFIED, Fate.DOUBTFUL),
        (Code.ABORTED, Reason.SEQUENCE_GAP, Fate.DOUBTFUL),
        (Code.ABORTED, Reason.OFFSET_MISMATCH, Fate.FINAL),
        (Code.DATA_LOSS, Reason.DATA_DAMAGED, Fate.FINAL),
        (Code.NOT_FOUND, Reason.LOG_NOT_FOUND, Fate.FINAL),
        (Code.OUT_OF_RANGE, Reason.OFFSET_TRIMMED, Fate.FINAL),
    ],
)
def test_what_an_error_of_a_read_allows(code: Code, reason: Reason, judged: Fate) -> None:
    assert fate(ProglogError(code, "", reason=reason)) is judged


def test_the_contract_has_no_reason_that_is_not_known() -> None:
    named = {name for name in dir(pb) if name.startswith("REASON_")}
    assert named == {f"REASON_{reason.name}" for reason in Reason}
    assert all(getattr(pb, f"REASON_{reason.name}") == reason for reason in Reason)
    assert Reason(999) is Reason.UNSPECIFIED
