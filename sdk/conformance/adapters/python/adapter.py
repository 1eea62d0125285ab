"""The conformance suite's adapter for the Python SDK.

It reads commands from standard input and answers on standard output, as PROTOCOL.md says; it
does what a user of the SDK would, and judges nothing. PROGLOG_SDK_MODE chooses the client:
sync, the default, or async.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import proglog_sdk
from proglog_sdk import (
    TLS,
    CancelScope,
    ProducerSequence,
    ProglogError,
    Record,
    Retention,
    Retry,
    aio,
)
from wire import (
    MisuseError,
    Trace,
    hello,
    nanos_of,
    number,
    record_of,
    reused,
    seconds,
    tell_ack,
    tell_error,
    tell_info,
    tell_record,
    token_of,
)

Command = dict[str, Any]
WRITES = ("produce", "cursor_commit")


class AsyncMode:
    """Uses the client for asyncio; a cancelled command is a cancelled task."""

    name = "async"
    make_client = aio.Client

    async def do(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a call that waits."""
        return await call(*args, **kwargs)

    async def make(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a call that does not wait."""
        return call(*args, **kwargs)

    async def each(self, reader: Any) -> AsyncIterator[Any]:
        """What an iterator brings."""
        try:
            async for found in reader:
                yield found
        finally:
            if hasattr(reader, "aclose"):
                await reader.aclose()

    async def send_all(self, producer: Any, records: Iterable[Record], no_wait: bool) -> list[Any]:
        """Send records one after another, and wait for the acknowledgement or error of each."""
        sent: list[Any] = []
        for record in records:
            try:
                sent.append(await producer.send(record))
            except ProglogError as error:
                sent.append(error)
        if no_wait:
            return [one for one in sent if isinstance(one, ProglogError)]
        for n, future in enumerate(sent):
            if not isinstance(future, ProglogError):
                try:
                    sent[n] = await future
                except ProglogError as error:
                    sent[n] = error
        return sent


class SyncMode:
    """Uses the client for threads: every command has one, and is cancelled from another."""

    name = "sync"
    make_client = proglog_sdk.Client

    async def do(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a call that waits, in a thread and a scope of its own."""
        scope = CancelScope()

        def run() -> Any:
            with scope:
                return call(*args, **kwargs)

        return await self._in_thread(run, scope.cancel)

    make = do

    async def each(self, reader: Any) -> AsyncIterator[Any]:
        """What an iterator brings."""
        loop, found = asyncio.get_running_loop(), asyncio.Queue[tuple[str, Any]]()

        def run() -> None:
            for item in reader:
                loop.call_soon_threadsafe(found.put_nowait, ("item", item))

        close = getattr(reader, "close", lambda: None)
        thread = asyncio.ensure_future(self._in_thread(run, close))
        thread.add_done_callback(lambda done: found.put_nowait(("end", done)))
        try:
            while (told := await found.get())[0] == "item":
                yield told[1]
        except asyncio.CancelledError:
            close()
            await thread  # raises what the thread's loop ended with
            raise
        finally:
            close()
        await thread

    async def send_all(self, producer: Any, records: Iterable[Record], no_wait: bool) -> list[Any]:
        """Send records one after another, and wait for the acknowledgement or error of each."""

        def outcome(wait: Callable[[], Any]) -> Any:
            try:
                return wait()
            except ProglogError as error:
                return error

        def run() -> list[Any]:
            sent = [outcome(lambda record=record: producer.send(record)) for record in records]
            if no_wait:
                return [one for one in sent if isinstance(one, ProglogError)]
            return [one if isinstance(one, ProglogError) else outcome(one.result) for one in sent]

        # A caller that leaves stops waiting; the producer goes on, and so does the thread.
        return await self._in_thread(run, None)

    async def _in_thread(self, run: Callable[[], Any], cancel: Callable[[], Any] | None) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(set_it: Callable[[Any], None], what: Any) -> None:
            if not done.done():
                set_it(what)

        def target() -> None:
            try:
                result = run()
            except BaseException as error:  # noqa: BLE001 (it is told to who waits)
                told = (done.set_exception, error)
            else:
                told = (done.set_result, result)
            with contextlib.suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(settle, *told)

        threading.Thread(target=target, daemon=True).start()
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if cancel is None:
                raise
            cancel()
            return await done  # what the thread makes of it


class Adapter:
    """Everything that commands share."""

    def __init__(self, mode: AsyncMode | SyncMode) -> None:
        self.mode = mode
        self.running: dict[int, asyncio.Task[None]] = {}
        self.clients: dict[str, Any] = {}
        self.producers: dict[str, Any] = {}
        self.cursors: dict[tuple[str, str, str], Any] = {}
        self.traces: dict[str, Trace] = {}

    async def serve(self) -> None:
        """Run commands until the input ends, then end what still runs."""
        loop, lines = asyncio.get_running_loop(), asyncio.Queue[bytes]()

        def read() -> None:
            for line in sys.stdin.buffer:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, b"")

        threading.Thread(target=read, daemon=True).start()
        while line := await lines.get():
            command = json.loads(line)
            task = asyncio.ensure_future(self.run(command))
            self.running[command["id"]] = task
        for task in list(self.running.values()):
            task.cancel()
        await asyncio.gather(*self.running.values(), return_exceptions=True)
        await self.close()

    async def close(self) -> None:
        """Close what the commands opened."""
        for producer in self.producers.values():
            await self.mode.do(producer.abort)
        for client in self.clients.values():
            await self.mode.do(client.close)

    async def run(self, command: Command) -> None:
        """Do one command and answer it."""
        try:
            answer = await self.dispatch(command)
            self.say(command, "ok", answer or {})
        except asyncio.CancelledError:
            # asyncio says no more than this; of a write it means that nobody knows.
            told = {"code": "canceled", "reason": "", "message": "", "from_server": False}
            if command["op"] in WRITES:
                told["outcome"] = "unknown"
            self.say(command, "error", told)
        except Exception as error:
            if not isinstance(error, (ProglogError, MisuseError, ValueError, TimeoutError)):
                print(f"adapter: {command['op']}: {error!r}", file=sys.stderr)
            told = tell_error(error)
            if isinstance(error, ValueError) and command["op"] in WRITES:
                told["outcome"] = "nothing_appended"  # the SDK promises it of these
            self.say(command, "error", told)
        finally:
            self.running.pop(command["id"], None)

    def say(self, command: Command, kind: str, what: Any) -> None:
        """Write one line."""
        line = json.dumps({"id": command["id"], kind: what}, separators=(",", ":"))
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    async def dispatch(self, c: Command) -> Any:
        """Do a command."""
        op = getattr(self, "op_" + c["op"], None)
        if op is None:
            raise MisuseError(f"there is no command {c['op']!r}")
        return await op(c)

    def of(self, table: dict[Any, Any], key: Any, what: str) -> Any:
        """What was made under a name before."""
        if key not in table:
            raise MisuseError(f"there is no {what} {key!r}")
        return table[key]

    def client_of(self, c: Command) -> Any:
        """The client of a command."""
        return self.of(self.clients, c.get("client", ""), "client")

    def call_args(self, c: Command) -> dict[str, Any]:
        """The arguments that every single call has."""
        args: dict[str, Any] = {}
        if c.get("timeout_ms"):
            args["timeout"] = seconds(c["timeout_ms"])
        return args

    def read_args(self, c: Command) -> dict[str, Any]:
        """The arguments that every read from a start has."""
        return {
            "log": c.get("log", ""),
            "start": number(c.get("offset")),
            "from_time": nanos_of(c.get("from_time")),
            "from_tail": number(c.get("from_tail")),
            "until": number(c.get("until")),
            "log_id": c.get("log_id", ""),
        }

    # Commands.

    async def op_hello(self, c: Command) -> Any:
        return hello(self.mode.name)

    async def op_client(self, c: Command) -> None:
        retry = Retry()
        if c.get("trace"):
            self.traces[c["client"]] = Trace()
        longest = seconds(c.get("max_delay_ms")) or retry.max_delay
        shortest = seconds(c.get("min_delay_ms")) or retry.min_delay
        self.clients[c["client"]] = await self.mode.make(
            self.mode.make_client,
            c["addr"],
            retry=Retry(c.get("attempts") or retry.attempts, min(shortest, longest), longest),
            timeout=seconds(c.get("timeout_ms")) or None,
            headers=c.get("headers"),
            token=token_of(c),
            user_agent=c.get("user_agent", ""),
            trace=self.traces[c["client"]] if c.get("trace") else None,
            tls=TLS(ca=c["ca"].encode()) if c.get("ca") else None,
        )

    async def op_close_client(self, c: Command) -> None:
        await self.mode.do(self.client_of(c).close)

    async def op_cancel(self, c: Command) -> None:
        task = self.running.get(int(c["target"]))
        if task is None:
            raise MisuseError(f"no command {c['target']} is running")
        task.cancel()

    async def op_produce(self, c: Command) -> Any:
        client, args = self.client_of(c), self.call_args(c)
        args |= {"log": c.get("log", ""), "expected_offset": number(c.get("expected_offset"))}
        if c.get("producer"):
            key = c["producer"]
            args["producer"] = ProducerSequence(
                key.get("id", ""), int(key.get("epoch", 0)), int(key.get("sequence", 0))
            )
        records = [record_of(r) for r in c.get("records") or ()]
        if c.get("reuse"):
            acks = [await self.mode.do(client.produce, r, **args) for r in reused(records)]
            return {"acks": [tell_ack(ack) for ack in acks]}
        if c.get("single") and len(records) == 1:
            return tell_ack(await self.mode.do(client.produce, records[0], **args))
        return tell_ack(await self.mode.do(client.produce_batch, records, **args))

    async def op_consume(self, c: Command) -> Any:
        record = await self.mode.do(
            self.client_of(c).consume,
            int(c["offset"]),
            log=c.get("log", ""),
            log_id=c.get("log_id", ""),
            wait=seconds(c.get("wait_ms")),
            **self.call_args(c),
        )
        return {"record": tell_record(record)}

    async def op_consume_batch(self, c: Command) -> Any:
        args = self.read_args(c) | self.call_args(c)
        if c.get("max_records"):
            args["max_records"] = int(c["max_records"])
        wait = seconds(c.get("wait_ms"))
        batch = await self.mode.do(self.client_of(c).consume_batch, wait=wait, **args)
        told = {"records": [tell_record(r) for r in batch.records], "tail": batch.tail}
        if batch.tail:
            told["next_offset"] = str(batch.next_offset)
        return told

    async def op_read(self, c: Command) -> None:
        client, args = self.client_of(c), self.read_args(c)
        if c.get("batch_records"):
            args["max_records"] = int(c["batch_records"])
        if c.get("follow") and c.get("heartbeat_ms") is not None:
            args["heartbeat"] = seconds(c["heartbeat_ms"])
        read = client.follow if c.get("follow") else client.records
        async for record in self.mode.each(read(**args)):
            self.say(c, "event", {"record": tell_record(record)})

    async def op_producer(self, c: Command) -> None:
        args: dict[str, Any] = {"log": c.get("log", ""), "linger": seconds(c.get("linger_ms"))}
        for name in (
            "max_batch_records",
            "max_batch_bytes",
            "max_in_flight_batches",
            "max_in_flight_bytes",
        ):
            if c.get(name):
                args[name] = int(c[name])
        if c.get("give_up_after_ms") is not None:
            args["give_up_after"] = seconds(c["give_up_after_ms"])
        if c.get("identity"):
            args |= {"id": c["identity"], "epoch": int(c.get("epoch", 0))}
        client = self.client_of(c)
        self.producers[c["producer"]] = await self.mode.make(client.producer, **args)

    def producer_of(self, c: Command) -> Any:
        return self.of(self.producers, c.get("producer"), "producer")

    async def op_send(self, c: Command) -> Any:
        records = [record_of(told) for told in c.get("records") or ()]
        given = reused(records) if c.get("reuse") else records
        no_wait = bool(c.get("no_wait"))
        acks = await self.mode.send_all(self.producer_of(c), given, no_wait)
        if no_wait:
            for error in acks:
                raise error
            return None
        return {
            "acks": [
                {"error": tell_error(ack)} if isinstance(ack, ProglogError) else tell_ack(ack)
                for ack in acks
            ]
        }

    async def op_flush(self, c: Command) -> None:
        await self.mode.do(self.producer_of(c).flush)

    async def op_close_producer(self, c: Command) -> None:
        await self.mode.do(self.producer_of(c).close, **self.call_args(c))

    async def op_abort_producer(self, c: Command) -> None:
        await self.mode.do(self.producer_of(c).abort)

    async def op_traced(self, c: Command) -> Any:
        return self.of(self.traces, c["client"], "trace of client").told()

    async def op_put_log(self, c: Command) -> Any:
        retention = None
        if c.get("max_age_ms") is not None or c.get("max_bytes") is not None:
            age = datetime.timedelta(milliseconds=float(c.get("max_age_ms") or 0))
            retention = Retention(age or None, number(c.get("max_bytes")) or 0)
        put = self.client_of(c).put_log
        sealed = True if c.get("sealed") else None
        info, created = await self.mode.do(
            put, c.get("log", ""), retention=retention, sealed=sealed, **self.call_args(c)
        )
        return {"info": tell_info(info), "created": created}

    async def about_log(self, c: Command, call: Callable[..., Any]) -> Any:
        info = await self.mode.do(call, c.get("log", ""), **self.call_args(c))
        return {"info": tell_info(info)}

    async def op_create_log(self, c: Command) -> Any:
        return await self.about_log(c, self.client_of(c).create_log)

    async def op_describe_log(self, c: Command) -> Any:
        return await self.about_log(c, self.client_of(c).describe_log)

    async def op_seal_log(self, c: Command) -> Any:
        return await self.about_log(c, self.client_of(c).seal_log)

    async def op_list_logs(self, c: Command) -> Any:
        logs = self.client_of(c).logs(c.get("prefix", ""), **self.call_args(c))
        return {"logs": [tell_info(info) async for info in self.mode.each(logs)]}

    async def op_trim_log(self, c: Command) -> Any:
        trim = self.client_of(c).trim_log
        first = await self.mode.do(
            trim, c.get("log", ""), int(c.get("first", 0)), **self.call_args(c)
        )
        return {"first_offset": str(first)}

    async def op_delete_log(self, c: Command) -> None:
        delete = self.client_of(c).delete_log
        await self.mode.do(delete, c.get("log", ""), **self.call_args(c))

    async def op_cursor_get(self, c: Command) -> Any:
        cursor = self.client_of(c).cursor(c.get("log", ""), c["cursor"])
        place = await self.mode.do(cursor.get, **self.call_args(c))
        self.cursors[c["client"], c.get("log", ""), c["cursor"]] = cursor
        return {"offset": str(place.offset), "log_id": place.log_id}

    async def op_cursor_commit(self, c: Command) -> None:
        key = (c["client"], c.get("log", ""), c["cursor"])
        cursor = self.of(self.cursors, key, "cursor")
        cursor.set(int(c["offset"]))
        await self.mode.do(cursor.commit, **self.call_args(c))


def main() -> None:
    """Serve standard input."""
    mode = os.environ.get("PROGLOG_SDK_MODE", "sync")
    modes: dict[str, type[AsyncMode] | type[SyncMode]] = {"sync": SyncMode, "async": AsyncMode}
    if mode not in modes:
        sys.exit(f"adapter: PROGLOG_SDK_MODE is sync or async, not {mode!r}")
    asyncio.run(Adapter(modes[mode]()).serve())


if __name__ == "__main__":
    main()
