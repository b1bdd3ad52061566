"""The probe service and the transcoder before it, started once a session."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import settings

from edge.transcoder import GrpcUpstream, Transcoder
from tests.edge.transcoder import probe
from tests.edge.transcoder.probe import Edge, Messages

# The same examples in every run: looking for new ones is what `make fuzz` does.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def descriptors(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return probe.compiled(probe.PROTOS, "probe/v1/probe.proto", tmp_path_factory.mktemp("probe"))


@pytest.fixture(scope="session")
def messages(descriptors: bytes) -> Messages:
    return Messages(descriptors)


@pytest.fixture(scope="session")
async def edge(descriptors: bytes) -> AsyncIterator[Edge]:
    async with probe.serving(descriptors) as serving:
        yield serving


@pytest.fixture
def compile_proto(tmp_path: Path) -> Callable[[str], bytes]:
    """Compile the text of a .proto file, without its header, to a descriptor set."""

    def compile_text(text: str) -> bytes:
        header = 'syntax = "proto3";\npackage t;\nimport "google/api/annotations.proto";\n'
        header += 'import "google/api/httpbody.proto";\n'
        header += 'import "google/protobuf/timestamp.proto";\nimport "google/protobuf/wrappers.proto";\n'
        (tmp_path / "t.proto").write_text(header + text)
        return probe.compiled(tmp_path, "t.proto", tmp_path)

    return compile_text


@pytest.fixture(scope="session")
def transcoder(descriptors: bytes) -> Transcoder:
    """A transcoder without services behind it."""
    return Transcoder(descriptors, GrpcUpstream({}))
