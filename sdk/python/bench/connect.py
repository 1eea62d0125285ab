"""The Connect client for Python, where it is installed: it is no dependency of the project."""

from __future__ import annotations

from typing import Any

import pyqwest
from asked import Ask
from connectrpc.client import ConnectClientSync
from connectrpc.compat import google_protobuf_binary_codec
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from threads import Stock

from proglog_sdk._gen import log_v1 as pb


class StockConnect(Stock):
    """The official Connect client, over HTTP/2 without compression."""

    def __init__(self, ask: Ask) -> None:
        self._transport = pyqwest.SyncHTTPTransport(http_version=pyqwest.HTTPVersion.HTTP2)
        client = self._client = ConnectClientSync(
            ask.address,
            codec=google_protobuf_binary_codec(),
            accept_compression=(),
            send_compression=None,
            http_client=pyqwest.SyncClient(self._transport),
        )

        def method(name: str, kind: str, asked: type, told: type) -> Any:
            return MethodInfo(
                name=name,
                service_name="log.v1.Log",
                input=asked,
                output=told,
                idempotency_level=IdempotencyLevel.UNKNOWN,
                stream_type=StreamType[kind],
            )

        one, both, down = "UNARY", "BIDI_STREAM", "SERVER_STREAM"
        produce = method("Produce", one, pb.ProduceRequest, pb.ProduceResponse)
        produce_stream = method("ProduceStream", both, pb.ProduceRequest, pb.ProduceResponse)
        consume = method("Consume", one, pb.ConsumeRequest, pb.ConsumeResponse)
        consume_stream = method("ConsumeStream", down, pb.ConsumeRequest, pb.ConsumeResponse)
        get_log = method("GetLog", one, pb.GetLogRequest, pb.GetLogResponse)

        class Calls:
            """The methods of [Stubs]."""

            produce = staticmethod(lambda r: client.execute_unary(request=r, method=produce))
            produce_stream = staticmethod(
                lambda r: client.execute_bidi_stream(request=r, method=produce_stream)
            )
            consume = staticmethod(lambda r: client.execute_unary(request=r, method=consume))
            consume_stream = staticmethod(
                lambda r: client.execute_server_stream(request=r, method=consume_stream)
            )
            get_log = staticmethod(lambda r: client.execute_unary(request=r, method=get_log))

        super().__init__(ask, Calls)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._transport.close()
