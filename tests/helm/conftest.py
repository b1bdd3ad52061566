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
async def renderings() -> Mapping[int, Mapping[str, Sequence[Any]]]:
    """By the version of Kubernetes from which on they are so, and by the name of the set of values: the documents."""
    from tests.helm.charts import (
        VALUES,
        rendered,
        turns,
    )  # here, because without Helm's library it skips who imports it

    found = {}
    for minor in turns():
        async with api_server.serving(minor=minor) as server:
            found[minor] = {name: await rendered(server, values) for name, values in VALUES.items()}
    return found


@pytest.fixture(scope="session")
def documents(renderings: Mapping[int, Mapping[str, Sequence[Any]]]) -> Mapping[str, Sequence[Any]]:
    """By the name of the set of values: what it comes to on a recent Kubernetes."""
    return renderings[max(renderings)]
