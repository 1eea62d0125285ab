"""Goal: what can never be sent is refused at once, in this process, and nothing goes out.

Each wrong argument is tried against a scripted server that must not see the call it is for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from proglog_sdk import (
    TLS,
    Client,
    Code,
    Header,
    NothingAppendedError,
    ProducerSequence,
    ProglogError,
    Record,
    Retention,
)
from proglog_sdk._codec import varint
from proglog_sdk._gen import log_v1 as pb

from .conftest import first, soon
from .servers import FakeServer, RealServer, records, until_gone

OVER = 1 << 64

VALUES: list[tuple[str, Callable[[Any], Any]]] = [
    ("expected_offset", lambda c: c.produce(b"x", expected_offset=-1)),
    ("expected_offset", lambda c: c.produce(b"x", expected_offset=-128)),
    ("expected_offset", lambda c: c.produce_batch([b"x"], expected_offset=OVER)),
    ("epoch", lambda c: c.produce(b"x", producer=ProducerSequence("w", -1, 0))),
    ("sequence", lambda c: c.produce(b"x", producer=ProducerSequence("w", 0, OVER))),
    ("offset", lambda c: c.consume(-1)),
    ("wait", lambda c: c.consume(0, wait=math.inf)),
    ("wait", lambda c: c.consume(0, wait=-1)),
    ("timeout", lambda c: c.consume(0, timeout=math.nan)),
    ("timeout", lambda c: c.produce(b"x", timeout=math.inf)),
    ("max_records", lambda c: c.consume_batch(max_records=0)),
    ("max_records", lambda c: c.consume_batch(max_records=-5)),
    ("until", lambda c: c.consume_batch(until=-1)),
    ("first_offset", lambda c: c.trim_log("a", -1)),
    ("max_bytes", lambda c: c.put_log("a", retention=Retention(None, -1))),
]

TYPES: list[tuple[str, Callable[[Any], Any]]] = [
    ("expected_offset", lambda c: c.produce(b"x", expected_offset=1.0)),
    ("expected_offset", lambda c: c.produce(b"x", expected_offset=True)),
    ("log", lambda c: c.produce(b"x", log=b"x")),
    ("log", lambda c: c.describe_log(b"x")),
    ("record", lambda c: c.produce("x")),
    ("value", lambda c: c.produce(Record("x"))),  # type: ignore[arg-type]
    ("header", lambda c: c.produce(Record(b"x", (("a", b"b"),)))),  # type: ignore[arg-type]
    ("header", lambda c: c.produce(Record(b"x", (Header("a", "b"),)))),  # type: ignore[arg-type]
    ("offset", lambda c: c.consume(True)),
    ("offset", lambda c: c.consume("1")),
    ("wait", lambda c: c.consume(0, wait="1")),
    ("timeout", lambda c: c.consume(0, timeout=True)),
    ("max_records", lambda c: c.consume_batch(max_records=1.5)),
    ("log_id", lambda c: c.consume_batch(log_id=7)),
    ("first_offset", lambda c: c.trim_log("a", 1.5)),
    ("producer", lambda c: c.produce(b"x", producer="w")),
]


@pytest.mark.parametrize(("name", "call"), VALUES)
async def test_a_number_that_is_none(
    fake: FakeServer, connect: Any, name: str, call: Callable[[Any], Any]
) -> None:
    with pytest.raises(ValueError, match=name):
        await call(connect(fake.url))
    assert fake.calls == []


@pytest.mark.parametrize(("name", "call"), TYPES)
async def test_a_wrong_type(
    fake: FakeServer, connect: Any, name: str, call: Callable[[Any], Any]
) -> None:
    """The error names the argument, and nothing of what is generated."""
    with pytest.raises(TypeError, match=name) as caught:
        await call(connect(fake.url))
    assert "log.v1" not in str(caught.value)
    assert fake.calls == []


READS: list[tuple[type[Exception], dict[str, Any]]] = [
    (ValueError, {"max_records": 0}),
    (ValueError, {"heartbeat": -1}),
    (ValueError, {"heartbeat": math.nan}),
    (ValueError, {"until": OVER}),
    (ValueError, {"start": -1}),
    (TypeError, {"start": 1.0}),
    (TypeError, {"from_tail": True}),
    (TypeError, {"from_time": "now"}),
    (TypeError, {"log": b"x"}),
]


@pytest.mark.parametrize(("kind", "arguments"), READS)
def test_a_read_that_makes_no_sense(kind: type[Exception], arguments: dict[str, Any]) -> None:
    with Client() as client, pytest.raises(kind, match=next(iter(arguments))):
        client.follow(**arguments)


PRODUCERS: list[tuple[type[Exception], dict[str, Any]]] = [
    (ValueError, {"id": "w", "epoch": -1}),
    (ValueError, {"id": "w", "epoch": OVER}),
    (TypeError, {"id": "w", "epoch": 1.5}),
    (TypeError, {"id": 7}),
    (ValueError, {"linger": math.nan}),
    (ValueError, {"give_up_after": math.inf}),
    (TypeError, {"max_batch_records": 1.5}),
    (ValueError, {"max_in_flight_bytes": 0}),
    (TypeError, {"log": b"x"}),
]


@pytest.mark.parametrize(("kind", "arguments"), PRODUCERS)
def test_a_producer_that_makes_no_sense(kind: type[Exception], arguments: dict[str, Any]) -> None:
    with Client() as client, pytest.raises(kind, match=list(arguments)[-1]):
        client.producer(**arguments)


SETTINGS: list[tuple[type[Exception], dict[str, Any]]] = [
    (ValueError, {"token": "abc\n"}),
    (ValueError, {"token": "ü"}),
    (TypeError, {"token": 7}),
    (ValueError, {"headers": {"x y": "1"}}),
    (ValueError, {"headers": {"X-A": "ü"}}),
    (ValueError, {"headers": {"X-A": "a\r\nb"}}),
    (ValueError, {"headers": {"x-a-bin": "1"}}),
    (ValueError, {"headers": {"content-type": "text/plain"}}),
    (TypeError, {"headers": [("a", "b")]}),
    (TypeError, {"headers": {"a": b"b"}}),
    (ValueError, {"user_agent": "a\nb"}),
    (TypeError, {"user_agent": b"a"}),
    (ValueError, {"timeout": math.nan}),
    (ValueError, {"timeout": math.inf}),
    (TypeError, {"retry": 5}),
    (TypeError, {"limits": 5}),
    (TypeError, {"tls": b"x"}),
    (TypeError, {"trace": 5}),
]


@pytest.mark.parametrize(("kind", "arguments"), SETTINGS)
def test_a_setting_that_cannot_be(kind: type[Exception], arguments: dict[str, Any]) -> None:
    """The error names the setting and does not repeat the secret."""
    with pytest.raises(kind, match=next(iter(arguments)).rstrip("s")) as caught:
        Client("https://127.0.0.1:1", **arguments)
    assert "abc" not in str(caught.value)


def test_certificates_that_are_none() -> None:
    ca = trustme.CA()
    own = ca.issue_cert("localhost")
    key, chain = own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes()
    TLS(ca=ca.cert_pem.bytes(), certificate=chain, key=key)
    for wrong in (b"garbage", b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"):
        with pytest.raises(ValueError, match="ca "):
            TLS(ca=wrong)
        with pytest.raises(ValueError, match="certificate "):
            TLS(certificate=wrong, key=key)
        with pytest.raises(ValueError, match="key "):
            TLS(certificate=chain, key=b"garbage")
    with pytest.raises(TypeError, match="ca "):
        TLS(ca="text")  # type: ignore[arg-type]


def test_numbers_that_have_no_encoding() -> None:
    """A number below 0 must not come out as another one."""
    for wrong in (-1, -2, -128, OVER):
        with pytest.raises(ValueError, match="64"):
            varint(wrong)


async def test_a_refused_expectation_appends_nothing(server: RealServer, connect: Any) -> None:
    """-1 is 127 in a careless encoder, and 127 would be met."""
    client = connect(server.url)
    await client.produce_batch([b"x"] * 127)
    with pytest.raises(ValueError, match="expected_offset"):
        await client.produce(b"WRONG", expected_offset=-1)
    assert (await client.describe_log()).next_offset == 127


async def test_a_token_that_becomes_unusable(fake: FakeServer, connect: Any) -> None:
    """It ends a write with the truth, and a follower instead of having it try for ever."""
    tokens = iter(["good", "good"])

    def stream(request: pb.ConsumeRequest, context: Any) -> Any:
        yield pb.ConsumeResponse(records=records(0, b"x"), next_offset=1)
        context.abort(__import__("grpc").StatusCode.UNAVAILABLE, "")
        yield from until_gone(context)

    fake.next = 1
    fake.on("ConsumeStream", stream)
    client = connect(fake.url, token=lambda: next(tokens, "s3cret\n"))
    reader = client.follow()
    assert [r.offset for r in await first(reader, 1)] == [0]
    with pytest.raises(ProglogError) as ended:
        await soon(reader.__anext__())
    with pytest.raises(NothingAppendedError) as refused:
        await client.produce(b"x")
    for error in (ended.value, refused.value):
        assert error.code is Code.INVALID_ARGUMENT
        assert "s3cret" not in str(error)
    assert "Produce" not in fake.calls
