"""The program of the bench, as the bench runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proglog_sdk import Client

from .servers import RealServer

PROGRAM = Path(__file__).parent.parent / "bench" / "bench.py"
RECORDS, VALUE = 30, 10
PATHS = ["unary", "pipelined", "consume", "follow"]


class Program:
    """The program, spoken to in lines of JSON."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def ask(self, **ask: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(ask) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> int:
        self._process.communicate(timeout=20)
        return self._process.returncode


@pytest.fixture
def program() -> Iterator[Program]:
    program = Program()
    yield program
    assert program.close() == 0, "it ends with its input"


def test_every_client_does_what_is_asked(server: RealServer, program: Program) -> None:
    """Every client on every path moves just the records that it is asked for."""
    assert program.ready["ready"]
    assert {"sdk", "sdk-async", "stock-grpc", "stock-grpc-async"} <= set(program.ready["clients"])
    with Client(server.url) as client:
        client.create_log("full")
        with client.producer(log="full") as producer:
            for _ in range(RECORDS + 5):
                producer.send(b"x" * VALUE)
        for number, (path, name) in enumerate(
            (path, name) for path in PATHS for name in program.ready["clients"]
        ):
            reads = path in ("consume", "follow")
            log = "full" if reads else f"empty-{number}"
            if not reads:
                client.create_log(log)
            answer = program.ask(
                client=name,
                address=server.url,
                log=log,
                path=path,
                value=VALUE,
                count=RECORDS,
                callers=4,
            )
            assert "error" not in answer, answer
            assert answer["records"] == RECORDS
            assert answer["seconds"] > 0
            if not reads:
                assert client.describe_log(log).next_offset == RECORDS


def test_what_goes_wrong_is_told(server: RealServer, program: Program) -> None:
    """A failure is an answer, and the program goes on."""
    asked = {"client": "sdk", "address": server.url, "log": "", "value": 1, "callers": 1}
    answer = program.ask(path="consume", count=1, **asked)
    assert "not yet written" in answer["error"]
    answer = program.ask(path="pipelined", count=2, **asked)
    assert answer["records"] == 2
    # Records of another length than was asked for are an error.
    answer = program.ask(path="follow", count=2, **{**asked, "value": 5})
    assert "2 records of 2 bytes" in answer["error"]
