"""Tools of the caller's: models ask for them, the caller runs them, the next message brings what they gave."""

import asyncio
import base64
import json
from typing import Any

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from google.protobuf import json_format, struct_pb2
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply, ToolCall

from svckit.errors import InvalidArgument
from tests.callers import refusal
from tests.chat_svc.conftest import Start
from tests.chat_svc.scripted import answering, stream
from tests.chat_svc.user import User, kinds

PROVIDERS = ["openai", "anthropic", "google"]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = pb.Tool(
    name="get_weather",
    description="The weather of a city",
    parameters=json_format.ParseDict(SCHEMA, struct_pb2.Struct()),
)
ASKS = Reply(tool_calls=(ToolCall("get_weather", {"city": "Paris"}),))


def result(call_id: str, text: str) -> pb.ContentPart:
    return pb.ContentPart(tool_result=pb.ToolResult(tool_call_id=call_id, text=text))


async def said(provider: LLMock) -> str:
    """What the provider was asked last."""
    return repr(await asyncio.to_thread(lambda: provider.last_request.body))


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_call_is_told_as_it_is_written_and_its_result_goes_back(
    user: User, provider: LLMock, name: str
) -> None:
    provider.add(ASKS).reply("it rains", times=2)

    events = [event async for event in user.stream("how is Paris?", provider=name, tools=[WEATHER])]
    start = events[0].message_start
    _, answer = (await user.messages(start.conversation_id)).messages
    (call,) = answer.tool_calls
    offered = await said(provider)
    await user.send(
        "", conversation_id=start.conversation_id, parts=[result(call.id, "cats and dogs")], tools=[WEATHER]
    )
    history = (await user.messages(start.conversation_id)).messages
    returned = await said(provider)
    await user.send("thanks", conversation_id=start.conversation_id)

    told = [event.tool_call for event in events if event.HasField("tool_call")]
    assert kinds(events)[-2:] == ["usage", "message_end"]
    assert events[-1].message_end == pb.MessageEnd(finish_reason=pb.FINISH_REASON_TOOL_CALLS)
    assert (told[0].id, told[0].name) == (call.id, "get_weather")
    assert "".join(each.arguments for each in told) == call.arguments
    assert json.loads(call.arguments) == {"city": "Paris"}
    assert answer.text == ""
    assert "The weather of a city" in offered
    assert [returned.count(words) for words in ("how is Paris?", "cats and dogs")] == [1, 1]
    assert history[2].parts[0].tool_result.text == "cats and dogs"
    assert history[3].text == "it rains"
    assert "cats and dogs" in await said(provider)


async def test_google_is_given_back_what_its_model_signed_and_another_model_is_not(start: Start) -> None:
    paris, london = ({"name": "get_weather", "args": {"city": city}, "id": city} for city in ("Paris", "London"))
    signed = [{"functionCall": paris, "thoughtSignature": "c2lnbmVk"}, {"functionCall": london}]
    asks = stream({"candidates": [{"content": {"parts": signed}, "finishReason": "STOP"}]})
    rains = stream({"candidates": [{"content": {"parts": [{"text": "it rains"}]}, "finishReason": "STOP"}]})
    results = [result("London", "fog"), result("Paris", "rain")]
    async with (
        answering((200, asks), (200, rains), (200, rains)) as google,
        start(google_base_url=google.url) as replica,
    ):
        user = User(replica.stub)
        asked = await user.send("how is it?", model="gemini-3.8-flash", tools=[WEATHER])
        await user.send("", conversation_id=asked.conversation_id, parts=results, tools=[WEATHER])
        await user.send("and now?", conversation_id=asked.conversation_id, model="gemini-3.5-flash-lite")

    assert google.bodies[1]["contents"][1]["parts"] == signed
    responses = [part["functionResponse"] for part in google.bodies[1]["contents"][2]["parts"]]
    assert [(each["id"], each["name"], each["response"]["output"]) for each in responses] == [
        ("London", "get_weather", "fog"),
        ("Paris", "get_weather", "rain"),
    ]
    unsigned = base64.b64encode(b"skip_thought_signature_validator").decode()
    assert [part["thoughtSignature"] for part in google.bodies[2]["contents"][1]["parts"]] == [unsigned, unsigned]


async def test_a_call_without_result_is_left_out_and_an_answer_anew_may_call_again(
    user: User, provider: LLMock
) -> None:
    provider.add(ASKS)
    sent = await user.send("how is Paris?", model="gpt-4.1-mini", tools=[WEATHER], tool_choice="get_weather")
    await user.send("never mind", conversation_id=sent.conversation_id)
    without = await said(provider)
    await user.regenerate(sent.conversation_id, sent.message.id)

    assert "tool_calls" not in without
    assert "get_weather" in await said(provider)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name"),
        ({"tools": [pb.Tool(name="no spaces")]}, "tools[0].name"),
        ({"tools": [WEATHER], "tool_choice": "other"}, "tool_choice"),
        ({"parts": [result("call_1", "x")]}, "parts"),
        ({"tools": [WEATHER], "model": "smollm2-135m"}, "model"),
    ],
)
async def test_what_is_wrong_with_tools_is_named(user: User, wrong: dict[str, Any], field: str) -> None:
    error = await refusal(user.send(**{"message": "hi", "model": "gpt-4.1-mini", **wrong}))

    assert isinstance(error, InvalidArgument)
    assert [violation.field for violation in error.violations] == [field]
