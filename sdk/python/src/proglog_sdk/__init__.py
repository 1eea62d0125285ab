"""The client of proglog, an append-only commit log.

    from proglog_sdk import Client

    with Client("http://127.0.0.1:8400") as client:
        ack = client.produce(b"hello")
        for record in client.follow(start=ack.offset):
            print(record.offset, record.value)

`proglog_sdk.aio` has the same for asyncio.
"""

from ._arguments import ProducerSequence
from ._config import TLS, TokenSource
from ._cursoring import cursor_log
from ._defaults import (
    DEFAULT_ATTEMPTS,
    DEFAULT_BATCH_BYTES,
    DEFAULT_BATCH_RECORDS,
    DEFAULT_GIVE_UP_AFTER,
    DEFAULT_HEARTBEAT,
    DEFAULT_IN_FLIGHT_BATCHES,
    DEFAULT_IN_FLIGHT_BYTES,
    DEFAULT_MAX_DELAY,
    DEFAULT_MIN_DELAY,
    DEFAULT_READ_RECORDS,
    MAX_RETRY_DELAY,
)
from ._errors import (
    ClosedError,
    Code,
    LogChangedError,
    NothingAppendedError,
    OffsetGapError,
    OutcomeUnknownError,
    ProglogError,
    Reason,
)
from ._sync._cancel import CancelScope
from ._sync._cursor import Cursor
from ._sync._producer import Producer, SendFuture
from ._sync._reader import BatchReader, RecordReader
from ._sync.client import Client
from ._types import (
    Ack,
    Attempt,
    AttemptEnd,
    Batch,
    DedupWindow,
    Durability,
    Header,
    Limits,
    LogInfo,
    Outcome,
    Place,
    Record,
    RecordLike,
    Retention,
    Retry,
    Seconds,
    Time,
    TraceHook,
)
from ._version import __version__

__all__ = [
    "DEFAULT_ATTEMPTS",
    "DEFAULT_BATCH_BYTES",
    "DEFAULT_BATCH_RECORDS",
    "DEFAULT_GIVE_UP_AFTER",
    "DEFAULT_HEARTBEAT",
    "DEFAULT_IN_FLIGHT_BATCHES",
    "DEFAULT_IN_FLIGHT_BYTES",
    "DEFAULT_MAX_DELAY",
    "DEFAULT_MIN_DELAY",
    "DEFAULT_READ_RECORDS",
    "MAX_RETRY_DELAY",
    "TLS",
    "Ack",
    "Attempt",
    "AttemptEnd",
    "Batch",
    "BatchReader",
    "CancelScope",
    "Client",
    "ClosedError",
    "Code",
    "Cursor",
    "DedupWindow",
    "Durability",
    "Header",
    "Limits",
    "LogChangedError",
    "LogInfo",
    "NothingAppendedError",
    "OffsetGapError",
    "Outcome",
    "OutcomeUnknownError",
    "Place",
    "Producer",
    "ProducerSequence",
    "ProglogError",
    "Reason",
    "Record",
    "RecordLike",
    "RecordReader",
    "Retention",
    "Retry",
    "Seconds",
    "SendFuture",
    "Time",
    "TokenSource",
    "TraceHook",
    "__version__",
    "cursor_log",
]
