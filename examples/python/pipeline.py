"""Pipeline reads the log "orders" and writes an invoice into the log "invoices" for each
order of 100 and more. However often it is killed and started again, each such order has
exactly one invoice.

A cursor keeps how far the orders were read; most orders have no invoice, so the invoices
alone could not tell. The invoices are written first and the cursor is moved after them, so a
crash in between makes the pipeline read some orders again. It knows those that have an
invoice: each invoice names its order in a header. And every append names the offset that it
has to get, so that one that was thought lost and arrives late is refused.

Start a server with make run, then:

    bin/proglog logs create orders
    printf 'chair 4900\\ntable 12000\\n' | bin/proglog produce --log orders
    pip install proglog-sdk
    python pipeline.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from proglog_sdk import Client, Header, OutcomeUnknownError, ProglogError, Reason, Record

ORDERS = "orders"
INVOICES = "invoices"
ORDER_HEADER = "order"
"""The header of an invoice that has its order's offset."""
LEAST_CENTS = 100_00
"""What an order has to cost for an invoice."""
BATCH_RECORDS = 500
"""How many are read at a time, so that the invoices of one batch fit into one batch."""
START_OVER_AFTER = 1.0
"""How long, in seconds, the pipeline waits before it starts over."""


class Refused(Exception):
    """Going on would lose orders or double invoices."""


def run(addr: str) -> None:
    with Client(addr) as client:
        client.put_log(INVOICES)
        while True:
            try:
                return pipe(client)
            except ProglogError as error:
                unknown = isinstance(error, OutcomeUnknownError)
                if not unknown and error.reason is not Reason.OFFSET_MISMATCH:
                    raise
                # The invoices are in the log, or they are not: the log itself tells.
                print("pipeline: starting over:", error, file=sys.stderr)
                time.sleep(START_OVER_AFTER)


def pipe(client: Client) -> None:
    """Read orders from the cursor on and write their invoices, until an error."""
    # snippet: cursor
    cursor = client.cursor(ORDERS, "invoices")
    place = cursor.get()
    done, offset = last_invoice(client)
    with client.batches(log=ORDERS, start=place, max_records=BATCH_RECORDS) as batches:
        for batch in batches:
            offset = write_invoices(client, batch.records, done, offset)
            cursor.set(batch.records[-1].offset + 1)
            cursor.commit()
    # end snippet


def last_invoice(client: Client) -> tuple[int, int]:
    """The offset behind the last order that has an invoice, and the offset that the next
    invoice gets. It needs one invoice to be kept: a retention that may remove the last one
    does not go with a pipeline."""
    if client.describe_log(INVOICES).next_offset == 0:
        return 0, 0
    records = client.consume_batch(log=INVOICES, from_tail=1).records
    if not records:
        raise Refused(f"all of {INVOICES!r} was trimmed: nothing tells which orders are done")
    record = records[-1]
    for header in record.headers:
        if header.name == ORDER_HEADER:
            return int(header.value) + 1, record.offset + 1
    raise Refused(f"record {record.offset} of {INVOICES!r} is none of this program's")


def write_invoices(client: Client, orders: Sequence[Record], done: int, offset: int) -> int:
    """Write the invoices of orders, all or none, and return the offset that the next one
    gets. Orders below done have theirs."""
    invoices = [
        Record(text, headers=(Header(ORDER_HEADER, b"%d" % order.offset),))
        for order in orders
        for text in invoice(order)
        if order.offset >= done
    ]
    if not invoices:
        return offset
    ack = client.produce_batch(invoices, log=INVOICES, expected_offset=offset)
    for number, record in enumerate(invoices, ack.offset):
        order = record.headers[0].value.decode()
        print(f"order {order} -> invoice {number}: {record.value.decode()}", flush=True)
    return ack.next_offset


def invoice(order: Record) -> list[bytes]:
    """Make "table 120.00" of the order "table 12000"; nothing of one that is too small."""
    item, _, price = order.value.decode().partition(" ")
    if not price.isdecimal():
        raise Refused(f"order {order.offset} is not an item and its price in cents")
    cents = int(price)
    return [f"{item} {cents // 100}.{cents % 100:02}".encode()] if cents >= LEAST_CENTS else []


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--addr", default="http://127.0.0.1:8400", help="the server")
    try:
        run(parser.parse_args().addr)
    except KeyboardInterrupt:
        return 0
    except (ProglogError, Refused) as error:
        print("pipeline:", error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
