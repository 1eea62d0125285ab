"""The clients that are measured: the SDK, and what its users would take without it.

Each does the same on one log: `unary`, `pipelined`, `consume` and `follow` return the number of
records and their bytes. Callers are threads or, in the clients for asyncio, tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from asked import Ask
from tasks import SdkTasks, StockGrpcTasks
from threads import Sdk, StockGrpc, StockGrpcBatch


def installed() -> Iterator[tuple[str, Callable[[Ask], Any]]]:
    """The clients that there are, by their names."""
    yield "sdk", Sdk
    yield "sdk-async", SdkTasks
    yield "stock-grpc", StockGrpc
    yield "stock-grpc-batch", StockGrpcBatch
    yield "stock-grpc-async", StockGrpcTasks
    try:
        from connect import StockConnect
    except ImportError:
        return
    yield "stock-connect", StockConnect


CLIENTS = dict(installed())
