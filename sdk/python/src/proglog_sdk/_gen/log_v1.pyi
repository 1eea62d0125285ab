"""Generated from proto/ by tools/protoc_gen_proglog.py. Do not edit."""
from collections.abc import Iterable, Sequence
from typing_extensions import Self

class _Message:
    @classmethod
    def FromString(cls, data: bytes) -> Self: ...
    def SerializeToString(self) -> bytes: ...
    def HasField(self, name: str) -> bool: ...
    def CopyFrom(self, other: Self) -> None: ...

class Duration(_Message):
    seconds: int
    nanos: int
    def __init__(self, *, seconds: int | None = ..., nanos: int | None = ...) -> None: ...

class Timestamp(_Message):
    seconds: int
    nanos: int
    def __init__(self, *, seconds: int | None = ..., nanos: int | None = ...) -> None: ...

class Record(_Message):
    value: bytes
    offset: int
    timestamp: Timestamp
    headers: Sequence[Header]
    def __init__(self, *, value: bytes | None = ..., offset: int | None = ..., timestamp: Timestamp | None = ..., headers: Iterable[Header] | None = ...) -> None: ...

class Header(_Message):
    name: str
    value: bytes
    def __init__(self, *, name: str | None = ..., value: bytes | None = ...) -> None: ...

class Producer(_Message):
    id: str
    epoch: int
    sequence: int
    def __init__(self, *, id: str | None = ..., epoch: int | None = ..., sequence: int | None = ...) -> None: ...

class ProduceRequest(_Message):
    record: Record
    log: str
    records: Sequence[Record]
    expected_offset: int
    producer: Producer
    def __init__(self, *, record: Record | None = ..., log: str | None = ..., records: Iterable[Record] | None = ..., expected_offset: int | None = ..., producer: Producer | None = ...) -> None: ...

class ProduceResponse(_Message):
    offset: int
    next_offset: int
    timestamp: Timestamp
    duplicate: bool
    def __init__(self, *, offset: int | None = ..., next_offset: int | None = ..., timestamp: Timestamp | None = ..., duplicate: bool | None = ...) -> None: ...

class ConsumeRequest(_Message):
    offset: int
    log: str
    log_id: str
    from_time: Timestamp
    from_tail: int
    max_records: int
    until_offset: int
    wait: Duration
    heartbeat: Duration
    def __init__(self, *, offset: int | None = ..., log: str | None = ..., log_id: str | None = ..., from_time: Timestamp | None = ..., from_tail: int | None = ..., max_records: int | None = ..., until_offset: int | None = ..., wait: Duration | None = ..., heartbeat: Duration | None = ...) -> None: ...

class ConsumeResponse(_Message):
    record: Record
    records: Sequence[Record]
    next_offset: int
    def __init__(self, *, record: Record | None = ..., records: Iterable[Record] | None = ..., next_offset: int | None = ...) -> None: ...

class GetLogRequest(_Message):
    log: str
    def __init__(self, *, log: str | None = ...) -> None: ...

class GetLogResponse(_Message):
    info: LogInfo
    limits: Limits
    capabilities: Capabilities
    def __init__(self, *, info: LogInfo | None = ..., limits: Limits | None = ..., capabilities: Capabilities | None = ...) -> None: ...

class LogInfo(_Message):
    log: str
    log_id: str
    first_offset: int
    next_offset: int
    bytes: int
    first_time: Timestamp
    last_time: Timestamp
    retention: Retention
    durability: int
    sealed: bool
    dedup_window: DedupWindow
    def __init__(self, *, log: str | None = ..., log_id: str | None = ..., first_offset: int | None = ..., next_offset: int | None = ..., bytes: int | None = ..., first_time: Timestamp | None = ..., last_time: Timestamp | None = ..., retention: Retention | None = ..., durability: int | None = ..., sealed: bool | None = ..., dedup_window: DedupWindow | None = ...) -> None: ...

class Retention(_Message):
    max_age: Duration
    max_bytes: int
    def __init__(self, *, max_age: Duration | None = ..., max_bytes: int | None = ...) -> None: ...

class DedupWindow(_Message):
    acks: int
    max_age: Duration
    producers: int
    def __init__(self, *, acks: int | None = ..., max_age: Duration | None = ..., producers: int | None = ...) -> None: ...

class Limits(_Message):
    value_bytes: int
    headers: int
    header_bytes: int
    batch_records: int
    batch_bytes: int
    response_bytes: int
    max_records: int
    wait: Duration
    min_heartbeat: Duration
    max_heartbeat: Duration
    producer_id_bytes: int
    page_size: int
    def __init__(self, *, value_bytes: int | None = ..., headers: int | None = ..., header_bytes: int | None = ..., batch_records: int | None = ..., batch_bytes: int | None = ..., response_bytes: int | None = ..., max_records: int | None = ..., wait: Duration | None = ..., min_heartbeat: Duration | None = ..., max_heartbeat: Duration | None = ..., producer_id_bytes: int | None = ..., page_size: int | None = ...) -> None: ...

class Capabilities(_Message):
    expected_offset: bool
    producers: bool
    named_logs: bool
    trim: bool
    seal: bool
    from_time: bool
    def __init__(self, *, expected_offset: bool | None = ..., producers: bool | None = ..., named_logs: bool | None = ..., trim: bool | None = ..., seal: bool | None = ..., from_time: bool | None = ...) -> None: ...

class ListLogsRequest(_Message):
    prefix: str
    page_size: int
    page_token: str
    def __init__(self, *, prefix: str | None = ..., page_size: int | None = ..., page_token: str | None = ...) -> None: ...

class ListLogsResponse(_Message):
    logs: Sequence[LogInfo]
    next_page_token: str
    def __init__(self, *, logs: Iterable[LogInfo] | None = ..., next_page_token: str | None = ...) -> None: ...

class PutLogRequest(_Message):
    log: str
    retention: Retention
    sealed: bool
    def __init__(self, *, log: str | None = ..., retention: Retention | None = ..., sealed: bool | None = ...) -> None: ...

class PutLogResponse(_Message):
    info: LogInfo
    created: bool
    def __init__(self, *, info: LogInfo | None = ..., created: bool | None = ...) -> None: ...

class TrimLogRequest(_Message):
    log: str
    first_offset: int
    def __init__(self, *, log: str | None = ..., first_offset: int | None = ...) -> None: ...

class TrimLogResponse(_Message):
    first_offset: int
    def __init__(self, *, first_offset: int | None = ...) -> None: ...

class DeleteLogRequest(_Message):
    log: str
    def __init__(self, *, log: str | None = ...) -> None: ...

class DeleteLogResponse(_Message):
    def __init__(self) -> None: ...

class ErrorDetail(_Message):
    reason: int
    nothing_appended: bool
    first_offset: int
    next_offset: int
    epoch: int
    sequence: int
    limit: int
    incident: str
    def __init__(self, *, reason: int | None = ..., nothing_appended: bool | None = ..., first_offset: int | None = ..., next_offset: int | None = ..., epoch: int | None = ..., sequence: int | None = ..., limit: int | None = ..., incident: str | None = ...) -> None: ...

DURABILITY_UNSPECIFIED: int
DURABILITY_SYNCED: int
DURABILITY_QUORUM_SYNCED: int
DURABILITY_UNSAFE: int
REASON_UNSPECIFIED: int
REASON_INTERNAL: int
REASON_INVALID_REQUEST: int
REASON_NO_RECORD: int
REASON_TOO_LARGE: int
REASON_INVALID_LOG_NAME: int
REASON_LOG_NOT_FOUND: int
REASON_LOG_CHANGED: int
REASON_LOG_SEALED: int
REASON_NOT_ALLOWED_ON_LOG: int
REASON_OFFSET_TRIMMED: int
REASON_OFFSET_UNWRITTEN: int
REASON_OFFSET_MISMATCH: int
REASON_PRODUCER_FENCED: int
REASON_SEQUENCE_GAP: int
REASON_SEQUENCE_FORGOTTEN: int
REASON_SEQUENCE_REUSED: int
REASON_OVERLOADED: int
REASON_STORAGE_FULL: int
REASON_DRAINING: int
REASON_STORAGE_FAILED: int
REASON_NO_QUORUM: int
REASON_DATA_DAMAGED: int
REASON_UNSUPPORTED: int
REASON_UNAUTHENTICATED: int
REASON_PERMISSION_DENIED: int
REASON_DEADLINE: int
REASON_CANCELED: int
