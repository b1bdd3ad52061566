"""OpenAI's chat completions, by their own SDK pointed at the edge."""

import asyncio
import base64
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, cast

import openai
import psycopg
import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.journal import RequestRecord
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply, ToolCall
from llmock.testing import LLMockServer
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import (
    ChatCompletionChunk,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)

import edge.app
from edge.settings import EdgeSettings
from svckit.ids import new_id
from svckit.local import Engines
from tests.callers import refusal, signed_in
from tests.chat_svc.conftest import Replica
from tests.chat_svc.pictures import PNG
from tests.chat_svc.user import User, reached
from tests.waiting import until

MODELS = ["gpt-4.1-mini", "claude-haiku-4-5", "gemini-3.8-flash"]
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
GOOD: dict[str, Any] = {"model": "gpt-4.1-mini", "messages": HELLO}
LONG = "word " * 500
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
async def edge_url(one: Replica, engines: Engines, auth_address: str) -> AsyncIterator[str]:
    given = {
        "edge_port": 0,
        "redis_url": engines.redis_url,
        "rate_limit_per_minute": 20,
        "auth_service_url": auth_address,
        "chat_service_url": one.address,
        "billing_service_url": "127.0.0.1:1",
        "analytics_service_url": "127.0.0.1:1",
    }
    async with edge.app.serving(EdgeSettings.model_validate(given)) as serving:
        yield serving.url


@pytest.fixture
async def client(edge_url: str, user: User) -> AsyncIterator[AsyncOpenAI]:
    """The SDK of the user, whose access token is the key; it tries nothing again."""
    token = signed_in(user.id)[0][1].removeprefix("Bearer ")
    async with AsyncOpenAI(base_url=f"{edge_url}/v1", api_key=token, max_retries=0) as made:
        yield made


async def chunks(client: AsyncOpenAI, **more: Any) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(messages=HELLO, stream=True, **more)
    return [chunk async for chunk in stream]


async def journal(provider: LLMock) -> RequestRecord:
    """What the provider was asked last."""
    return await asyncio.to_thread(lambda: provider.last_request)


@pytest.mark.parametrize("model", MODELS)
async def test_an_answer_comes_whole_or_in_chunks_with_what_it_used(
    client: AsyncOpenAI, user: User, provider: LLMock, model: str
) -> None:
    provider.reply("one two three", times=2)

    whole = await client.chat.completions.create(model=model, messages=HELLO)
    streamed = await chunks(client, model=model, stream_options={"include_usage": True})

    assert (whole.model, whole.choices[0].finish_reason, whole.choices[0].message.content) == (
        model,
        "stop",
        "one two three",
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices) == "one two three"
    assert streamed[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in streamed if chunk.choices][-1] == "stop"
    assert {chunk.id for chunk in streamed} == {streamed[0].id} != {whole.id}
    assert whole.usage is not None
    assert streamed[-1].usage == whole.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
    assert not (await user.conversations()).conversations


@pytest.mark.parametrize("model", MODELS)
async def test_tools_go_all_the_way_and_their_results_come_back(
    client: AsyncOpenAI, provider: LLMock, model: str
) -> None:
    provider.add(Reply(tool_calls=(ToolCall("get_weather", {"city": "Paris"}),), times=2)).reply("rain")
    streamed = await chunks(client, model=model, tools=[WEATHER])
    pieces = [call for chunk in streamed if chunk.choices for call in chunk.choices[0].delta.tool_calls or ()]

    asked = await client.chat.completions.create(model=model, messages=HELLO, tools=[WEATHER], tool_choice="required")
    (call,) = cast("list[object]", asked.choices[0].message.tool_calls)
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    answered = await client.chat.completions.create(
        model=model,
        tools=[WEATHER],
        messages=[
            {"role": "developer", "content": "Be brief."},
            *HELLO,
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "it rains cats"},
            {"role": "user", "content": "and now?"},
        ],
    )

    assert asked.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("get_weather", '{"city":"Paris"}')
    assert "".join(piece.function.arguments or "" for piece in pieces if piece.function).replace(" ", "") == (
        '{"city":"Paris"}'
    )
    assert answered.choices[0].message.content == "rain"
    said = repr((await journal(provider)).body)
    wanted = ["Be brief.", "it rains cats", "and now?"]
    assert [said.count(words) for words in wanted] == [1, 1, 1]
    assert said.count("get_weather") >= 2


@pytest.mark.parametrize("model", MODELS)
async def test_images_reach_the_model(client: AsyncOpenAI, provider: LLMock, model: str) -> None:
    encoded = base64.b64encode(PNG).decode()
    picture: ChatCompletionMessageParam = {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is it?"},
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}},
        ],
    }

    await client.chat.completions.create(model=model, messages=[picture])

    said = repr((await journal(provider)).body).replace("_", "/").replace("-", "+")
    assert encoded.rstrip("=")[:80] in said
    assert "image/png" in said  # what it is, not what it was said to be


async def test_what_was_chosen_for_the_answer_reaches_the_provider(client: AsyncOpenAI, provider: LLMock) -> None:
    await client.chat.completions.create(
        model="gpt-4.1-mini",
        messages=HELLO,
        max_tokens=7,
        temperature=0.5,
        top_p=0.25,
        stop="END",
        seed=1,
        user="ignored",
    )

    body = (await journal(provider)).body
    chosen = [body[name] for name in ("max_completion_tokens", "temperature", "top_p", "stop")]
    assert chosen == [7, 0.5, 0.25, ["END"]]
    assert "seed" not in body


@pytest.mark.parametrize(
    ("wrong", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_argument"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role", "invalid_argument"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_argument"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "invalid_argument"),
        ({"n": 2}, "n", "invalid_argument"),
        ({"temperature": 3}, "temperature", "invalid_argument"),
        ({"max_tokens": 0}, "max_tokens", "invalid_argument"),
        ({"stop": ["1", "2", "3", "4", "5"]}, "stop", "invalid_argument"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", "invalid_argument"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name", "invalid_argument"),
        ({"response_format": {"type": "json_object"}}, "response_format.type", "invalid_argument"),
        ({"extra_body": {"wizardry": 1}}, "wizardry", "unknown_parameter"),
        ({"model": "smollm2-135m", "tools": [WEATHER]}, "model", "model_lacks_tools"),
    ],
)
async def test_what_is_wrong_is_named(client: AsyncOpenAI, wrong: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(**{**GOOD, **wrong})

    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://example.com/cat.png", "not fetched"),
        ("data:image/png;base64,====", "no base64"),
        ("data:image/png;base64," + base64.b64encode(b"<svg/>").decode(), "PNG, JPEG or WebP"),
        ("data:image/png;base64," + base64.b64encode(PNG + bytes(5_000_000)).decode(), "at most 5000000 bytes"),
    ],
    ids=["elsewhere", "no base64", "no image", "too large"],
)
async def test_an_image_that_cannot_be_taken_is_named(client: AsyncOpenAI, url: str, told: str) -> None:
    content: Any = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": content}])

    assert refused.value.param == "messages[0].content[0].image_url.url"
    assert told in refused.value.message


async def test_errors_are_those_that_their_clients_know(
    client: AsyncOpenAI, user: User, edge_url: str, provider: LLMock
) -> None:
    async with AsyncOpenAI(base_url=f"{edge_url}/v1", api_key="wrong.access.token", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as unknown_key:
            await stranger.chat.completions.create(model="gpt-4.1-mini", messages=HELLO)
    assert unknown_key.value.code == "invalid_api_key"
    for unknown in ("gpt-9", "gpt-4"):
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model=unknown, messages=HELLO)
        assert missing.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-9")
    provider.fail(400, code="context_length_exceeded")
    with pytest.raises(openai.BadRequestError) as too_long:
        await client.chat.completions.create(model="gpt-4.1-mini", messages=HELLO)
    assert (too_long.value.code, too_long.value.param) == ("context_length_exceeded", "messages")
    provider.fail(500, times=None, retry_after=0)
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError) as away:
            await client.chat.completions.create(model="gpt-4.1-mini", messages=HELLO, stream=stream)
        assert (away.value.status_code, away.value.code) == (503, "upstream_unavailable")
    with pytest.raises(openai.RateLimitError) as limited:
        await asyncio.gather(*[client.models.list() for _ in range(30)])
    assert (limited.value.code, limited.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert limited.value.response.headers["retry-after"]


async def test_an_answer_that_breaks_off_is_an_error_in_the_stream(client: AsyncOpenAI, provider: LLMock) -> None:
    provider.reply("one two three four").truncate(after_chunks=3)

    with pytest.raises(openai.APIError) as broken:
        await chunks(client, model="gpt-4.1-mini")

    assert broken.value.code == "upstream_truncated"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_cancels_its_answer(
    client: AsyncOpenAI, one: Replica, user: User, provider: LLMock, llmock_server: LLMockServer, stream: bool
) -> None:
    """Nobody could come back for it."""
    provider.reply(LONG).pace(5)
    asking = asyncio.create_task(client.chat.completions.create(**GOOD, stream=stream))
    await reached(llmock_server)
    if stream:
        async with cast("AsyncStream[ChatCompletionChunk]", await asking) as sent:
            await anext(aiter(sent))
    asking.cancel()
    await asyncio.wait([asking])

    await until(partial(_is, "cancelled", user, one))
    request = await journal(provider)
    assert not request.completed


async def _is(state: str, user: User, replica: Replica) -> bool:
    """Whether the user has a generation in that state, and no other."""
    query = "SELECT state FROM chat.generations WHERE owner_id = %s"
    async with await psycopg.AsyncConnection.connect(str(replica.settings.database_url)) as connection:
        rows = await connection.execute(query, [user.id])
        return [row[0] for row in await rows.fetchall()] == [state]


async def test_a_repeat_under_its_key_gives_the_same_answer_even_to_a_client_that_had_left(
    client: AsyncOpenAI, user: User, provider: LLMock
) -> None:
    provider.reply("one two three four five six").pace(20)
    ask = partial(chunks, client, model="gpt-4.1-mini", extra_headers={"Idempotency-Key": (key := new_id())})
    left = await client.chat.completions.create(**GOOD, stream=True, extra_headers={"Idempotency-Key": key})
    async with left:
        first = await anext(aiter(left))

    beside, again = await asyncio.gather(ask(), ask())
    after = await ask()

    assert beside == again == after
    assert {chunk.id for chunk in after} == {first.id}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in after) == "one two three four five six"
    assert len(provider.requests) == 1
    usage = await user.stub.GetUsage(pb.GetUsageRequest(), metadata=user.metadata)
    assert [model.answers for model in usage.models] == [1]
    with pytest.raises(openai.UnprocessableEntityError) as other_request:
        await client.chat.completions.create(**GOOD, extra_headers={"Idempotency-Key": key})
    assert other_request.value.code == "idempotency_key_reused"
    assert (await refusal(user.send("hello", idempotency_key=key))).reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_key_whose_answer_broke_off_or_is_not_kept_any_more_begins_anew(
    client: AsyncOpenAI, one: Replica, user: User, provider: LLMock
) -> None:
    ask = partial(client.chat.completions.create, **GOOD, extra_headers={"Idempotency-Key": "k"})
    provider.fail(400)
    with pytest.raises(openai.InternalServerError):
        await ask()
    provider.reply("first").reply("second")

    first = await ask()
    async with await psycopg.AsyncConnection.connect(str(one.settings.database_url)) as connection:
        aged = "UPDATE chat.generations SET ended_at = ended_at - interval '10 minutes' WHERE owner_id = %s"
        await connection.execute(aged, [user.id])
    second = await ask()

    assert [each.choices[0].message.content for each in (first, second)] == ["first", "second"]
    assert first.id != second.id


async def test_models_are_those_that_a_caller_may_name(client: AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    one = await client.models.retrieve("gpt-4.1-mini-2025-04-14")

    assert {"smollm2-135m", "gpt-4.1-mini"} <= set(listed)
    assert "claude-opus-5-5" not in listed  # not of the free plan
    assert (one.id, one.object, one.owned_by) == ("gpt-4.1-mini", "model", "openai")


async def test_a_completion_is_nobodys_generation(client: AsyncOpenAI, user: User) -> None:
    answered = await client.chat.completions.create(model="gpt-4.1-mini", messages=HELLO)

    with pytest.raises(Exception, match="no such generation"):
        await user.stub.GetGeneration(
            pb.GetGenerationRequest(generation_id=answered.id.removeprefix("chatcmpl-")), metadata=user.metadata
        )
