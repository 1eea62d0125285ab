"""Quickstart appends a few records and follows the log to see them come back.

Start a server with make run, then:

    pip install proglog-sdk
    python quickstart.py
"""

import argparse
import sys

from proglog_sdk import Client, Header, ProglogError, Record


def run(addr: str) -> None:
    # snippet: connect
    with Client(addr) as client:
        # end snippet

        # snippet: produce
        # When produce returns, the record is on the server's disk.
        ack = client.produce(b"hello")
        print("produced", ack.offset)
        # end snippet

        # snippet: batch
        # A batch is appended as a whole or not at all. Headers travel with a record.
        batch = client.produce_batch(
            [b"how are you?", Record(b"goodbye", headers=(Header("mood", b"sad"),))]
        )
        print("produced", batch.offset, "to", batch.next_offset - 1)
        # end snippet

        # snippet: follow
        # follow reads from an offset on. At the end of the log it waits for the next record,
        # and it goes on by itself when the connection or the server comes back.
        with client.follow(start=ack.offset) as records:
            for record in records:
                print(f"{record.offset}: {record.value.decode()}")
                if record.offset == batch.next_offset - 1:
                    break  # the last one of our own
        # end snippet


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--addr", default="http://127.0.0.1:8400", help="the server")
    try:
        run(parser.parse_args().addr)
    except ProglogError as error:
        print("quickstart:", error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
