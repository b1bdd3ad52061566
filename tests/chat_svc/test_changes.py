"""Changing a conversation: what is named changes, the rest stays."""

import asyncio

import pytest
from llmock.pytest_plugin import LLMock

from svckit.errors import InvalidArgument, NotFound
from svckit.ids import new_id
from tests.callers import refusal
from tests.chat_svc.user import User, asked


async def test_only_what_is_named_changes(user: User) -> None:
    made = await user.create(title="Trip", system_prompt="Be brief.")

    renamed = await user.update(made.id, title="Journey")
    archived = await user.update(made.id, archived=True)

    assert (renamed.title, renamed.system_prompt, renamed.archived) == ("Journey", "Be brief.", False)
    assert (archived.title, archived.system_prompt, archived.archived) == ("Journey", "Be brief.", True)
    assert await user.conversation(made.id) == archived


async def test_an_empty_text_is_a_change_and_no_change_is_none(user: User) -> None:
    made = await user.create(title="Trip", system_prompt="Be brief.")

    same = await user.update(made.id)
    emptied = await user.update(made.id, title="", system_prompt="")

    assert same == made
    assert (emptied.title, emptied.system_prompt) == ("", "")


async def test_archived_conversations_are_listed_apart_until_they_are_taken_back(user: User) -> None:
    kept, put_away = await user.create(), await user.create()
    await user.update(put_away.id, archived=True)

    assert [c.id for c in (await user.conversations(archived=True)).conversations] == [put_away.id]
    assert [c.id for c in (await user.conversations(archived=False)).conversations] == [kept.id]
    assert len((await user.conversations()).conversations) == 2

    await user.update(put_away.id, archived=False)
    assert not (await user.conversations(archived=True)).conversations


async def test_a_change_does_not_move_a_conversation_up_the_list(user: User) -> None:
    older, newer = await user.create(), await user.create()

    renamed = await user.update(older.id, title="Trip")

    assert renamed.update_time == older.update_time
    assert [c.id for c in (await user.conversations()).conversations] == [newer.id, older.id]


async def test_another_model_answers_from_now_on(user: User) -> None:
    made = await user.create()

    changed = await user.update(made.id, model="gpt-4.1-mini-2025-04-14")
    answered = await user.send(conversation_id=made.id)
    back = await user.update(made.id, model="")

    assert (changed.provider, changed.model, answered.message.model) == ("openai", "gpt-4.1-mini", "gpt-4.1-mini")
    assert back.model == "smollm2-135m"


async def test_another_system_prompt_is_said_from_now_on(user: User, provider: LLMock) -> None:
    made = await user.create(system_prompt="Be brief.")
    await user.update(made.id, system_prompt="Be\0 long.")

    await user.send(conversation_id=made.id)

    assert asked(provider)[0] == ("system", "Be long.")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"model": "gpt-0"}, "model"),
        ({"title": "x" * 201}, "title"),
        ({"system_prompt": "x" * 20_001}, "system_prompt"),
        ({"active_message_id": ""}, "active_message_id"),
    ],
)
async def test_a_wrong_value_changes_nothing(user: User, wrong: dict[str, str], field: str) -> None:
    made = await user.create(title="Trip")

    error = await refusal(user.update(made.id, **{"title": "Journey", **wrong}))

    assert isinstance(error, InvalidArgument)
    assert [violation.field for violation in error.violations] == [field]
    assert await user.conversation(made.id) == made


async def test_the_conversation_goes_on_from_the_message_that_is_chosen(user: User) -> None:
    first = await user.send("one")
    id_ = first.conversation_id
    edited = await user.send("another", conversation_id=id_, parent_id="")

    await user.update(id_, active_message_id=first.message.id)
    after = await user.send("two", conversation_id=id_)

    branch = [message.id for message in (await user.messages(id_)).messages]
    assert branch == [first.user_message_id, first.message.id, after.user_message_id, after.message.id]
    assert edited.message.id not in branch


async def test_a_message_from_elsewhere_is_not_found(user: User) -> None:
    sent, made = await user.send(), await user.create()

    for message_id in (sent.message.id, new_id()):
        assert isinstance(await refusal(user.update(made.id, active_message_id=message_id)), NotFound)


async def test_changes_at_once_are_all_kept(user: User) -> None:
    made = await user.create()

    await asyncio.gather(
        user.update(made.id, title="Trip"),
        user.update(made.id, archived=True),
        user.update(made.id, system_prompt="Be brief."),
        user.send(conversation_id=made.id),
    )

    found = await user.conversation(made.id)
    assert (found.title, found.archived, found.system_prompt) == ("Trip", True, "Be brief.")
    assert found.active_message_id
    assert len((await user.messages(made.id)).messages) == 2
