"""What goes wrong at the provider: always one visible error with a stable code, and what was written is kept."""

import asyncio
from collections.abc import Callable

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Fail, Reply

from svckit.errors import InvalidArgument, Unavailable
from tests.callers import refusal
from tests.chat_svc.conftest import Replica, Start
from tests.chat_svc.scripted import answering, stream
from tests.chat_svc.user import User, kinds, text

WHOLE = "one two three four five six"

Fault = Callable[[LLMock], LLMock]


PROVIDERS = ["openai", "anthropic", "google"]
# What the providers really say when a prompt is too long; only OpenAI has a code for it.
TOO_LONG = {
    "openai": Fail(400, code="context_length_exceeded"),
    "anthropic": Fail(400, message="prompt is too long: 1000001 tokens > 1000000 maximum"),
    "google": Fail(400, message="The input token count (9) exceeds the maximum number of tokens allowed (8)."),
}


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize(
    ("status", "code", "attempts"),
    [
        (400, "upstream_rejected", 1),
        (401, "upstream_unauthorized", 1),
        (413, "context_overflow", 1),
        (429, "rate_limited", 3),
        (500, "upstream_unavailable", 3),
        (504, "upstream_timeout", 3),
        (529, "upstream_unavailable", 3),
    ],
)
async def test_a_refusal_of_the_provider_is_an_error_event(
    user: User, provider: LLMock, name: str, status: int, code: str, attempts: int
) -> None:
    provider.fail(status, times=None, retry_after=0)

    events = [event async for event in user.stream(provider=name)]

    answer = (await user.messages(events[0].message_start.conversation_id)).messages[-1]
    assert kinds(events) == ["message_start", "title", "usage", "error"]
    assert events[-1].error.code == code
    assert (answer.state, answer.finish_reason, answer.text) == failed(code)
    assert answer.usage == pb.TokenUsage()
    assert len(provider.requests) == attempts


def failed(code: str) -> tuple[pb.State.ValueType, pb.FinishReason.ValueType, str]:
    """What an answer that never began looks like."""
    timed_out = code == "upstream_timeout"
    return pb.STATE_FAILED, pb.FINISH_REASON_TIMEOUT if timed_out else pb.FINISH_REASON_ERROR, ""


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("status", [429, 500, 529])
async def test_a_provider_that_is_busy_is_asked_again_when_it_says(
    user: User, provider: LLMock, name: str, status: int
) -> None:
    provider.fail(status, retry_after=0.2).reply("at last")

    answer = (await user.send(provider=name)).message

    first, second = provider.requests
    assert answer.text == "at last"
    assert second.started_at - first.ended_at >= 0.2


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_provider_that_wants_too_long_a_pause_is_not_waited_for(
    user: User, provider: LLMock, name: str
) -> None:
    provider.rate_limit(retry_after=300)

    events = [event async for event in user.stream(provider=name)]

    assert events[-1].error.code == "rate_limited"
    assert len(provider.requests) == 1


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("fault", [LLMock.truncate, LLMock.disconnect], ids=["truncated", "disconnected"])
async def test_what_breaks_before_the_first_text_is_asked_for_again(
    user: User, provider: LLMock, name: str, fault: Callable[..., LLMock]
) -> None:
    fault(provider.reply("whole", times=2), after_chunks=0)

    events = [event async for event in user.stream(provider=name)]

    assert text(events) == "whole"
    assert len(provider.requests) == 2


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param(lambda provider: provider.truncate(after_chunks=4), "upstream_truncated", id="truncated"),
        pytest.param(lambda provider: provider.disconnect(after_chunks=4), "upstream_truncated", id="disconnected"),
        pytest.param(lambda provider: provider.corrupt(after_chunks=4), "upstream_malformed", id="malformed"),
    ],
)
async def test_an_answer_that_breaks_off_is_an_error_and_kept(
    user: User, provider: LLMock, name: str, fault: Fault, code: str
) -> None:
    fault(provider.reply(WHOLE))

    events = [event async for event in user.stream(provider=name)]

    answer = (await user.messages(events[0].message_start.conversation_id)).messages[-1]
    assert kinds(events) == ["message_start", "title", "delta", "usage", "error"]
    assert (events[-1].error.code, events[-1].error.retryable) == (code, True)
    assert answer.text == text(events) != WHOLE
    assert WHOLE.startswith(answer.text)
    assert answer.state == pb.STATE_FAILED
    assert answer.usage.estimated
    assert answer.usage.output_tokens == -(-len(answer.text) // 4)
    assert len(provider.requests) == 1


async def of_each(replica: Replica) -> list[list[pb.GenerationEvent]]:
    """The events of an answer by each provider, asked for at the same time."""

    async def told(name: str) -> list[pb.GenerationEvent]:
        return [event async for event in User(replica.stub).stream(provider=name)]

    return await asyncio.gather(*map(told, PROVIDERS))


async def test_an_answer_that_stalls_is_a_timeout_and_kept(start: Start, provider: LLMock) -> None:
    provider.reply(WHOLE, times=3).stall(after_chunks=4, seconds=20, times=3)

    async with start(model_idle_timeout=0.5) as replica:
        for events in await of_each(replica):
            assert (events[-1].error.code, events[-1].error.retryable) == ("upstream_timeout", True)
            assert "" != text(events) != WHOLE

    assert not any(request.completed for request in provider.requests)


async def test_a_first_text_that_does_not_come_is_a_timeout(start: Start, provider: LLMock) -> None:
    provider.slow_first_token(600, times=None)

    async with start(model_first_token_timeout=0.3) as replica:
        for events in await of_each(replica):
            assert (events[-1].error.code, text(events)) == ("upstream_timeout", "")

    assert not any(request.completed for request in provider.requests)


async def test_an_answer_without_end_is_a_timeout(start: Start, one: Replica, provider: LLMock) -> None:
    await of_each(one)  # the SDKs are imported by then, which may take longer than the answer here
    provider.reset().reply("word " * 2000, times=3).pace(50)

    async with start(model_total_timeout=5) as replica:
        for events in await of_each(replica):
            assert events[-1].error.code == "upstream_timeout"
            assert text(events)

    assert not any(request.completed for request in provider.requests)


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_message_that_is_too_long_for_the_model_is_the_callers_mistake(
    user: User, provider: LLMock, name: str
) -> None:
    provider.add(TOO_LONG[name])

    error = await refusal(user.send(provider=name))

    assert isinstance(error, InvalidArgument)
    assert (error.reason, [violation.field for violation in error.violations]) == ("CONTEXT_OVERFLOW", ["message"])


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_message_that_the_filter_does_not_answer_is_the_callers_mistake(
    user: User, provider: LLMock, name: str
) -> None:
    provider.add(Reply(text="", finish_reason="content_filter"))

    error = await refusal(user.send(provider=name))

    assert isinstance(error, InvalidArgument)
    assert (error.reason, [violation.field for violation in error.violations]) == ("CONTENT_FILTERED", ["message"])


async def test_an_account_without_credit_is_not_asked_again(user: User, provider: LLMock) -> None:
    provider.fail(429, code="insufficient_quota", retry_after=0)

    events = [event async for event in user.stream(provider="openai")]

    assert events[-1].error.code == "upstream_unauthorized"
    assert len(provider.requests) == 1


async def test_who_waits_for_the_answer_is_told_that_the_model_failed(user: User, provider: LLMock) -> None:
    provider.fail(500, times=None, retry_after=0)

    error = await refusal(user.send())

    assert isinstance(error, Unavailable)
    assert error.reason == "UPSTREAM_UNAVAILABLE"
    assert (await user.generation(error.metadata["generation_id"])).state == pb.STATE_FAILED


async def test_a_provider_that_cannot_be_reached_is_unavailable(start: Start) -> None:
    nowhere = "http://127.0.0.1:9"
    urls = {f"{name}_base_url": nowhere for name in PROVIDERS}
    async with start(**urls, local_model_url=nowhere) as replica:
        told = await of_each(replica)
        told.append([event async for event in User(replica.stub).stream(provider="local")])

    assert [events[-1].error.code for events in told] == ["upstream_unavailable"] * 4


async def test_a_provider_that_hangs_up_before_it_answers_is_unavailable(start: Start) -> None:
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with start(local_model_url=f"http://127.0.0.1:{port}/v1") as replica:
            events = [event async for event in User(replica.stub).stream(provider="local")]

    assert events[-1].error.code == "upstream_unavailable"


async def test_a_failed_answer_does_not_count_as_running(user: User, provider: LLMock) -> None:
    provider.fail(400, times=3)
    for _ in range(3):
        await refusal(user.send())

    assert (await user.send()).message.state == pb.STATE_DONE


@pytest.mark.parametrize("model", ["smollm2-135m", "claude-haiku-4-5", "gemini-3.8-flash"])
async def test_what_neither_database_nor_wire_can_carry_loses_no_answer(
    user: User, provider: LLMock, model: str
) -> None:
    provider.reply("nul:\0 lone:\ud83d end")

    events = [event async for event in user.stream("also \0 here", model=model)]

    question, answer = (await user.messages(events[0].message_start.conversation_id)).messages
    assert question.text == "also  here"
    assert text(events) == answer.text == "nul: lone:\ufffd end"


async def test_figures_that_cannot_be_break_no_answer_and_use_no_plan_up(start: Start) -> None:
    usage = {"prompt_tokens": -5, "completion_tokens": 10**12, "completion_tokens_details": {"reasoning_tokens": "7"}}
    said = stream({"choices": [{"delta": {"content": "yes"}, "finish_reason": "stop"}], "usage": usage})
    async with (
        answering((200, said)) as upstream,
        start(local_model_url=f"{upstream.url}/v1") as replica,
    ):
        answered = (await User(replica.stub).send(provider="local")).message

    assert (answered.state, answered.text) == (pb.STATE_DONE, "yes")
    assert (answered.usage.input_tokens, answered.usage.output_tokens) == (0, 1024)  # what the model writes at most
    assert (answered.usage.reasoning_tokens, answered.usage.estimated) == (7, True)


@pytest.mark.parametrize(
    "endless",
    [{"content": "x" * 2_000_000}, {"tool_calls": [{"index": 0, "function": {"arguments": "x" * 2_000_001}}]}],
    ids=["text", "call"],
)
async def test_an_answer_without_end_is_cut_off_and_charged_up_to_what_the_model_writes(
    start: Start, endless: dict[str, object]
) -> None:
    said = stream({"choices": [{"delta": {"content": "yes"}}]}, {"choices": [{"delta": endless}]})
    async with answering((200, said)) as upstream, start(local_model_url=f"{upstream.url}/v1") as replica:
        user = User(replica.stub)
        events = [event async for event in user.stream(provider="local")]
        answer = (await user.messages(events[0].message_start.conversation_id)).messages[-1]

    assert events[-1].error.code == "upstream_truncated"
    assert (text(events), answer.text, len(answer.tool_calls)) == ("yes", "yes", 0)
    assert 0 < answer.usage.output_tokens <= 1024


async def test_a_message_of_nothing_but_nul_is_refused(user: User) -> None:
    error = await refusal(user.send("\0"))

    assert isinstance(error, InvalidArgument)
    assert [violation.field for violation in error.violations] == ["message"]
