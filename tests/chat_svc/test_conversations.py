"""Conversations: making, listing and deleting them."""

import asyncio

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock

from svckit.errors import InvalidArgument, NotFound
from svckit.ids import new_id
from tests.callers import refusal
from tests.chat_svc.conftest import Start
from tests.chat_svc.user import User


async def test_a_new_conversation_is_found_again(user: User) -> None:
    made = await user.create(title="Trip", system_prompt="Be brief.")

    found = await user.conversation(made.id)

    assert found == made
    assert (made.title, made.system_prompt) == ("Trip", "Be brief.")
    assert (made.provider, made.model, made.active_message_id) == ("local", "smollm2-135m", "")


async def test_a_new_conversation_says_where_it_is(user: User) -> None:
    call = user.stub.CreateConversation(pb.CreateConversationRequest(), metadata=user.metadata)
    made = (await call).conversation

    headers = dict(await call.initial_metadata() or ())
    assert headers["x-http-status"] == "201"
    assert headers["location"] == f"/api/conversations/{made.id}"


async def test_the_first_message_without_a_conversation_makes_one_with_a_title(user: User) -> None:
    answered = await user.send("What is\n the weather like?")

    made = await user.conversation(answered.conversation_id)
    assert made.title == "What is the weather like?"
    assert made.active_message_id == answered.message.id


async def test_a_long_first_message_makes_a_title_of_sixty_characters(user: User) -> None:
    answered = await user.send("abcdefghi " * 20)

    title = (await user.conversation(answered.conversation_id)).title
    assert len(title) <= 60
    assert title.endswith("…")


async def test_a_given_title_stays(user: User) -> None:
    made = await user.create(title="Trip")

    events = [event async for event in user.stream(conversation_id=made.id)]

    assert not any(event.HasField("title") for event in events)
    assert (await user.conversation(made.id)).title == "Trip"


async def test_a_repeat_with_the_same_key_answers_the_first_conversation(user: User, stranger: User) -> None:
    made = await asyncio.gather(*(user.create(idempotency_key="k") for _ in range(5)))
    theirs = await stranger.create(idempotency_key="k")

    assert len({conversation.id for conversation in made}) == 1
    assert theirs.id != made[0].id


async def test_conversations_are_listed_last_used_first_in_pages(user: User) -> None:
    made = [await user.create() for _ in range(5)]
    await user.send(conversation_id=made[1].id)

    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        page = await user.conversations(page_size=2, page_token=token)
        pages.append([conversation.id for conversation in page.conversations])
        token = page.next_page_token

    ids = [conversation.id for conversation in made]
    assert pages == [[ids[1], ids[4]], [ids[3], ids[2]], [ids[0]]]


async def test_only_archived_or_only_other_conversations_can_be_listed(user: User) -> None:
    made = await user.create()

    assert [c.id for c in (await user.conversations(archived=False)).conversations] == [made.id]
    assert not (await user.conversations(archived=True)).conversations


# The last is `["<uuid>",2147483647]`: no branch is that deep.
_TOO_DEEP = "WyIwMTk5NmQ1Zi0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAiLDIxNDc0ODM2NDdd"


@pytest.mark.parametrize("token", ["x", "AAAA", "bnVsbA", "WzEsMl0", "WyJhIiwiYiJd", "é", _TOO_DEEP])
async def test_a_page_token_that_no_list_has_given_is_refused(user: User, token: str) -> None:
    answered = await user.send()

    for call in (
        user.conversations(page_token=token),
        user.messages(answered.conversation_id, page_token=token),
        user.messages(answered.conversation_id, page_token=token, newest_first=True),
    ):
        error = await refusal(call)
        assert isinstance(error, InvalidArgument)
        assert [violation.field for violation in error.violations] == ["page_token"]


async def test_a_deleted_conversation_is_gone_with_its_messages_and_answers(user: User) -> None:
    answered = await user.send()
    await user.delete(answered.conversation_id)

    for call in (
        user.conversation(answered.conversation_id),
        user.messages(answered.conversation_id),
        user.generation(answered.message.generation_id),
        user.resume(answered.message.generation_id),
        user.delete(answered.conversation_id),
    ):
        assert isinstance(await refusal(call), NotFound)


async def test_a_model_is_chosen_by_id_alias_or_provider(user: User) -> None:
    assert (await user.create(model="gpt-4.1-mini")).provider == "openai"
    assert (await user.create(model="gpt-4.1-mini-2025-04-14")).model == "gpt-4.1-mini"
    assert (await user.create(provider="openai")).model == "gpt-4.1-mini"


@pytest.mark.parametrize(
    "wrong", [{"model": "gpt-0"}, {"provider": "nobody"}, {"provider": "local", "model": "gpt-4.1"}]
)
async def test_an_unknown_model_is_refused(user: User, wrong: dict[str, str]) -> None:
    for call in (user.create(**wrong), user.send(**wrong)):
        error = await refusal(call)
        assert isinstance(error, InvalidArgument)
        assert error.reason == "MODEL_UNKNOWN"


async def test_the_conversations_model_answers_unless_the_message_names_another(user: User, provider: LLMock) -> None:
    made = await user.create(model="gpt-4.1-mini")

    usual = await user.send(conversation_id=made.id)
    once = await user.send(conversation_id=made.id, model="smollm2-135m")
    again = await user.send(conversation_id=made.id)

    assert [sent.message.model for sent in (usual, once, again)] == ["gpt-4.1-mini", "smollm2-135m", "gpt-4.1-mini"]
    assert [request.model for request in provider.requests] == ["gpt-4.1-mini", "smollm2-135m", "gpt-4.1-mini"]


async def test_models_are_available_when_their_provider_is_set_up(start: Start) -> None:
    async with start(openai_api_key=None, anthropic_api_key=None, google_api_key=None) as replica:
        user = User(replica.stub)
        listed = await replica.stub.ListModels(pb.ListModelsRequest(), metadata=user.metadata)
        error = await refusal(user.create(model="gpt-4.1"))

    assert {model.id for model in listed.models if model.available} == {"smollm2-135m"}
    assert len(listed.models) > 1
    assert listed.default_model == "smollm2-135m"
    assert error.reason == "MODEL_UNAVAILABLE"


async def test_without_any_model_there_is_nobody_to_answer(start: Start) -> None:
    nobody = {"local_model_url": None, "openai_api_key": None, "anthropic_api_key": None, "google_api_key": None}
    async with start(**nobody) as replica:
        error = await refusal(User(replica.stub).send())

    assert error.reason == "NO_MODEL"


async def test_nul_in_any_text_is_dropped(user: User) -> None:
    made = await user.create(title="a\0b", system_prompt="c\0", idempotency_key="k\0")

    assert (made.title, made.system_prompt) == ("ab", "c")
    assert isinstance(await refusal(user.create(model="\0")), InvalidArgument)
    assert isinstance(await refusal(user.conversation(new_id())), NotFound)
