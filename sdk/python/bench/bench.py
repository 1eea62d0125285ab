"""The Python program of the bench, which measures each SDK beside the stock clients of its
language. It is asked on its input, a line of JSON each, and answers on its output; `make bench`
starts it.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import clients
from asked import Ask

# Packages whose versions are told where they are installed.
PACKAGES = ("protobuf", "grpcio", "connectrpc", "pyqwest")


def run(ask: Ask) -> dict[str, float]:
    """Do what is asked, by a client of its own. What it moves is counted and checked."""
    client = clients.CLIENTS[ask.client](ask)
    try:
        client.warm()
        gc.collect()  # nobody pays for what another left behind
        cpu, began = time.process_time(), time.perf_counter()
        records, size = getattr(client, ask.path)()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    finally:
        client.close()
    if (records, size) != (ask.count, ask.count * ask.value):
        raise RuntimeError(f"{records} records of {size} bytes together came")
    return {"records": records, "seconds": seconds, "cpu": cpu}


def versions() -> dict[str, str]:
    """The versions of whatever matters, by name."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def say(what: dict[str, Any]) -> None:
    """Write a line."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Answer until the input ends."""
    say({"ready": True, "versions": versions(), "clients": list(clients.CLIENTS)})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            say(run(Ask(**asked)))
        except Exception as error:  # whatever it is, the bench is told
            say({"error": f"{asked.get('client')}, {asked.get('path')}: {error!r}"})


if __name__ == "__main__":
    main()
