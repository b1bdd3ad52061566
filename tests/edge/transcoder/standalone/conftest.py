"""The example services, compiled and started, and `python -m edge.transcoder` as a process in front of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.edge.transcoder import probe
from tests.edge.transcoder.standalone import services
from tests.edge.transcoder.standalone.program import Program, running
from tests.edge.transcoder.standalone.services import Bookstore, Library, Messaging, Storage

PROTOS = Path(__file__).parent / "protos"


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The descriptor set of each example service, as a file."""
    found = {}
    for name in ("bookstore", "library", "storage", "messaging"):
        scratch = tmp_path_factory.mktemp(name)
        probe.compiled(PROTOS, f"{name}.proto", scratch)
        found[name] = scratch / "set.binpb"
    return found


@pytest.fixture(scope="session")
async def bookstore(sets: dict[str, Path]) -> AsyncIterator[Program]:
    """The bookstore, by its descriptor set."""
    async with (
        services.serving(sets["bookstore"].read_bytes(), Bookstore) as upstream,
        running("--descriptor-set", str(sets["bookstore"]), "--upstream", upstream, "--verbose") as program,
    ):
        yield program


@pytest.fixture(scope="session")
async def library(sets: dict[str, Path]) -> AsyncIterator[Program]:
    """The library, by the old version of reflection, which is what most servers in Python and Java have."""
    async with (
        services.serving(sets["library"].read_bytes(), Library, reflected_by=[services.v1alpha]) as upstream,
        running("--reflection", "--upstream", upstream, "--access-log") as program,
    ):
        yield program


@pytest.fixture(scope="session")
async def storage(sets: dict[str, Path]) -> AsyncIterator[Program]:
    """The object store, by reflection v1."""
    async with (
        services.serving(sets["storage"].read_bytes(), Storage, reflected_by=[services.v1]) as upstream,
        running("--reflection", "--upstream", upstream) as program,
    ):
        yield program


@pytest.fixture(scope="session")
async def messaging(sets: dict[str, Path]) -> AsyncIterator[Program]:
    """Messaging, by its descriptor set."""
    async with (
        services.serving(sets["messaging"].read_bytes(), Messaging) as upstream,
        running("--descriptor-set", str(sets["messaging"]), "--upstream", upstream) as program,
    ):
        yield program
