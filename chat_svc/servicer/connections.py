"""The RPC that has many requests served over one connection."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceServicer

from chat_svc import conversing
from chat_svc.generations import Generations
from chat_svc.servicer.answers import Answers
from chat_svc.servicer.asking import draft_of
from svckit import identity
from svckit.errors import InvalidArgument
from svckit.identity import TokenVerifier
from svckit.rpc.call import Context
from svckit.rpc.validation import Validation


@dataclass(kw_only=True, eq=False)
class ConnectionRpcs(ChatServiceServicer):
    """Serves connections."""

    generations: Generations
    answers: Answers
    verifier: TokenVerifier
    validation: Validation = field(default_factory=Validation)

    async def Converse(
        self, requests: AsyncIterator[pb.ConverseRequest], context: Context
    ) -> AsyncIterator[pb.ConverseResponse]:
        async with aclosing(conversing.answers(requests, admit=self._admit, perform=self._perform)) as answers:
            async for answer in answers:
                yield answer

    async def _admit(self) -> None:
        """Believe the connection's token once more: it may have expired, or its session have been ended."""
        await self.verifier.verify(identity.authorization().partition(" ")[2].strip())

    async def _perform(self, request: pb.ConverseRequest) -> AsyncGenerator[pb.ConverseResponse, None]:
        """The answers to one request of a connection. Raises what the RPC of that request raises."""
        action = request.WhichOneof("action")
        if action is None:
            raise InvalidArgument.of("action", "must be one of send, resume and cancel")
        with _paths_within(action):
            self.validation.checked(getattr(request, action))
            draft = draft_of(request.send) if action == "send" else None
        if action == "cancel":
            cancelled = await self.answers.cancel(request.cancel.generation_id)
            yield pb.ConverseResponse(generation_id=cancelled.id, cancelled=cancelled)
            return
        if draft is not None:
            found, after = await self.generations.begin(draft), -1
        else:
            found = await self.answers.find(request.resume.generation_id)
            after = request.resume.after if request.resume.HasField("after") else -1
        async with aclosing(await self.answers.events(found, after=after)) as events:
            async for event in events:
                yield pb.ConverseResponse(generation_id=found.id, event=event)


@contextmanager
def _paths_within(action: str) -> Iterator[None]:
    """Have the paths of what is wrong in the block begin with the action."""
    try:
        yield
    except InvalidArgument as error:
        found = [replace(violation, field=f"{action}.{violation.field}") for violation in error.violations]
        raise InvalidArgument(f"{action}.{error.message}", reason=error.reason, violations=found) from None
