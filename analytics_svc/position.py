"""How far the stream was counted: a record in JetStream's key-value store, changed only by compare-and-set.

The record is the truth, no consumer of the server's is. It says what is done and what is about to be inserted; whoever
finds an insert that was begun completes it under the same batch name (see completing.py).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from svckit.events import STREAM

_BUCKET = "analytics"
_KEY = STREAM


class Fenced(Exception):
    """Another instance counts the stream: it changed the record after we read it."""


@dataclass(frozen=True, slots=True)
class Record:
    """All up to `done` is counted; `first` to `last` is being inserted when `last` is more than `done`.

    `stream` tells a stream from its successor of the same name, whose numbers begin again; `owner` wrote this. `blocks`
    is the newest block of each table before that insert; None: a version wrote this that did not know.
    """

    stream: str
    owner: str
    done: int = 0
    first: int = 0
    last: int = 0
    blocks: Mapping[str, int] | None = None


class Position:
    """The record, as one instance sees it and moves it on. Every change raises Fenced if another instance made one."""

    def __init__(self, store: KeyValue, record: Record, revision: int) -> None:
        self._store = store
        self._record = record
        self._revision = revision

    @property
    def done(self) -> int:
        return self._record.done

    @property
    def begun(self) -> tuple[int, int] | None:
        """First and last of the insert that was begun and not finished."""
        return (self._record.first, self._record.last) if self._record.last > self._record.done else None

    @property
    def batch(self) -> str:
        """The name of the insert that was begun: the same for every instance that tries it."""
        return f"{self.batches}{self._record.first}-{self._record.last}"

    @property
    def batches(self) -> str:
        """How the names of all inserts from this stream begin, and from no other one of its name."""
        return f"{STREAM}@{self._record.stream}:"

    @property
    def blocks(self) -> Mapping[str, int] | None:
        """The newest block of each table before what was begun; None when that is not known."""
        return self._record.blocks

    async def begin(self, last: int, *, blocks: Mapping[str, int]) -> None:
        """Announce that all after `done` up to `last` is about to be inserted into tables that have those blocks."""
        await self._change(replace(self._record, first=self._record.done + 1, last=last, blocks=blocks))

    async def finish(self) -> None:
        """Note that what was begun is inserted."""
        await self._change(replace(self._record, done=self._record.last))

    async def _change(self, record: Record) -> None:
        value = json.dumps(asdict(record)).encode()
        try:
            self._revision = await self._store.update(_KEY, value, last=self._revision)
        except KeyWrongLastSequenceError as error:
            if not await self._is_ours(value):
                raise Fenced from error
        self._record = record

    async def _is_ours(self, value: bytes) -> bool:
        """Whether the change was made after all, and only its acknowledgement got lost."""
        entry = await self._store.get(_KEY)
        self._revision = entry.revision or 0
        return entry.value == value


async def load(jetstream: JetStreamContext, *, owner: str) -> Position:
    """The position in the stream as it is now; the start of it if the stream is a new one."""
    info = await jetstream.stream_info(STREAM)
    store = await made_bucket(jetstream)
    stream = format(info.created.timestamp(), ".0f") if info.created else ""
    record, revision = await _read(store)
    if record is None or record.stream != stream:
        return Position(store, Record(stream, owner), revision)
    return Position(store, replace(record, owner=owner), revision)


async def bucket(jetstream: JetStreamContext) -> KeyValue:
    """Where the record is. Raises BucketNotFoundError before the first one."""
    return await jetstream.key_value(_BUCKET)


async def revision(jetstream: JetStreamContext) -> int:
    """A number that changes whenever any instance makes progress."""
    return (await _read(await bucket(jetstream)))[1]


async def waiting(jetstream: JetStreamContext) -> int:
    """How many events of the stream are not counted; a few too many where the stream has lost some."""
    position = await load(jetstream, owner="")
    state = (await jetstream.stream_info(STREAM)).state
    return max(state.last_seq - max(position.done, state.first_seq - 1), 0)


async def oldest_waiting(jetstream: JetStreamContext) -> datetime | None:
    """When the oldest event that is not counted came into the stream; None when all are counted."""
    position = await load(jetstream, owner="")
    try:
        message = await jetstream.get_msg(STREAM, seq=position.done + 1, next=True, subject="ev.>")
    except NotFoundError:
        return None
    return message.time


async def made_bucket(jetstream: JetStreamContext) -> KeyValue:
    """Where the record is, or will be, on as many servers as the stream is."""
    try:
        return await bucket(jetstream)
    except BucketNotFoundError:
        info = await jetstream.stream_info(STREAM)
        return await jetstream.create_key_value(KeyValueConfig(bucket=_BUCKET, replicas=info.config.num_replicas or 1))


async def _read(store: KeyValue) -> tuple[Record | None, int]:
    try:
        entry = await store.get(_KEY)
    except KeyNotFoundError:
        return None, 0
    return Record(**json.loads(entry.value or b"{}")), entry.revision or 0
