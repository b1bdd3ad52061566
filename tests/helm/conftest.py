"""A cluster for each test, and the sets of values, rendered once."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from tests.helm import api_server
from tests.helm.api_server import ApiServer


@pytest.fixture
async def cluster() -> AsyncIterator[ApiServer]:
    """Where Helm installs."""
    async with api_server.serving(minor=36) as server:
        yield server


@pytest.fixture(scope="session")
async def documents() -> Mapping[str, Sequence[Any]]:
    """By the name of the set of values: what it comes to on a recent Kubernetes."""
    from tests.helm.charts import VALUES, rendered  # here, because without Helm's library it skips who imports it

    async with api_server.serving(minor=36) as server:
        return {name: await rendered(server, values) for name, values in VALUES.items()}
