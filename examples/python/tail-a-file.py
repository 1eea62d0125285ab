"""Tail-a-file appends the lines of a growing file to a log. However often it is stopped,
killed or started again, each line is in the log once.

It needs no place to keep its own: each record has a header with the position in the file
behind its line, so the last record of the log tells where to go on. Every append names the
offset that it has to get. An append that was thought lost and arrives late, or a second
program on the same file, is refused by that.

Start a server with make run, then:

    pip install proglog-sdk
    python tail-a-file.py FILE
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import BinaryIO, NoReturn

from proglog_sdk import Client, Header, OutcomeUnknownError, ProglogError, Reason, Record

POSITION_HEADER = "next-position"
"""The header that tells where the next line begins."""
POLL_INTERVAL = 0.2
"""How often, in seconds, the file is looked at when it does not grow."""
MAX_LINE = 1 << 20
"""The longest line, in bytes: a server takes no larger value unless it is told to."""
MAX_LINES = 1000
"""How many lines go into one batch; a server takes no more."""


class Refused(Exception):
    """Going on would lose lines or double them."""


def run(addr: str, log: str, path: str) -> NoReturn:
    with Client(addr) as client, open(path, "rb") as file:
        client.put_log(log)
        while True:
            try:
                follow(client, log, file)
            except ProglogError as error:
                unknown = isinstance(error, OutcomeUnknownError)
                if not unknown and error.reason is not Reason.OFFSET_MISMATCH:
                    raise
                # The lines are in the log, or they are not: its last record tells.
                print("tail-a-file: looking at the log again:", error, file=sys.stderr)
                time.sleep(POLL_INTERVAL)


def follow(client: Client, log: str, file: BinaryIO) -> NoReturn:
    """Append lines, from where the log's last record says, until an error."""
    position, offset = place(client, log)
    while True:
        lines = next_lines(file, position)
        if not lines:
            time.sleep(POLL_INTERVAL)
            continue
        records = []
        for line in lines:
            position += len(line) + 1
            records.append(Record(line, headers=(Header(POSITION_HEADER, b"%d" % position),)))
        ack = client.produce_batch(records, log=log, expected_offset=offset)
        for i, line in enumerate(lines, ack.offset):
            print(f"{i}: {line.decode(errors='replace')}", flush=True)
        offset = ack.next_offset


def place(client: Client, log: str) -> tuple[int, int]:
    """How far the file has been read, by the log, and which offset the next line gets."""
    if client.describe_log(log).next_offset == 0:
        return 0, 0
    records = client.consume_batch(log=log, from_tail=1).records
    if not records:
        raise Refused(f"all of {log!r} was trimmed: nothing tells how far the file was read")
    record = records[-1]
    for header in record.headers:
        if header.name == POSITION_HEADER:
            return int(header.value), record.offset + 1
    raise Refused(f"record {record.offset} of {log!r} is none of this program's")


def next_lines(file: BinaryIO, position: int) -> list[bytes]:
    """The lines from a position on, without their newlines: some of those that are complete,
    or none if there is none yet."""
    size = os.fstat(file.fileno()).st_size
    if size < position:
        raise Refused(
            f"{file.name} has {size} bytes, but {position} of it are in the log: "
            "it was replaced, choose another log"
        )
    file.seek(position)
    text = file.read(MAX_LINE + 1)
    # What is behind the last newline is still being written.
    lines = text.split(b"\n")[:-1]
    if not lines and len(text) > MAX_LINE:
        raise Refused(f"the line at {position} of {file.name} has more than {MAX_LINE} bytes")
    return lines[:MAX_LINES]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--addr", default="http://127.0.0.1:8400", help="the server")
    parser.add_argument("--log", default="lines", help="the log; it is made if it is not there")
    parser.add_argument("file")
    flags = parser.parse_args()
    try:
        run(flags.addr, flags.log, flags.file)
    except KeyboardInterrupt:
        return 0
    except (ProglogError, Refused, OSError) as error:
        print("tail-a-file:", error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
