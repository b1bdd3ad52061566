"""NATS as a cluster of three servers."""

import dataclasses
import json
import os
from collections.abc import AsyncIterator, Mapping

import pytest

from svckit import events
from svckit.errors import Unavailable
from svckit.events import Bus, Event
from svckit.local import Home, Program, Supervised, probes
from svckit.local.nats import find_nats
from svckit.local.ports import LOOPBACK
from tests.waiting import until

NAMES = ("one", "two", "three")


def _server(name: str, home: Home, routes: Mapping[str, int]) -> Supervised:
    port, monitor = (home.port(f"{name}-{use}") for use in ("nats", "monitor"))
    settings = {
        "server_name": name,
        "listen": f"{LOOPBACK}:{port}",
        "http": f"{LOOPBACK}:{monitor}",
        "jetstream": {"store_dir": str(home.folder(name))},
        "cluster": {
            "name": "three",
            "listen": f"{LOOPBACK}:{routes[name]}",
            "routes": [f"nats-route://{LOOPBACK}:{route}" for route in routes.values()],
        },
    }
    config = home.folder("run") / f"{name}.conf"
    config.write_text(json.dumps(settings))
    return Supervised(
        Program(name=name, command=(str(find_nats()), "-c", str(config)), environment={"PATH": os.defpath}),
        home=home,
        url=f"nats://{LOOPBACK}:{port}",
        ready=probes.answers(f"http://{LOOPBACK}:{monitor}/varz"),
    )


@pytest.fixture
async def servers(home: Home) -> AsyncIterator[Mapping[str, Supervised]]:
    """Three servers that know one another, by their names."""
    routes = {name: home.port(f"{name}-route") for name in NAMES}
    started = {name: _server(name, home, routes) for name in NAMES}
    try:
        for server in started.values():
            await server.start()
        yield started
    finally:
        for server in started.values():
            await server.kill()


async def _stored(bus: Bus, event: Event) -> bool:
    try:
        await bus.publish(event)
    except Unavailable:
        return False
    return True


async def test_events_outlive_the_loss_of_one_server_of_three(servers: Mapping[str, Supervised], sent: Event) -> None:
    async with events.connected(",".join(server.url for server in servers.values()), replicas=3) as bus:
        await until(lambda: _stored(bus, sent))
        stream = await (await bus.jetstream()).stream_info(events.STREAM)
        assert stream.cluster is not None
        await servers[stream.cluster.leader or ""].kill()

        await until(lambda: _stored(bus, dataclasses.replace(sent, id="after")))

        kept = await (await bus.jetstream()).stream_info(events.STREAM)
        assert (stream.config.num_replicas, kept.state.messages) == (3, 2)
