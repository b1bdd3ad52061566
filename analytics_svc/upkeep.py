"""What is done to the tables beside counting: a rebuild when one is asked for; every night, forgetting and an audit.

A view that a script has made while there were events lacks those, and is filled in the same way as views are rebuilt.
Work goes in steps, each between two batches, by the instance that counts. What is asked for stands in JetStream's
key-value store beside the position and is changed by compare-and-set: an instance that was overtaken notices before its
next step, and what broke off is begun again.
"""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import structlog
from clickhouse_connect.driver.exceptions import DatabaseError
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from analytics_svc import forgetting, position, rebuilding, schema
from analytics_svc.auditing import audit
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.nightly import Nightly
from analytics_svc.position import Fenced, Position
from svckit.errors import FailedPrecondition, ResourceExhausted

TASKS = ("rebuild", "audit", "forget")
_FILL = "fill"
WANTED, RUNNING, DONE, FAILED = "wanted", "running", "done", "failed"

_TASK, _FORGETTING = "task", "forgetting"
_LOOK_SECONDS = 1
_FORGOTTEN_AT_ONCE = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """What was asked for last: a name of TASKS, how far it is, and what was said of it.

    `day` is when the work of the last night began, in ISO format; a date alone is from an older version.
    """

    name: str = "audit"
    state: str = DONE
    said: str = ""
    day: str = ""

    @property
    def open(self) -> bool:
        return self.state in (WANTED, RUNNING)

    @property
    def last_night(self) -> datetime:
        begun = datetime.fromisoformat(self.day or "1970-01-01")
        return begun if begun.tzinfo else begun.replace(tzinfo=UTC)


class Upkeep:
    """One instance's part in it, while it counts."""

    def __init__(self, clickhouse: ClickHouse, *, nightly: Nightly, cluster: str = "") -> None:
        self._clickhouse = clickhouse
        self._nightly = nightly
        self._cluster = cluster
        self._looked_for_unfilled = False
        self._work: AsyncIterator[None] | None = None
        self._looked = 0.0

    def begin_anew(self) -> None:
        """Drop what was being done: another instance may have done more of it."""
        self._work = None
        self._looked_for_unfilled = False

    async def step(self, jetstream: JetStreamContext, at: Position) -> bool:
        """Do a little; whether there is more. All up to `at` is counted. Raises Fenced when overtaken."""
        if self._work is None:
            if time.monotonic() < self._looked + _LOOK_SECONDS:
                return False
            self._looked = time.monotonic()
            store = await position.bucket(jetstream)
            self._work = self._next(store, *await read(store), at)
        try:
            await anext(self._work)
        except StopAsyncIteration:
            self._work = None
        return self._work is not None

    async def _next(self, store: KeyValue, task: Task, revision: int, at: Position) -> AsyncIterator[None]:
        """What is to be done now, if anything is."""
        now = datetime.now(UTC)
        if task.open:
            pass
        elif await self._is_unfilled():
            task = Task(_FILL, WANTED, "", task.day)
        elif self._nightly.next_after(task.last_night) <= now:
            task = Task("audit", WANTED, "", now.isoformat())
        else:
            return
        async for _ in self._do(store, task, revision, at):
            yield

    async def _is_unfilled(self) -> bool:
        """Looked for once: whoever applies another script starts instances after it."""
        if self._looked_for_unfilled:
            return False
        self._looked_for_unfilled = True
        return bool(await schema.unfilled(self._clickhouse))

    async def _do(self, store: KeyValue, task: Task, revision: int, at: Position) -> AsyncIterator[None]:
        revision = await change(store, replace(task, state=RUNNING), revision)
        log.info("upkeep begins", task=task.name)
        said = ""
        try:
            async for said in self._steps(store, task.name, revision, at):
                revision = await change(store, replace(task, state=RUNNING, said=said), revision)
                yield
        except (FailedPrecondition, ResourceExhausted, DatabaseError) as error:
            log.error("upkeep failed", task=task.name, error=str(error))
            await rebuilding.remove_shadows(self._clickhouse, cluster=self._cluster)
            await change(store, replace(task, state=FAILED, said=str(error)), revision)
        else:
            log.info("upkeep ends", task=task.name, said=said)
            await change(store, replace(task, state=DONE, said=said), revision)

    async def _steps(self, store: KeyValue, name: str, number: int, at: Position) -> AsyncIterator[str]:
        if name in ("rebuild", _FILL):
            async for said in self._rebuild(number, at, all_views=name != _FILL):
                yield said
            return
        async for said in self._forget(store):
            yield said
        if name == "audit":
            async for said in audit(self._clickhouse):
                yield said

    async def _rebuild(self, number: int, at: Position, *, all_views: bool) -> AsyncIterator[str]:
        """All views, or those that lack older events."""
        unfilled = await schema.unfilled(self._clickhouse)
        only = None if all_views else {str(view) for view, _ in unfilled}
        async for said in rebuilding.rebuild(self._clickhouse, number=number, at=at, cluster=self._cluster, only=only):
            yield said
        await schema.note_filled(self._clickhouse, unfilled)

    async def _forget(self, store: KeyValue) -> AsyncIterator[str]:
        """Some at a time, each time the same ones until it is done: their ids stand in the store meanwhile."""
        total = 0
        while True:
            ids, revision = await _being_forgotten(store)
            if not ids:
                ids = await forgetting.to_forget(self._clickhouse, most=_FORGOTTEN_AT_ONCE)
                if not ids:
                    return
                revision = await store.put(_FORGETTING, json.dumps(ids).encode())
            await forgetting.forget(self._clickhouse, ids, token=f"forget:{revision}")
            await store.purge(_FORGETTING)
            total += len(ids)
            yield f"{total} deleted users are forgotten"


async def read(store: KeyValue) -> tuple[Task, int]:
    """What was asked for last, and the number of that version."""
    try:
        entry = await store.get(_TASK)
    except KeyNotFoundError:
        return Task(), 0
    return Task(**json.loads(entry.value or b"{}")), entry.revision or 0


async def change(store: KeyValue, task: Task, revision: int) -> int:
    """The number of the new version. Raises Fenced if another one was made since that revision."""
    try:
        return await store.update(_TASK, json.dumps(asdict(task)).encode(), last=revision)
    except KeyWrongLastSequenceError as error:
        raise Fenced from error


async def _being_forgotten(store: KeyValue) -> tuple[list[str], int]:
    try:
        entry = await store.get(_FORGETTING)
    except KeyNotFoundError:
        return [], 0
    return json.loads(entry.value or b"[]"), entry.revision or 0
