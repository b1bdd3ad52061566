"""One RPC, three ways to call it: a stub, any gRPC client by reflection, and REST give the same."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf import json_format

from tests.edge.transcoder.probe import Messages
from tests.edge.transcoder.standalone.program import Program
from tests.edge.transcoder.standalone.services import LIBRARY

BUF = Path(sys.executable).parent / "buf"
BOOK = {"name": "shelves/same/books/1", "author": "Austen", "title": "Emma"}


async def by_buf(upstream: str, rpc: str, request: Any) -> Any:
    """The answer that `buf curl` prints; it knows the service by reflection alone."""
    process = await asyncio.create_subprocess_exec(
        BUF,
        *("curl", "--http2-prior-knowledge", "--protocol", "grpc", "--data", json.dumps(request)),
        f"http://{upstream}/{LIBRARY}/{rpc}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def by_stub(upstream: str, messages: Messages, rpc: str, request: Any) -> Any:
    method = messages.pool.FindServiceByName(LIBRARY).FindMethodByName(rpc)
    message = json_format.ParseDict(request, messages[method.input_type.full_name]())
    async with grpc.aio.insecure_channel(upstream) as channel:
        call = channel.unary_unary(
            f"/{LIBRARY}/{rpc}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=messages[method.output_type.full_name].FromString,
        )
        return json_format.MessageToDict(await call(message))


@pytest.mark.parametrize(
    ("rpc", "request_", "method", "path", "body"),
    [
        ("GetBook", {"name": BOOK["name"]}, "GET", "/v1/shelves/same/books/1", None),
        ("ListBooks", {"parent": "shelves/same", "pageSize": 5}, "GET", "/v1/shelves/same/books?page_size=5", None),
        (
            "UpdateBook",
            {"book": {"name": BOOK["name"], "read": True}, "updateMask": "read"},
            "PATCH",
            "/v1/shelves/same/books/1",
            {"read": True},
        ),
    ],
)
async def test_an_rpc_gives_the_same_whichever_way_it_is_called(
    library: Program, sets: dict[str, Path], rpc: str, request_: Any, method: str, path: str, body: Any
) -> None:
    await library("POST", "/v1/shelves", {"name": "shelves/same"})
    await library("POST", "/v1/shelves/same/books", BOOK)

    answers = [
        await by_buf(library.upstream, rpc, request_),
        await by_stub(library.upstream, Messages(sets["library"].read_bytes()), rpc, request_),
        await library.json(method, path, body),
    ]

    assert answers[0] == answers[1] == answers[2] != {}
