"""Servers for the tests: the real binary, and a scripted one in this process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from proglog_sdk._gen import log_v1 as pb

START_LIMIT = 30.0
STOP_LIMIT = 20.0


class RealServer:
    """The built binary with a data directory of its own; it can be killed and started again at
    the same address."""

    def __init__(self, binary: str, data: Path, *args: str) -> None:
        self._command = [binary, "serve", "--data-dir", str(data), "--log-format", "json", *args]
        self.addr = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://{self.addr}"

    def start(self) -> None:
        command = [*self._command, "--listen", self.addr]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        found: queue.Queue[str | None] = queue.Queue()

        def read() -> None:
            assert process.stderr is not None
            with process.stderr:
                for line in process.stderr:
                    with contextlib.suppress(ValueError):
                        told = json.loads(line)
                        if told.get("msg") == "listening":
                            found.put(told["addr"])
            found.put(None)

        self._process = process
        self._reader = threading.Thread(target=read, name="server-log", daemon=True)
        self._reader.start()
        addr = found.get(timeout=START_LIMIT)
        assert addr is not None, "the server ended before it listened"
        self.addr = addr

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert self._reader is not None
            self._reader.join()

    def kill(self) -> None:
        self.stop(signal.SIGKILL)


def binary() -> str | None:
    """The path of the built binary, if the environment names it."""
    return os.environ.get("PROGLOG_BIN")


class FakeServer:
    """Speaks log.v1 as a test tells it to. A handler gets the decoded request (or an iterator
    of them) and the call's context, and returns the response (or yields them)."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.handlers: dict[str, Callable[..., Any]] = {"GetLog": self._get_log}
        self.metadata: list[dict[str, str]] = []
        self.calls: list[str] = []
        self.log_id = "id-1"
        self.first, self.next = 0, 0
        self._server = grpc.server(
            futures.ThreadPoolExecutor(32, thread_name_prefix="fake"),
            options=[("grpc.so_reuseport", 0)],
        )
        self._server.add_generic_rpc_handlers((_Router(self),))
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.addr = f"127.0.0.1:{port}"
        self.url = ("https" if credentials else "http") + f"://localhost:{port}"
        self._server.start()

    def on(self, method: str, handler: Callable[..., Any]) -> None:
        self.handlers[method] = handler

    def _get_log(self, request: pb.GetLogRequest, context: Any) -> pb.GetLogResponse:
        second = pb.Duration(nanos=100_000_000)
        return pb.GetLogResponse(
            info=pb.LogInfo(
                log=request.log,
                log_id=self.log_id,
                first_offset=self.first,
                next_offset=self.next,
                dedup_window=pb.DedupWindow(acks=256),
            ),
            limits=pb.Limits(min_heartbeat=second, max_heartbeat=pb.Duration(seconds=60)),
            capabilities=pb.Capabilities(producers=True),
        )

    def stop(self) -> None:
        self._server.stop(0).wait()


REQUESTS: dict[str, Any] = {
    "Produce": pb.ProduceRequest,
    "ProduceStream": pb.ProduceRequest,
    "Consume": pb.ConsumeRequest,
    "ConsumeStream": pb.ConsumeRequest,
    "GetLog": pb.GetLogRequest,
    "ListLogs": pb.ListLogsRequest,
    "PutLog": pb.PutLogRequest,
    "TrimLog": pb.TrimLogRequest,
    "DeleteLog": pb.DeleteLogRequest,
}


class _Router(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, fake: FakeServer) -> None:
        self._fake = fake

    def service(self, details: Any) -> Any:
        fake, method = self._fake, details.method.rsplit("/", 1)[1]
        fake.calls.append(method)
        fake.metadata.append(dict(details.invocation_metadata))
        handler = fake.handlers.get(method)
        if handler is None:
            return None
        kind = {
            "ProduceStream": grpc.stream_stream_rpc_method_handler,
            "ConsumeStream": grpc.unary_stream_rpc_method_handler,
        }.get(method, grpc.unary_unary_rpc_method_handler)
        return kind(
            handler,
            request_deserializer=REQUESTS[method].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )


def fail(context: Any, code: grpc.StatusCode, message: str = "", **detail: Any) -> None:
    """End a call with an error as the server raises it: with a typed detail."""
    packed = pb.ErrorDetail(**detail).SerializeToString()
    any_ = _field(1, b"type.googleapis.com/log.v1.ErrorDetail") + _field(2, packed)
    status = b"\x08" + bytes([code.value[0]]) + _field(2, message.encode()) + _field(3, any_)
    context.set_trailing_metadata((("grpc-status-details-bin", status),))
    context.abort(code, message)


def _field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def records(first: int, *values: bytes) -> list[pb.Record]:
    """Records at contiguous offsets."""
    return [pb.Record(value=value, offset=first + n) for n, value in enumerate(values)]


def until_gone(context: Any) -> Iterator[Any]:
    """Say nothing until the client leaves."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(30)
    yield from ()


class Relay:
    """A port that passes bytes on to another, and can swallow what comes back: the server then
    works, and its answer is lost."""

    def __init__(self, target: str) -> None:
        import socket

        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.addr = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.addr}"
        self._pairs: list[tuple[Any, Any]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._swallow = False
        self.swallowed = threading.Event()
        self._spawn(self._accept)

    def _spawn(self, run: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        import socket

        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._pairs.append((near, far))
            self._spawn(self._pass, near, far, False)
            self._spawn(self._pass, far, near, True)

    def _pass(self, source: Any, sink: Any, back: bool) -> None:
        try:
            while data := source.recv(65536):
                if back and self._swallow:
                    self.swallowed.set()
                    continue
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(2)

    def swallow(self, on: bool) -> None:
        """Let nothing come back from the server, or let it again."""
        self.swallowed.clear()
        self._swallow = on

    def cut(self) -> None:
        """Break all connections off."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(2)
                end.close()

    def close(self) -> None:
        self._listener.shutdown(2)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
