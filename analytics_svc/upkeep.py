"""What is done to the tables beside counting: a rebuild when one is asked for; every night, forgetting and an audit.

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

from analytics_svc import forgetting, position, rebuilding
from analytics_svc.auditing import audit
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.position import Fenced
from svckit.errors import FailedPrecondition, ResourceExhausted

TASKS = ("rebuild", "audit", "forget")
WANTED, RUNNING, DONE, FAILED = "wanted", "running", "done", "failed"

_TASK, _FORGETTING = "task", "forgetting"
_LOOK_SECONDS = 1
# In UTC: when most people sleep.
_NIGHT_HOUR = 3
_FORGOTTEN_AT_ONCE = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """What was asked for last: a name of TASKS, how far it is, and what was said of it. `day` is of the last night."""

    name: str = "audit"
    state: str = DONE
    said: str = ""
    day: str = ""

    @property
    def open(self) -> bool:
        return self.state in (WANTED, RUNNING)


class Upkeep:
    """One instance's part in it, while it counts."""

    def __init__(self, clickhouse: ClickHouse, *, cluster: str = "") -> None:
        self._clickhouse = clickhouse
        self._cluster = cluster
        self._work: AsyncIterator[None] | None = None
        self._looked = 0.0

    def begin_anew(self) -> None:
        """Drop what was being done: another instance may have done more of it."""
        self._work = None

    async def step(self, jetstream: JetStreamContext, *, done: int) -> bool:
        """Do a little; whether there is more. All up to `done` is counted. Raises Fenced when overtaken."""
        if self._work is None:
            if time.monotonic() < self._looked + _LOOK_SECONDS:
                return False
            self._looked = time.monotonic()
            store = await position.bucket(jetstream)
            self._work = self._next(store, *await read(store), done)
        try:
            await anext(self._work)
        except StopAsyncIteration:
            self._work = None
        return self._work is not None

    async def _next(self, store: KeyValue, task: Task, revision: int, done: int) -> AsyncIterator[None]:
        """What is to be done now, if anything is."""
        if not task.open:
            today = datetime.now(UTC)
            if today.hour < _NIGHT_HOUR or task.day >= today.date().isoformat():
                return
            task = Task("audit", WANTED, "", today.date().isoformat())
        async for _ in self._do(store, task, revision, done):
            yield

    async def _do(self, store: KeyValue, task: Task, revision: int, done: int) -> AsyncIterator[None]:
        revision = await change(store, replace(task, state=RUNNING), revision)
        log.info("upkeep begins", task=task.name)
        said = ""
        try:
            async for said in self._steps(store, task.name, revision, done):
                revision = await change(store, replace(task, state=RUNNING, said=said), revision)
                yield
        except (FailedPrecondition, ResourceExhausted, DatabaseError) as error:
            log.error("upkeep failed", task=task.name, error=str(error))
            await rebuilding.remove_shadows(self._clickhouse, cluster=self._cluster)
            await change(store, replace(task, state=FAILED, said=str(error)), revision)
        else:
            log.info("upkeep ends", task=task.name, said=said)
            await change(store, replace(task, state=DONE, said=said), revision)

    async def _steps(self, store: KeyValue, name: str, number: int, done: int) -> AsyncIterator[str]:
        if name == "rebuild":
            async for said in rebuilding.rebuild(self._clickhouse, number=number, done=done, cluster=self._cluster):
                yield said
            return
        async for said in self._forget(store):
            yield said
        if name == "audit":
            async for said in audit(self._clickhouse):
                yield said

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
