"""RPCs of generations: answers while they are written, and for a while after."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceServicer

from chat_svc.servicer.answers import Answers
from chat_svc.servicer.asking import last_event_id
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class GenerationRpcs(ChatServiceServicer):
    """Serves generations."""

    answers: Answers

    async def GetGeneration(self, request: pb.GetGenerationRequest, context: Context) -> pb.GetGenerationResponse:
        return pb.GetGenerationResponse(generation=await self.answers.show(request.generation_id))

    async def ResumeGeneration(
        self, request: pb.ResumeGenerationRequest, context: Context
    ) -> AsyncIterator[pb.ResumeGenerationResponse]:
        found = await self.answers.find(request.generation_id)
        after = request.after if request.HasField("after") else last_event_id(context)
        async with aclosing(await self.answers.events(found, after=after)) as events:
            async for event in events:
                yield pb.ResumeGenerationResponse(event=event)

    async def CancelGeneration(
        self, request: pb.CancelGenerationRequest, context: Context
    ) -> pb.CancelGenerationResponse:
        return pb.CancelGenerationResponse(generation=await self.answers.cancel(request.generation_id))
