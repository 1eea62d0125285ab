"""Account is optimistic concurrency: a bank account is a log of deposits and withdrawals, and
two writers withdraw from it at the same time. A writer reads the log, decides by the balance,
and appends with the offset that the log had when it decided. If the other writer was faster,
the append is refused, and the writer reads on and decides anew. So the balance never falls
below 0, without any lock.

Start a server with make run, then:

    pip install proglog-sdk
    python account.py
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

from proglog_sdk import Client, OutcomeUnknownError, ProglogError, Reason

DEPOSIT = 100
WITHDRAWAL = 10
WRITERS = 2
PER_WRITER = 8
"""How many each writer wants: 160 in all."""


class Account:
    """What one reader knows of the account. Each writer has its own, as if it were a program of
    its own."""

    def __init__(self, client: Client, log: str) -> None:
        self._client = client
        self._log = log
        self.balance = 0
        self._next = 0  # the offset to read next
        self._seen: set[str] = set()  # the ids that were read since change was called

    def change(self, amount: int) -> bool:
        """Add an amount to the balance unless that made it negative; tell whether it did."""
        id = uuid.uuid4().hex  # by which a writer knows its own
        value = json.dumps({"id": id, "amount": amount}).encode()
        self._seen.clear()
        # snippet: decide
        while True:
            self.read_on()
            if id in self._seen:
                return True  # an append whose answer was lost had come through
            if self.balance + amount < 0:
                return False
            try:
                self._client.produce(value, log=self._log, expected_offset=self._next)
                return True
            except OutcomeUnknownError:
                pass  # it is in the log or it is not: reading on tells
            except ProglogError as error:
                if error.reason is not Reason.OFFSET_MISMATCH:
                    raise
                # Somebody was faster: read what they wrote, and decide anew.
        # end snippet

    def read_on(self) -> None:
        """Read the changes that are new since the last time."""
        with self._client.records(log=self._log, start=self._next) as records:
            for record in records:
                change = json.loads(record.value)
                self.balance += change["amount"]
                self._next = record.offset + 1
                self._seen.add(change["id"])


def withdraw(account: Account) -> int:
    """One writer: how many of its withdrawals were done."""
    return sum(account.change(-WITHDRAWAL) for _ in range(PER_WRITER))


def run(addr: str, log: str) -> None:
    with Client(addr) as client:
        client.put_log(log)
        opening = Account(client, log)
        opening.change(DEPOSIT)
        print("deposited", DEPOSIT)

        with ThreadPoolExecutor(WRITERS) as threads:
            done = sum(threads.map(withdraw, [Account(client, log) for _ in range(WRITERS)]))
        if done != DEPOSIT // WITHDRAWAL:
            raise RuntimeError(f"withdrew {done} times {WITHDRAWAL} of {DEPOSIT}")
        print(f"withdrew {WITHDRAWAL} ten times, was refused {WRITERS * PER_WRITER - done} times")
        opening.read_on()
        print("balance", opening.balance)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--addr", default="http://127.0.0.1:8400", help="the server")
    parser.add_argument("--log", default="account", help="the log; it is made if it is not there")
    flags = parser.parse_args()
    try:
        run(flags.addr, flags.log)
    except ProglogError as error:
        print("account:", error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
