"""A data folder for each test, with a name that has a space and letters beyond ASCII."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svckit import local


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data folder ñ"


@pytest.fixture
async def home(folder: Path) -> AsyncIterator[local.Home]:
    async with local.Home.opened(folder) as home:
        yield home
