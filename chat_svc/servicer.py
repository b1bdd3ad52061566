"""The RPCs of ChatService, one method each. Those that are not here are not served yet."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceServicer
from google.api.httpbody_pb2 import HttpBody

from chat_svc import (
    attachment_store,
    bridge,
    completing,
    conversations,
    conversing,
    entitlements,
    owners,
    paging,
    quota,
    store,
    usage_store,
)
from chat_svc.catalogue import Catalogue
from chat_svc.completions import answering, reading
from chat_svc.conversations import Changes
from chat_svc.endings import Endings, text_of
from chat_svc.entitlements import Allowance
from chat_svc.failures import error_of
from chat_svc.generations import Generations
from chat_svc.models import Generation, State
from chat_svc.parts import read_parts, read_tools
from chat_svc.sending import Completion, Draft, Retake
from chat_svc.streams import Streams
from chat_svc.texts import clean
from svckit import identity
from svckit.errors import InvalidArgument, NotFound, Unavailable
from svckit.identity import TokenVerifier
from svckit.postgres import Database
from svckit.rpc.call import Context
from svckit.rpc.validation import Validation


class Chat(ChatServiceServicer):
    """Serves conversations and generations. All is looked for among the caller's own; the rest is not found."""

    def __init__(
        self,
        *,
        database: Database,
        catalogue: Catalogue,
        generations: Generations,
        streams: Streams,
        endings: Endings,
        verifier: TokenVerifier,
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._generations = generations
        self._streams = streams
        self._endings = endings
        self._verifier = verifier
        self._validation = Validation()

    async def GetConversation(self, request: pb.GetConversationRequest, context: Context) -> pb.GetConversationResponse:
        async with self._database.transaction() as session:
            found = await conversations.find(session, request.conversation_id, owner_id=identity.user_id())
        return pb.GetConversationResponse(conversation=bridge.conversation(found))

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: Context
    ) -> pb.ListConversationsResponse:
        size = paging.size_of(request.page_size)
        async with self._database.transaction() as session:
            found = await store.list_conversations(
                session,
                owner_id=identity.user_id(),
                archived=request.archived if request.HasField("archived") else None,
                after=paging.last_used(request.page_token) if request.page_token else None,
                limit=size + 1,
            )
        page = found[:size]
        more = len(found) > size
        return pb.ListConversationsResponse(
            conversations=map(bridge.conversation, page),
            next_page_token=paging.last_used_token(page[-1].updated_at, page[-1].id) if more else "",
        )

    async def SearchConversations(
        self, request: pb.SearchConversationsRequest, context: Context
    ) -> pb.SearchConversationsResponse:
        size = paging.size_of(request.page_size)
        async with self._database.transaction() as session:
            found = await store.search_conversations(
                session,
                owner_id=identity.user_id(),
                q=clean(request.q),
                after=paging.match(request.page_token) if request.page_token else None,
                limit=size + 1,
            )
        page = found[:size]
        more = len(found) > size
        return pb.SearchConversationsResponse(
            conversations=[bridge.conversation(match.conversation) for match in page],
            next_page_token=paging.match_token(page[-1].rank, page[-1].conversation.id) if more else "",
        )

    async def CreateConversation(
        self, request: pb.CreateConversationRequest, context: Context
    ) -> pb.CreateConversationResponse:
        owner_id, key = identity.user_id(), clean(request.idempotency_key)
        now = datetime.now(UTC)
        async with self._database.transaction() as session:
            allowance = await entitlements.allowance(session, owner_id, now=now)
            model = self._catalogue.choose(provider=request.provider, model=request.model, included=allowance.includes)
            await owners.take_turn(session, owner_id)
            made = await store.conversation_of_key(session, key, owner_id=owner_id) if key else None
            made = made or await conversations.create(
                session,
                owner_id=owner_id,
                plan=allowance.plan,
                model=model,
                now=now,
                title=clean(request.title),
                system_prompt=clean(request.system_prompt),
                idempotency_key=key,
            )
        await context.send_initial_metadata((("x-http-status", "201"), ("location", f"/api/conversations/{made.id}")))
        return pb.CreateConversationResponse(conversation=bridge.conversation(made))

    async def UpdateConversation(
        self, request: pb.UpdateConversationRequest, context: Context
    ) -> pb.UpdateConversationResponse:
        owner_id = identity.user_id()
        async with self._database.transaction() as session:
            allowance = await entitlements.allowance(session, owner_id, now=datetime.now(UTC))
            changes = self._changes(request, allowance=allowance)
            changed = await conversations.change(session, request.conversation_id, changes, owner_id=owner_id)
        return pb.UpdateConversationResponse(conversation=bridge.conversation(changed))

    async def DeleteConversation(
        self, request: pb.DeleteConversationRequest, context: Context
    ) -> pb.DeleteConversationResponse:
        async with self._database.transaction() as session:
            running = await conversations.delete(
                session, request.conversation_id, owner_id=identity.user_id(), now=datetime.now(UTC)
            )
        for generation_id in running:
            with suppress(Unavailable):  # then it ends by itself, and nobody keeps what it writes
                await self._generations.ask_to_cancel(generation_id)
        return pb.DeleteConversationResponse()

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> pb.ListMessagesResponse:
        size = paging.size_of(request.page_size)
        async with self._database.transaction() as session:
            found = await conversations.find(session, request.conversation_id, owner_id=identity.user_id())
            if found.active_message_id is None:
                return pb.ListMessagesResponse()
            leaf_id, after = found.active_message_id, -1
            if request.page_token:
                leaf_id, after = paging.branch(request.page_token)
            if request.newest_first:
                rows = await store.newest_of_branch(session, leaf_id, conversation_id=found.id, limit=size + 1)
            else:
                rows = await store.oldest_of_branch(
                    session, leaf_id, conversation_id=found.id, after=after, limit=size + 1
                )
            images = await attachment_store.references(session, [row.message.id for row in rows[:size]])
        token = ""
        if len(rows) > size:
            next_leaf_id = rows[size].message.id if request.newest_first else leaf_id
            token = paging.branch_token(next_leaf_id, rows[size - 1].message.depth)
        messages = [bridge.message(row, images.get(row.message.id, ())) for row in rows[:size]]
        return pb.ListMessagesResponse(messages=messages, next_page_token=token)

    async def RegenerateMessage(
        self, request: pb.RegenerateMessageRequest, context: Context
    ) -> pb.RegenerateMessageResponse:
        retake = Retake(
            owner_id=identity.user_id(),
            conversation_id=request.conversation_id,
            message_id=request.message_id,
            provider=request.provider,
            model=request.model,
            idempotency_key=clean(request.idempotency_key),
        )
        begun = await self._generations.begin(retake)
        return pb.RegenerateMessageResponse(generation=await self._generation(begun.id))

    async def SendMessage(self, request: pb.SendMessageRequest, context: Context) -> pb.SendMessageResponse:
        begun = await self._generations.begin(_draft(request))
        if begun.state == State.RUNNING:
            async with aclosing(await self._events(begun, after=-1)) as events:
                async for _ in events:
                    pass
        async with self._database.transaction() as session:
            answered = await store.find_answer(session, begun.id, owner_id=identity.user_id())
        if answered is None:
            raise NotFound("the conversation was deleted")
        if answered.generation.state == State.FAILED:
            raise error_of(answered.generation)
        return pb.SendMessageResponse(
            conversation_id=answered.message.conversation_id,
            user_message_id=answered.message.parent_id or "",
            message=bridge.message(answered),
        )

    async def StreamMessage(
        self, request: pb.StreamMessageRequest, context: Context
    ) -> AsyncIterator[pb.StreamMessageResponse]:
        begun = await self._generations.begin(_draft(request))
        # Without a key this is another message, whatever the client has seen of the one before.
        after = _last_event_id(context) if request.idempotency_key else -1
        async with aclosing(await self._events(begun, after=after)) as events:
            async for event in events:
                yield pb.StreamMessageResponse(event=event)

    async def Converse(
        self, requests: AsyncIterator[pb.ConverseRequest], context: Context
    ) -> AsyncIterator[pb.ConverseResponse]:
        async with aclosing(conversing.answers(requests, admit=self._admit, perform=self._perform)) as answers:
            async for answer in answers:
                yield answer

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        allowance = await self._allowance()
        default = self._catalogue.default(included=allowance.includes)
        return pb.ListModelsResponse(
            models=[
                bridge.model(row, set_up=self._catalogue.answers(row), included=allowance.includes(row))
                for row in self._catalogue.models
            ],
            default_model=default.id if default else "",
        )

    async def GetGeneration(self, request: pb.GetGenerationRequest, context: Context) -> pb.GetGenerationResponse:
        return pb.GetGenerationResponse(generation=await self._generation(request.generation_id))

    async def ResumeGeneration(
        self, request: pb.ResumeGenerationRequest, context: Context
    ) -> AsyncIterator[pb.ResumeGenerationResponse]:
        found = await self._find_generation(request.generation_id)
        after = request.after if request.HasField("after") else _last_event_id(context)
        async with aclosing(await self._events(found, after=after)) as events:
            async for event in events:
                yield pb.ResumeGenerationResponse(event=event)

    async def CancelGeneration(
        self, request: pb.CancelGenerationRequest, context: Context
    ) -> pb.CancelGenerationResponse:
        return pb.CancelGenerationResponse(generation=await self._cancel(request.generation_id))

    async def GetAttachment(self, request: pb.GetAttachmentRequest, context: Context) -> pb.GetAttachmentResponse:
        async with self._database.transaction() as session:
            found = await attachment_store.find(session, request.attachment_id, owner_id=identity.user_id())
        if found is None:
            raise NotFound("no such attachment")
        name = f"{request.attachment_id}.{found.media_type.removeprefix('image/')}"
        await context.send_initial_metadata((("content-disposition", f'inline; filename="{name}"'),))
        return pb.GetAttachmentResponse(body=HttpBody(content_type=found.media_type, data=found.data))

    async def CreateChatCompletion(
        self, request: pb.CreateChatCompletionRequest, context: Context
    ) -> AsyncIterator[pb.CreateChatCompletionResponse]:
        asked = reading.read(request.body.data)
        wanted = Completion(owner_id=identity.user_id(), prompt=asked.prompt, model=asked.model)
        content_type = "text/event-stream" if asked.stream else "application/json"
        async with (
            self._generations.attached(wanted) as begun,
            aclosing(await self._events(begun, after=-1)) as events,
            aclosing(answering.answers(events, begun, asked)) as answers,
        ):
            async for data in answers:
                yield pb.CreateChatCompletionResponse(body=HttpBody(content_type=content_type, data=data))

    async def ListCompatibleModels(
        self, request: pb.ListCompatibleModelsRequest, context: Context
    ) -> pb.ListCompatibleModelsResponse:
        included = (await self._allowance()).includes
        served = [row for row in self._catalogue.models if self._catalogue.answers(row) and included(row)]
        return pb.ListCompatibleModelsResponse(object="list", data=map(bridge.compatible_model, served))

    async def GetCompatibleModel(
        self, request: pb.GetCompatibleModelRequest, context: Context
    ) -> pb.GetCompatibleModelResponse:
        found = completing.chosen(self._catalogue, request.model, included=(await self._allowance()).includes)
        return pb.GetCompatibleModelResponse(model=bridge.compatible_model(found))

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        owner_id = identity.user_id()
        async with self._database.transaction() as session:
            allowance = await entitlements.allowance(session, owner_id, now=datetime.now(UTC))
            standing = await quota.standing(session, owner_id, allowance)
            models = await usage_store.used_models(session, owner_id, period_start=allowance.period.start)
        return bridge.usage(standing, models)

    async def _admit(self) -> None:
        """Believe the connection's token once more: it may have expired, or its session have been ended."""
        await self._verifier.verify(identity.authorization().partition(" ")[2].strip())

    async def _perform(self, request: pb.ConverseRequest) -> AsyncGenerator[pb.ConverseResponse, None]:
        """The answers to one request of a connection. Raises what the RPC of that request raises."""
        action = request.WhichOneof("action")
        if action is None:
            raise InvalidArgument.of("action", "must be one of send, resume and cancel")
        with _paths_within(action):
            self._validation.checked(getattr(request, action))
            draft = _draft(request.send) if action == "send" else None
        if action == "cancel":
            cancelled = await self._cancel(request.cancel.generation_id)
            yield pb.ConverseResponse(generation_id=cancelled.id, cancelled=cancelled)
            return
        if draft is not None:
            found, after = await self._generations.begin(draft), -1
        else:
            found = await self._find_generation(request.resume.generation_id)
            after = request.resume.after if request.resume.HasField("after") else -1
        async with aclosing(await self._events(found, after=after)) as events:
            async for event in events:
                yield pb.ConverseResponse(generation_id=found.id, event=event)

    async def _cancel(self, generation_id: str) -> pb.Generation:
        """Stop the caller's generation if it runs; as it has ended."""
        found = await self._find_generation(generation_id)
        if found.state == State.RUNNING:
            await self._generations.cancel(found.id)
        return await self._generation(found.id)

    async def _allowance(self) -> Allowance:
        """What the caller may do now."""
        async with self._database.transaction() as session:
            return await entitlements.allowance(session, identity.user_id(), now=datetime.now(UTC))

    def _changes(self, request: pb.UpdateConversationRequest, *, allowance: Allowance) -> Changes:
        model = None
        if request.HasField("model"):
            model = self._catalogue.choose(provider="", model=request.model, included=allowance.includes)
        return Changes(
            title=clean(request.title) if request.HasField("title") else None,
            archived=request.archived if request.HasField("archived") else None,
            system_prompt=clean(request.system_prompt) if request.HasField("system_prompt") else None,
            model=model,
            active_message_id=request.active_message_id if request.HasField("active_message_id") else None,
        )

    async def _find_generation(self, generation_id: str) -> Generation:
        async with self._database.transaction() as session:
            found = await store.find_generation(session, generation_id, owner_id=identity.user_id())
        if found is None:
            raise NotFound("no such generation")
        return found

    async def _generation(self, generation_id: str) -> pb.Generation:
        """The caller's generation with its text; while it runs, that is what its stream has."""
        async with self._database.transaction() as session:
            found = await store.find_answer(session, generation_id, owner_id=identity.user_id())
        if found is None:
            raise NotFound("no such generation")
        text = found.message.text
        if found.generation.state == State.RUNNING:
            text = text_of(await self._streams.read(found.generation.id))  # as we spell it, not the caller
        return bridge.generation(found.generation, text=text)

    async def _events(self, generation: Generation, *, after: int) -> AsyncGenerator[pb.GenerationEvent, None]:
        """The events after that sequence to the last, as they come or as they are kept. Raises OutOfRange."""
        if generation.state == State.RUNNING:
            is_over = partial(self._endings.is_over, generation.id)
            return self._streams.follow(generation.id, after=after, is_over=is_over)
        await self._endings.is_over(generation.id)
        return _each(await self._streams.read(generation.id, after=after))


async def _each(events: Iterable[pb.GenerationEvent]) -> AsyncGenerator[pb.GenerationEvent, None]:
    for event in events:
        yield event


@contextmanager
def _paths_within(action: str) -> Iterator[None]:
    """Have the paths of what is wrong in the block begin with the action."""
    try:
        yield
    except InvalidArgument as error:
        found = [replace(violation, field=f"{action}.{violation.field}") for violation in error.violations]
        raise InvalidArgument(f"{action}.{error.message}", reason=error.reason, violations=found) from None


def _last_event_id(context: Context) -> int:
    """The sequence of the last event that the client has seen, as browsers send it when they connect again; else -1."""
    for key, value in context.invocation_metadata() or ():
        if key == "last-event-id" and value:
            if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18):
                raise InvalidArgument("Last-Event-ID: must be the id of an event")
            return int(value)
    return -1


def _draft(request: pb.SendMessageRequest | pb.StreamMessageRequest) -> Draft:
    text = clean(request.message)
    if not text and not request.parts:
        raise InvalidArgument.of("message", "must have a character that is not NUL, unless there are parts")
    images, results = read_parts(request.parts)
    return Draft(
        owner_id=identity.user_id(),
        text=text,
        conversation_id=request.conversation_id,
        provider=request.provider,
        model=request.model,
        parent_id=request.parent_id if request.HasField("parent_id") else None,
        idempotency_key=clean(request.idempotency_key),
        images=images,
        results=results,
        toolbox=read_tools(request.tools, request.tool_choice),
    )
