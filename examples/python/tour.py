"""Tour shows a part of the client at a time: a producer, a cursor, a cancel, threads, asyncio.

It wants an empty server. Start one with make run, then:

    pip install proglog-sdk
    python tour.py
"""

import argparse
import asyncio
import sys
import threading

# snippet: import
from proglog_sdk import CancelScope, Client, ProglogError, aio

# end snippet


def produce_many(client: Client) -> None:
    # snippet: producer
    with client.producer() as producer:
        futures = [producer.send(b"%d" % n) for n in range(1000)]
        producer.flush()
    print("produced up to", futures[-1].result().offset)
    # end snippet


def keep_place(client: Client) -> None:
    for _ in range(2):
        # snippet: cursor
        cursor = client.cursor("", "billing")
        handled = 0
        for record in client.records(start=cursor.get()):
            handled += 1
            cursor.set(record.offset + 1)
        cursor.commit()
        print("handled", handled)
        # end snippet


def wait_a_while(client: Client) -> None:
    # snippet: timeout
    with client.follow(from_tail=0) as reader:
        try:
            print(reader.next(timeout=0.5).value)
        except TimeoutError:
            print("nothing new")
    # end snippet


def cancel_a_call(client: Client) -> None:
    # snippet: cancel
    scope = CancelScope()
    threading.Timer(0.1, scope.cancel).start()
    with scope:
        try:
            client.consume(10**6, wait=60)
        except ProglogError as error:
            print("given up:", error.code)
    # end snippet


def first(addr: str) -> None:
    # snippet: first
    with Client(addr) as client:
        ack = client.produce(b"hello")
        for record in client.follow(start=ack.offset):
            print(f"{record.offset}: {record.value.decode()}")
            break  # a follower waits for more: leave it, or close it from another thread
    # end snippet


async def with_asyncio(addr: str) -> None:
    # snippet: asyncio
    async with aio.Client(addr) as client:
        ack = await client.produce(b"hello")
        print("produced", ack.offset)
        async for record in client.follow(start=ack.offset):
            print(f"{record.offset}: {record.value.decode()}")
            break
    # end snippet


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--addr", default="http://127.0.0.1:8400", help="the server")
    addr = parser.parse_args().addr
    try:
        with Client(addr) as client:
            produce_many(client)
            keep_place(client)
            wait_a_while(client)
            cancel_a_call(client)
        first(addr)
        asyncio.run(with_asyncio(addr))
    except ProglogError as error:
        print("tour:", error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
