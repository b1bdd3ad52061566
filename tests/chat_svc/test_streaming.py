"""Live answers: their events, and who may come and go while they are written."""

from llmock.pytest_plugin import LLMock

from chatmesh.chat.v1 import chat_pb2 as pb
from tests.chat_svc.conftest import Replica
from tests.chat_svc.user import User, kinds, text


async def test_events_come_in_order_and_numbered_without_gaps(user: User, provider: LLMock) -> None:
    provider.reply("one two three")

    events = [event async for event in user.stream()]

    assert kinds(events) == ["message_start", "title", "delta", "usage", "message_end"]
    assert [event.sequence for event in events] == list(range(len(events)))


async def test_the_deltas_are_the_text_that_is_kept(user: User, provider: LLMock) -> None:
    provider.reply("one two three")

    events = [event async for event in user.stream()]

    start = events[0].message_start
    question, answer = (await user.messages(start.conversation_id)).messages
    assert text(events) == answer.text == "one two three"
    assert (question.id, answer.id) == (start.user_message_id, start.message_id)
    assert (answer.parent_id, answer.generation_id) == (question.id, start.generation_id)
    assert (answer.state, answer.finish_reason) == (pb.STATE_DONE, pb.FINISH_REASON_STOP)
