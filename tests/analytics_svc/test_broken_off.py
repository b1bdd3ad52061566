"""An insert that broke off is completed, whatever the engine noted of it; one that comes too late changes nothing."""

import random
import re
import shutil
import signal
from collections.abc import Collection
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from svckit import events
from svckit.events import STREAM, Bus
from svckit.local import Supervised
from tests.analytics_svc import added_up, consumer_alone, facts
from tests.analytics_svc.analyst import eventually, publish_all
from tests.analytics_svc.held import held
from tests.analytics_svc.test_counting import all_counted, overwrite
from tests.analytics_svc.test_crashes import asked, stand_in, traffic
from tests.killable import import_ahead, running

import_ahead(consumer_alone)

FED_BY_MESSAGES = {"active_15m", "chat_15m", "user_usage_15m", "user_lifecycle", "conversations"}
NOT_FED_BY_MESSAGES = {"users_15m", "model_15m", "revenue_15m", "mrr_changes", "subscription_state"}
SOME = {"events", "conversations", "user_usage_15m", "users_15m"}


async def test_what_was_lost_is_put_back_and_what_was_stored_is_not_stored_twice(
    broker: Supervised, tmp_path: Path
) -> None:
    # A kill between the engine's note of a token and the rows, table by table: its folder as that leaves it.
    happened = traffic(random.Random(52), count=600)
    happened += [facts.message(f"2022-06-{day:02}T12:00", user="late") for day in range(1, 20)]
    earlier = facts.message("2022-05-01T12:00")
    engine = tmp_path / "clickhouse"
    async with events.connected(broker.url) as bus:
        jetstream = await bus.jetstream()
        await publish_all(bus, [earlier])
        await counted(engine, broker, bus)
        before = newest_blocks(engine)
        await publish_all(bus, happened)
        await announce(jetstream, len(happened), blocks=before)
        await counted(engine, broker, bus)
        # Some of them twice: what was put back may be lost as well.
        for lost in (SOME, {"events", *FED_BY_MESSAGES, *NOT_FED_BY_MESSAGES}):
            lose(engine, lost, before)
            await announce(jetstream, len(happened), blocks=before)
            await counted(engine, broker, bus)
        # And an engine that stores the rows first and notes the token afterwards.
        forget_tokens(engine)
        await announce(jetstream, len(happened), blocks=before)
        await counted(engine, broker, bus)

    async with stand_in(engine, log=tmp_path / "log") as url, asked(url) as warehouse:
        assert await added_up.by_views(warehouse) == added_up.in_python([earlier, *happened])
        assert await warehouse.query("SELECT uniqExact(event_id) = count() FROM events") == [(1,)]
        assert await warehouse.query("SELECT name FROM system.tables WHERE name LIKE 'batch_again%'") == []


@pytest.mark.slow
async def test_an_insert_that_arrives_when_another_instance_has_gone_on_changes_nothing(
    broker: Supervised, tmp_path: Path
) -> None:
    happened = traffic(random.Random(53), count=900)
    async with (
        stand_in(tmp_path / "clickhouse", log=tmp_path / "log") as url,
        asked(url) as warehouse,
        events.connected(broker.url) as bus,
        held(url) as way,
        running(consumer_alone.run, way.url, broker.url) as one,
    ):
        jetstream = await bus.jetstream()
        await publish_all(bus, happened[:300])
        await way.sent.wait()
        one.signal(signal.SIGSTOP)
        async with running(consumer_alone.run, url, broker.url):
            await eventually(lambda: all_counted(jetstream), True)
            await publish_all(bus, happened[300:600])
            await eventually(lambda: all_counted(jetstream), True)
            one.signal(signal.SIGCONT)
            way.let_go.set()
            await way.answered.wait()
            assert await added_up.by_views(warehouse) == added_up.in_python(happened[:600])
        # The first one has stood by, and takes over once the other is silent.
        await publish_all(bus, happened[600:])
        await eventually(lambda: all_counted(jetstream), True)

        assert await added_up.by_views(warehouse) == added_up.in_python(happened)


async def counted(engine: Path, broker: Supervised, bus: Bus) -> None:
    """Have a consumer count all that is in the stream, and kill it."""
    async with running(consumer_alone.run, f"chdb://{engine}", broker.url):
        jetstream = await bus.jetstream()
        await eventually(lambda: all_counted(jetstream), True)


async def announce(jetstream: JetStreamContext, count: int, *, blocks: dict[str, int]) -> None:
    """Have the last events of the stream begun and not finished."""
    last = (await jetstream.stream_info(STREAM)).state.last_seq
    await overwrite(jetstream, done=last - count, first=last - count + 1, last=last, blocks=blocks)


def newest_blocks(engine: Path) -> dict[str, int]:
    tables = [folder.name for folder in (engine / "data" / "default").iterdir()]
    return {table: max((newest(part) for part in parts(engine, table)), default=0) for table in tables}


def lose(engine: Path, tables: Collection[str], before: dict[str, int]) -> None:
    """Take what came after those blocks, where it was not merged with what came before, and leave the tokens."""
    for table in tables:
        lost = [part for part in parts(engine, table) if oldest(part) > before[table]]
        assert lost or table not in NOT_FED_BY_MESSAGES
        for part in lost:
            shutil.rmtree(part)


def forget_tokens(engine: Path) -> None:
    for notes in (engine / "data" / "default").glob("*/deduplication_logs/*"):
        notes.write_bytes(b"")


def parts(engine: Path, table: str) -> list[Path]:
    """The folders of what was stored at once, named by partition, oldest and newest block, and how often merged."""
    found = (engine / "data" / "default" / table).iterdir()
    return [path for path in found if re.fullmatch(r"\w+_\d+_\d+_\d+", path.name) and "tmp" not in path.name]


def oldest(part: Path) -> int:
    return int(part.name.split("_")[1])


def newest(part: Path) -> int:
    return int(part.name.split("_")[2])
