"""Finding conversations by their words."""

from itertools import chain

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock

from svckit.errors import InvalidArgument
from svckit.events import Bus
from tests.callers import refusal
from tests.chat_svc.plans import grant
from tests.chat_svc.user import User


async def found(user: User, q: str) -> list[str]:
    return [conversation.id for conversation in (await user.search(q)).conversations]


@pytest.mark.parametrize("word", ["lighthouse", "keeper", "storm"])
async def test_words_are_found_in_title_question_and_answer(user: User, provider: LLMock, word: str) -> None:
    provider.reply("There was a storm.")
    made = await user.create(title="The lighthouse")
    await user.send("Tell me of its keeper.", conversation_id=made.id)
    await user.create(title="Something else")

    assert await found(user, word) == [made.id]


@pytest.mark.parametrize(
    ("q", "is_found"),
    [
        ("FOX quick", True),
        ("quick dog", False),
        ('"brown fox"', True),
        ('"fox brown"', False),
        ("dog or fox", True),
        ("fox -quick", False),
        ("fox -dog", True),
        ("fo", False),
    ],
)
async def test_a_query_means_what_the_contract_says(user: User, q: str, *, is_found: bool) -> None:
    made = await user.create(title="The quick brown Fox")

    assert await found(user, q) == ([made.id] if is_found else [])


async def test_words_of_two_messages_are_no_match(user: User) -> None:
    made = await user.create(title="Trip")
    await user.send("lighthouse", conversation_id=made.id)
    await user.send("keeper", conversation_id=made.id)

    assert await found(user, "lighthouse keeper") == []


async def test_a_title_is_a_better_match_than_a_message_and_a_short_text_than_a_long_one(user: User) -> None:
    long, short, titled = [await user.create(title=title) for title in ("One", "Two", "Lighthouse")]
    await user.send("lighthouse " + "and " * 500, conversation_id=long.id)
    await user.send("a lighthouse", conversation_id=short.id)

    assert await found(user, "lighthouse") == [titled.id, short.id, long.id]


async def test_a_branch_that_is_not_the_active_one_is_found_too(user: User) -> None:
    sent = await user.send("lighthouse")
    await user.send("harbour", conversation_id=sent.conversation_id, parent_id="")
    await user.update(sent.conversation_id, title="Trip")

    assert await found(user, "lighthouse") == [sent.conversation_id]


async def test_what_is_renamed_or_deleted_is_found_by_its_old_words_no_more(user: User) -> None:
    renamed, deleted = await user.create(title="Lighthouse"), await user.create(title="Lighthouse")
    await user.update(renamed.id, title="Harbour")
    await user.delete(deleted.id)

    assert await found(user, "lighthouse") == []
    assert await found(user, "harbour") == [renamed.id]


async def test_somebody_elses_words_are_not_found(user: User, stranger: User) -> None:
    made = await user.create(title="Lighthouse")
    await user.send("keeper", conversation_id=made.id)

    assert await found(stranger, "lighthouse or keeper") == []


async def test_matches_come_in_pages_without_gap_or_repeat(user: User) -> None:
    made = [await user.create(title="lighthouse " * (number % 3 + 1)) for number in range(7)]

    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        page = await user.search("lighthouse", page_size=3, page_token=token)
        pages.append([conversation.id for conversation in page.conversations])
        token = page.next_page_token

    assert [len(page) for page in pages] == [3, 3, 1]
    listed = [*chain.from_iterable(pages)]
    assert listed == await found(user, "lighthouse")
    assert sorted(listed) == sorted(conversation.id for conversation in made)


@pytest.mark.parametrize(
    "q",
    [
        *"'\"\\&|!()<>:*%-_\0",
        "a & | b",
        "<->",
        "(((",
        "a:*",
        "-a",
        "or or",
        "\U0001f980",
        "é\0e",
        "x" * 200,
        "- " * 100,
        "-!" * 100,
        "-a or " * 33,
    ],
)
async def test_any_text_is_a_query(user: User, q: str) -> None:
    await user.create(title="Something else")

    await user.search(q)


async def test_symbols_alone_find_nothing(user: User) -> None:
    await user.create(title="\U0001f980 & co")

    assert await found(user, "\U0001f980") == await found(user, "&") == []


@pytest.mark.parametrize(
    "q", ["天气", "我们走吧", "气很", "走 天", "ＡＤＡ＠example.com", "ÉCOLE", "cole-là", "'lighthouse'"]
)
async def test_words_are_found_in_any_script_and_between_any_punctuation(user: User, q: str) -> None:
    made = await user.create(title="今天天气很好。我们走吧 (ada@example.com) “école cole—là” …lighthouse…")

    assert await found(user, q) == [made.id]
    assert await found(user, "气天") == []


@pytest.mark.parametrize("q", ["", "x" * 201, "x" * 10_000])
async def test_no_words_and_too_many_are_refused(user: User, q: str) -> None:
    error = await refusal(user.search(q))

    assert isinstance(error, InvalidArgument)
    assert [violation.field for violation in error.violations] == ["q"]


@pytest.mark.parametrize("token", ["x", "WyJhIiwiYiJd", "WyIwMTk5NmQ1Zi0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAiLC0xXQ"])
async def test_a_page_token_that_no_search_has_given_is_refused(user: User, token: str) -> None:
    error = await refusal(user.search("a", page_token=token))

    assert [violation.field for violation in error.violations] == ["page_token"]


async def test_the_longest_message_of_different_words_is_kept_and_found(user: User, bus: Bus) -> None:
    await grant(bus, user)
    words = " ".join(chr(0x1D400 + n % 50) + chr(0x10000 + n % 800) + chr(0x4E00 + n) for n in range(20_000))

    sent = await user.send(words + " lighthouse", provider="openai")

    assert sent.message.state == pb.STATE_DONE
    assert await found(user, "lighthouse") == [sent.conversation_id]
