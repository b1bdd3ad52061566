"""The demo's events: made up, the same each time, in an order that could have happened; and published once."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mesh import seed_demo
from mesh.demo import Story
from svckit import events
from svckit.events import STREAM, Event
from svckit.local import Home, LocalError
from svckit.local.nats import start_nats

END = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90


def story(*, seed: int = 1) -> list[Event]:
    """Without the traces, which are of this process."""
    days = Story(end=END, days=DAYS, seed=seed).days()
    return [replace(event, traceparent="") for _, happened in days for event in happened]


def test_the_same_seed_tells_the_same_story_and_another_one_another() -> None:
    assert story() == story()
    assert not {event.id for event in story()} & {event.id for event in story(seed=2)}


def test_recurring_revenue_goes_on_where_it_was() -> None:
    mrr: dict[str, int] = {}
    changes = 0
    for event in story():
        if event.subject.startswith("ev.billing.subscription."):
            fact: Any = events.unpack(event)
            assert fact.mrr_before_minor == mrr.get(event.about, 0)
            mrr[event.about] = fact.mrr_after_minor
            changes += 1

    assert changes > 5


def test_nobody_does_anything_before_signing_up() -> None:
    known: set[str] = set()
    for event in story():
        if event.subject == "ev.auth.user.registered":
            known.add(event.about)
        assert event.about in known


async def test_it_is_published_once_unless_it_is_wanted_again(tmp_path: Path) -> None:
    async with Home.opened(tmp_path) as home:
        nats = await start_nats(home, durable=False)
        # Nobody answers there: nothing is waited for.
        given = {"NATS_URL": nats.url, "ANALYTICS_SERVICE_URL": f"127.0.0.1:{home.port('none') - 6000}"}
        said = io.StringIO()
        asked: dict[str, Any] = {"days": 20, "given": given, "folder": tmp_path, "output": said}

        await seed_demo.run(again=False, **asked)
        async with events.connected(nats.url) as bus:
            stored = (await (await bus.jetstream()).stream_info(STREAM)).state.messages
        assert f"{stored:,} events are published" in said.getvalue()
        with pytest.raises(LocalError, match="there already"):
            await seed_demo.run(again=False, **asked)
        await seed_demo.run(again=True, **asked)
        await nats.stop()


async def test_it_refuses_production_and_wants_a_mesh(tmp_path: Path) -> None:
    async def refused(**given: str) -> str:
        with pytest.raises(LocalError) as error:
            await seed_demo.run(days=1, again=False, given=given, folder=tmp_path, output=io.StringIO())
        return str(error.value)

    assert "CHATMESH_ENV=production" in await refused(NATS_URL="nats://127.0.0.1:1", CHATMESH_ENV="production")
    assert "no mesh runs in" in await refused()
