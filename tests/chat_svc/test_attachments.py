"""Images that are sent with messages: shown to models, kept once, and nobody else's."""

import asyncio
import base64
from functools import partial

import psycopg
import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock

from svckit.errors import InvalidArgument, NotFound
from tests.callers import refusal
from tests.chat_svc.conftest import Replica
from tests.chat_svc.pictures import JPEG, PNG, WEBP
from tests.chat_svc.user import User

PROVIDERS = ["openai", "anthropic", "google"]


def image(data: bytes) -> pb.ContentPart:
    return pb.ContentPart(image=pb.Image(data=data))


async def asked_with(provider: LLMock) -> str:
    """What the provider was asked last, with one alphabet of base64."""
    body = await asyncio.to_thread(lambda: provider.last_request.body)
    return repr(body).replace("_", "/").replace("-", "+")


async def kept(replica: Replica, user: User) -> int:
    """How many files the user has."""
    async with await psycopg.AsyncConnection.connect(str(replica.settings.database_url)) as connection:
        query = "SELECT count(*) FROM chat.attachments WHERE owner_id = %s"
        (count,) = await (await connection.execute(query, [user.id])).fetchone() or (0,)
        return int(count)


async def fetch(user: User, attachment_id: str) -> tuple[pb.GetAttachmentResponse, str]:
    """The file, and the header that says how to show it."""
    call = user.stub.GetAttachment(pb.GetAttachmentRequest(attachment_id=attachment_id), metadata=user.metadata)
    headers = dict(await call.initial_metadata() or ())
    return await call, str(headers.get("content-disposition"))


@pytest.mark.parametrize("name", PROVIDERS)
async def test_an_image_is_shown_to_the_model_again_with_the_next_question(
    user: User, provider: LLMock, name: str
) -> None:
    sent = await user.send("what is it?", provider=name, parts=[image(PNG), image(JPEG)])
    await user.send("and the other?", provider=name, conversation_id=sent.conversation_id)

    said = await asked_with(provider)
    assert [said.count(base64.b64encode(data).decode().rstrip("=")) for data in (PNG, JPEG)] == [1, 1]
    assert said.index("image/png") < said.index("image/jpeg") < said.index("and the other?")


async def test_a_page_has_references_and_the_owner_gets_the_file(user: User) -> None:
    sent = await user.send("", model="gpt-4.1-mini", parts=[image(WEBP)])

    question, _ = (await user.messages(sent.conversation_id)).messages
    (part,) = question.parts
    found, shown = await fetch(user, part.image.attachment_id)

    assert (part.image.media_type, part.image.size, part.image.data) == ("image/webp", len(WEBP), b"")
    assert (found.body.content_type, found.body.data) == ("image/webp", WEBP)
    assert shown == f'inline; filename="{part.image.attachment_id}.webp"'


async def test_a_file_is_kept_once_and_as_long_as_a_message_has_it(one: Replica, user: User, stranger: User) -> None:
    first = await user.send("one", model="gpt-4.1-mini", parts=[image(PNG), image(PNG)])
    second = await user.send("two", model="gpt-4.1-mini", parts=[image(PNG), image(JPEG)])
    await stranger.send("three", model="gpt-4.1-mini", parts=[image(PNG)])
    counted = partial(kept, one, user)

    assert await counted() == 2
    await user.delete(second.conversation_id)
    assert await counted() == 1
    await user.delete(first.conversation_id)
    assert await counted() == 0
    assert await kept(one, stranger) == 1


@pytest.mark.parametrize(
    ("parts", "field", "reason"),
    [
        ([image(b"GIF89a")], "parts[0].image.data", "IMAGE_UNREADABLE"),
        ([image(PNG), image(b"<svg/>")], "parts[1].image.data", "IMAGE_UNREADABLE"),
        ([image(PNG[:-1])], "parts[0].image.data", "IMAGE_UNREADABLE"),
        ([image(JPEG[:-1])], "parts[0].image.data", "IMAGE_UNREADABLE"),
        ([image(WEBP[:-1])], "parts[0].image.data", "IMAGE_UNREADABLE"),
        ([image(PNG)] * 9, "parts", "TOO_MANY_IMAGES"),
        ([pb.ContentPart()], "parts[0]", "INVALID_ARGUMENT"),
        ([image(PNG + bytes(5_000_000))], "parts[0].image.data", "INVALID_ARGUMENT"),
    ],
)
async def test_what_is_no_image_that_is_taken_is_refused(
    user: User, parts: list[pb.ContentPart], field: str, reason: str
) -> None:
    error = await refusal(user.send("look", model="gpt-4.1-mini", parts=parts))

    assert isinstance(error, InvalidArgument)
    assert (error.reason, [violation.field for violation in error.violations]) == (reason, [field])
    assert not (await user.conversations()).conversations


async def test_a_model_that_cannot_see_is_shown_no_image(user: User, provider: LLMock) -> None:
    error = await refusal(user.send("look", model="smollm2-135m", parts=[image(PNG)]))
    sent = await user.send("look", model="gpt-4.1-mini", parts=[image(PNG)])
    await user.send("and in words?", model="smollm2-135m", conversation_id=sent.conversation_id)

    said = await asked_with(provider)
    blind = await user.send("", model="gpt-4.1-mini", parts=[image(PNG)])
    again = await refusal(user.regenerate(blind.conversation_id, blind.message.id, model="smollm2-135m"))

    assert [error.reason, again.reason] == ["MODEL_LACKS_VISION"] * 2
    assert "look" in said
    assert "image" not in said


async def test_an_attachment_that_is_not_there_is_not_found(user: User) -> None:
    unknown = pb.GetAttachmentRequest(attachment_id="0199c2f4-7a10-7c3e-9d55-3f1b8a6f2e01")

    assert isinstance(await refusal(user.stub.GetAttachment(unknown, metadata=user.metadata)), NotFound)
