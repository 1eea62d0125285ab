"""What a client is asked to do, and the methods that a stock one calls for it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from proglog_sdk._gen import log_v1 as pb

Moved = tuple[int, int]  # records, and bytes of their values

# What a stock client that asks for many records to a message asks for.
BATCH = 1000


@dataclass(frozen=True)
class Ask:
    """One run of one client."""

    client: str
    address: str  # http://host:port
    log: str
    path: str
    value: int  # bytes
    count: int  # records
    callers: int

    @functools.cached_property
    def record(self) -> bytes:
        """The value of each record."""
        return b"x" * self.value

    def request(self) -> Any:
        """A record to append."""
        return pb.ProduceRequest(log=self.log, record=pb.Record(value=self.record))


class Stubs:
    """What generated code makes of a channel of gRPC."""

    def __init__(self, channel: Any) -> None:
        produce, consume = pb.ProduceRequest.SerializeToString, pb.ConsumeRequest.SerializeToString
        acked, read = pb.ProduceResponse.FromString, pb.ConsumeResponse.FromString
        get, told = pb.GetLogRequest.SerializeToString, pb.GetLogResponse.FromString
        self.produce = channel.unary_unary("/log.v1.Log/Produce", produce, acked)
        self.produce_stream = channel.stream_stream("/log.v1.Log/ProduceStream", produce, acked)
        self.consume = channel.unary_unary("/log.v1.Log/Consume", consume, read)
        self.consume_stream = channel.unary_stream("/log.v1.Log/ConsumeStream", consume, read)
        self.get_log = channel.unary_unary("/log.v1.Log/GetLog", get, told)
