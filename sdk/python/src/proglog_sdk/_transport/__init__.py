"""The way to the server: the only package that knows gRPC.

Everything above speaks in bytes: a request goes out, responses come back, and whatever goes
wrong is a `ProglogError`. Another library can take gRPC's place by replacing this package.
"""

from ._aio import AsyncStream, AsyncTransport
from ._sync import SyncStream, SyncTransport

__all__ = ["AsyncStream", "AsyncTransport", "SyncStream", "SyncTransport"]
