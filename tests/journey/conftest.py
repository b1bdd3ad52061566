"""One whole mesh for all tests here, local model included."""

from collections.abc import AsyncIterator

import pytest

from tests.journey.running import Mesh, running


@pytest.fixture(scope="session")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mesh]:
    async with running(tmp_path_factory.mktemp("whole mesh")) as started:
        yield started
