"""What holds unless an argument says otherwise. Times are in seconds, sizes in bytes."""

from __future__ import annotations

from typing import Final

DEFAULT_BATCH_RECORDS: Final = 500
"""The most records of a producer's batch. Larger batches gain next to nothing."""

DEFAULT_BATCH_BYTES: Final = 256 << 10
"""The most bytes of a producer's batch of two records or more."""

DEFAULT_IN_FLIGHT_BATCHES: Final = 8
"""How many batches a producer sends before the first of them is acknowledged."""

DEFAULT_IN_FLIGHT_BYTES: Final = 8 << 20
"""How much a producer holds that is not acknowledged, sent or waiting."""

DEFAULT_GIVE_UP_AFTER: Final = 60.0
"""How long a producer tries to go on without success."""

DEFAULT_READ_RECORDS: Final = 1000
"""The most records of one response, and of one batch that is read."""

DEFAULT_HEARTBEAT: Final = 15.0
"""How often a follower at the tail wants to hear something."""

DEFAULT_ATTEMPTS: Final = 5
"""How often a single call is tried in all."""

DEFAULT_MIN_DELAY: Final = 0.05
"""Bounds the first pause between tries."""

DEFAULT_MAX_DELAY: Final = 5.0
"""Bounds every pause between tries."""

MAX_RETRY_DELAY: Final = 24 * 3600.0
"""The longest pause that a retry policy may name."""

# What is not for users to change.

DEDUP_ACKS: Final = 256
"""How many of a producer's acknowledgements every server remembers. More than that in
flight could not be sent again."""

MAX_PRODUCER_ID: Final = 64
"""The most bytes of a producer's id."""

RECORD_OVERHEAD: Final = 32
"""What a record weighs in flight beyond its own bytes, so that a flood of empty records
has an end too."""

SHARED_BATCHES: Final = 4
"""How many requests are in flight over a stream that calls share. Few of them make large
batches out of many callers."""

SHARED_BYTES: Final = 64 << 20
"""How much waits, or is in flight, over such a stream."""

SHARED_IDLE: Final = 30.0
"""How long a stream that nobody uses stays open."""

SHARED_PATIENCE: Final = 10.0
"""How long calls wait for a server that answered before to come back, as it does from a
restart."""

ASK_PATIENCE: Final = 10.0
"""How long a producer or a read that begins waits for one answer about the log. A producer goes
by the usual bounds then; a read asks again, over another connection."""

ABORT_PATIENCE: Final = 1.0
"""How long an abort waits for a thread that is in the caller's own code, such as the function
that gives tokens, before it goes on without it."""

CURSOR_BYTES: Final = 64 << 10
"""What the log of a cursor keeps: some hundred places."""

MAX_RESPONSE_BYTES: Final = 17 << 20
"""The largest response that is read: the highest that a server's limit of a value can be,
its headers and the encoding."""
