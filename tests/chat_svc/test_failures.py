"""What goes wrong at the provider: always one visible error with a stable code, and what was written is kept."""

from collections.abc import Callable

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock

from svckit.errors import InvalidArgument, Unavailable
from tests.callers import refusal
from tests.chat_svc.conftest import Start
from tests.chat_svc.user import User, kinds, text

Fault = Callable[[LLMock], LLMock]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param(lambda provider: provider.rate_limit(), "rate_limited", id="429"),
        pytest.param(lambda provider: provider.fail(500), "upstream_unavailable", id="500"),
        pytest.param(lambda provider: provider.fail(503), "upstream_unavailable", id="503"),
        pytest.param(lambda provider: provider.fail(401), "upstream_unauthorized", id="401"),
        pytest.param(lambda provider: provider.fail(404), "upstream_rejected", id="404"),
        pytest.param(lambda provider: provider.context_overflow(), "context_overflow", id="overflow"),
    ],
)
async def test_a_refusal_of_the_provider_is_an_error_event(
    user: User, provider: LLMock, fault: Fault, code: str
) -> None:
    fault(provider)

    events = [event async for event in user.stream()]

    answer = (await user.messages(events[0].message_start.conversation_id)).messages[-1]
    assert kinds(events) == ["message_start", "title", "usage", "error"]
    assert events[-1].error.code == code
    assert (answer.state, answer.finish_reason, answer.text) == (pb.STATE_FAILED, pb.FINISH_REASON_ERROR, "")
    assert answer.usage == pb.TokenUsage()
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param(lambda provider: provider.truncate(after_chunks=3), "upstream_truncated", id="truncated"),
        pytest.param(lambda provider: provider.disconnect(after_chunks=3), "upstream_truncated", id="disconnected"),
        pytest.param(lambda provider: provider.corrupt(after_chunks=3), "upstream_malformed", id="malformed"),
        pytest.param(lambda provider: provider.stall(after_chunks=3, seconds=5), "upstream_timeout", id="stalled"),
    ],
)
async def test_an_answer_that_breaks_off_is_an_error_and_kept(
    user: User, provider: LLMock, fault: Fault, code: str
) -> None:
    fault(provider.reply("one two three four"))

    events = [event async for event in user.stream()]

    answer = (await user.messages(events[0].message_start.conversation_id)).messages[-1]
    assert kinds(events) == ["message_start", "title", "delta", "usage", "error"]
    assert (events[-1].error.code, events[-1].error.retryable) == (code, True)
    assert answer.text == text(events) == "one two "
    assert answer.state == pb.STATE_FAILED
    assert answer.usage.estimated


async def test_who_waits_for_the_answer_is_told_that_the_model_failed(user: User, provider: LLMock) -> None:
    provider.fail(500)

    error = await refusal(user.send())

    assert isinstance(error, Unavailable)
    assert error.reason == "UPSTREAM_UNAVAILABLE"
    assert (await user.generation(error.metadata["generation_id"])).state == pb.STATE_FAILED


async def test_a_message_that_is_too_long_for_the_model_is_the_callers_mistake(user: User, provider: LLMock) -> None:
    provider.context_overflow()

    error = await refusal(user.send())

    assert isinstance(error, InvalidArgument)
    assert [violation.field for violation in error.violations] == ["message"]


async def test_a_provider_that_cannot_be_reached_is_unavailable(start: Start) -> None:
    async with start(local_model_url="http://127.0.0.1:9/v1") as replica:
        events = [event async for event in User(replica.stub).stream()]

    assert events[-1].error.code == "upstream_unavailable"


async def test_a_failed_answer_does_not_count_as_running(user: User, provider: LLMock) -> None:
    provider.fail(500, times=3)
    for _ in range(3):
        await refusal(user.send())

    assert (await user.send()).message.state == pb.STATE_DONE


async def test_what_neither_database_nor_wire_can_carry_loses_no_answer(user: User, provider: LLMock) -> None:
    provider.reply("nul:\0 lone:\ud83d end")

    events = [event async for event in user.stream("also \0 here")]

    question, answer = (await user.messages(events[0].message_start.conversation_id)).messages
    assert question.text == "also  here"
    assert text(events) == answer.text == "nul: lone:\ufffd end"


async def test_a_message_of_nothing_but_nul_is_refused(user: User) -> None:
    error = await refusal(user.send("\0"))

    assert isinstance(error, InvalidArgument)
    assert [violation.field for violation in error.violations] == ["message"]
