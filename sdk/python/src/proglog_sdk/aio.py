"""The client of proglog for asyncio: the same as `proglog_sdk`, with the same names.

from proglog_sdk.aio import Client

async with Client("http://127.0.0.1:8400") as client:
    ack = await client.produce(b"hello")
    async for record in client.follow(start=ack.offset):
        print(record.offset, record.value)
"""

from ._async._cursor import AsyncCursor
from ._async._producer import AsyncProducer, AsyncSendFuture
from ._async._reader import AsyncBatchReader, AsyncRecordReader
from ._async.client import AsyncClient
from ._config import AsyncTokenSource

Client = AsyncClient
Producer = AsyncProducer
SendFuture = AsyncSendFuture
Cursor = AsyncCursor
BatchReader = AsyncBatchReader
RecordReader = AsyncRecordReader
TokenSource = AsyncTokenSource

__all__ = [
    "AsyncBatchReader",
    "AsyncClient",
    "AsyncCursor",
    "AsyncProducer",
    "AsyncRecordReader",
    "AsyncSendFuture",
    "AsyncTokenSource",
    "BatchReader",
    "Client",
    "Cursor",
    "Producer",
    "RecordReader",
    "SendFuture",
    "TokenSource",
]
