"""Quickstart appends a few records and follows the log to see them come back, with
grpcio alone: the proto files are loaded as they are.

Start a server with make run, then:

    python3 -m venv .venv && .venv/bin/pip install -r examples/grpc-python/requirements.txt
    .venv/bin/python examples/grpc-python/quickstart.py
"""

import argparse
import pathlib
import sys

import grpc

# Imports of proto files are looked up where imports of Python modules are.
sys.path.append(str(pathlib.Path(__file__).parents[2] / "proto"))
log_v1, log_v1_services = grpc.protos_and_services("log/v1/log.proto")


def run(addr: str) -> None:
    with grpc.insecure_channel(addr) as channel:
        log = log_v1_services.LogStub(channel)

        # When Produce returns, the record is on the server's disk.
        ack = log.Produce(log_v1.ProduceRequest(record=log_v1.Record(value=b"hello")))
        print("produced", ack.offset)

        # A batch is appended as a whole or not at all. Headers travel with a record.
        batch = log.Produce(
            log_v1.ProduceRequest(
                records=[
                    log_v1.Record(value=b"how are you?"),
                    log_v1.Record(value=b"goodbye", headers=[log_v1.Header(name="mood", value=b"sad")]),
                ]
            )
        )
        print("produced", batch.offset, "to", batch.next_offset - 1)

        # ConsumeStream waits for the next record at the end of the log, until the
        # client leaves. A lost connection ends it: to resume, call it again, one behind
        # the last offset that came, with the log_id of GetLog.
        stream = log.ConsumeStream(log_v1.ConsumeRequest(offset=ack.offset))
        for response in stream:
            record = response.record
            print(f"{record.offset}: {record.value.decode()}")
            if record.offset == batch.next_offset - 1:
                stream.cancel()  # the last one of our own
                break


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--addr", default="http://127.0.0.1:8400", help="the server")
    try:
        run(parser.parse_args().addr.removeprefix("http://"))
    except grpc.RpcError as error:
        print(f"quickstart: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
