from typing import Any

import grpc
import pytest

from svckit import errors
from svckit.errors import FieldViolation, ServiceError
from svckit.rpc.status import received
from tests.svckit.probe import ProbeServicer, Reply, Request, calling, pb2

LONG = "x" * 201


class Counting(ProbeServicer):
    def __init__(self) -> None:
        self.handled = 0

    async def Unary(self, request: Any, context: Any) -> Any:
        self.handled += 1
        return Reply()

    async def Collect(self, requests: Any, context: Any) -> Any:
        async for _ in requests:
            self.handled += 1
        return Reply()


async def refusal(request: Any) -> ServiceError:
    async with calling(servicer := Counting()) as probe:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.Unary(request)
    assert servicer.handled == 0
    return received(caught.value)


async def test_a_request_that_breaks_a_rule_never_reaches_the_handler() -> None:
    error = await refusal(Request(text=LONG))

    assert isinstance(error, errors.InvalidArgument)
    assert error.message == "text: must be at most 200 characters"
    assert error.violations == (FieldViolation("text", "must be at most 200 characters", "string.max_len"),)


async def test_every_broken_rule_is_named_with_its_path_in_proto_spelling() -> None:
    item = pb2.Item(page_token="too long")
    error = await refusal(Request(text=LONG, items=[pb2.Item(), item], named_items={'a"b': item}))

    assert [violation.field for violation in error.violations] == [
        "text",
        "items[1].page_token",
        'named_items["a\\"b"].page_token',
    ]


async def test_what_a_text_must_be_is_said_in_plain_words() -> None:
    error = await refusal(Request(words=["a", ""], interval="minute"))

    assert error.message == "words[1]: must not be empty; interval: must be one of hour, day"


async def test_a_rule_of_the_whole_message_names_no_field() -> None:
    error = await refusal(Request(text="forbidden"))

    assert error.message == "must not be forbidden"
    assert error.violations == (FieldViolation("", "must not be forbidden", "request.not_forbidden"),)


async def test_each_message_of_a_client_stream_is_checked_when_it_comes() -> None:
    async with calling(servicer := Counting()) as probe:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.Collect(iter([Request(text="fine"), Request(text=LONG)]))

    assert received(caught.value).violations[0].field == "text"
    assert servicer.handled == 1
