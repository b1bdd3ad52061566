"""RPCs that OpenAI's clients call."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceServicer
from google.api.httpbody_pb2 import HttpBody

from chat_svc import completing, entitlements
from chat_svc.catalogue import Catalogue
from chat_svc.completions import answering, reading
from chat_svc.generations import Generations
from chat_svc.servicer import bridge
from chat_svc.servicer.answers import Answers
from chat_svc.texts import clean
from chat_svc.wishes import Completion
from svckit import identity
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class CompletionRpcs(ChatServiceServicer):
    """Serves completions, and models as OpenAI lists them."""

    database: Database
    catalogue: Catalogue
    generations: Generations
    answers: Answers

    async def CreateChatCompletion(
        self, request: pb.CreateChatCompletionRequest, context: Context
    ) -> AsyncIterator[pb.CreateChatCompletionResponse]:
        asked = reading.read(request.body.data)
        wanted = Completion(
            owner_id=identity.user_id(),
            prompt=asked.prompt,
            model=asked.model,
            body=request.body.data,
            idempotency_key=clean(request.idempotency_key),
        )
        content_type = "text/event-stream" if asked.stream else "application/json"
        async with (
            self.generations.attached(wanted) as begun,
            aclosing(await self.answers.events(begun, after=-1)) as events,
            aclosing(answering.answers(events, begun, asked)) as answers,
        ):
            async for data in answers:
                yield pb.CreateChatCompletionResponse(body=HttpBody(content_type=content_type, data=data))

    async def ListCompatibleModels(
        self, request: pb.ListCompatibleModelsRequest, context: Context
    ) -> pb.ListCompatibleModelsResponse:
        allowance = await entitlements.of_caller(self.database)
        served = [row for row in self.catalogue.models if self.catalogue.answers(row) and allowance.includes(row)]
        return pb.ListCompatibleModelsResponse(object="list", data=map(bridge.compatible_model, served))

    async def GetCompatibleModel(
        self, request: pb.GetCompatibleModelRequest, context: Context
    ) -> pb.GetCompatibleModelResponse:
        allowance = await entitlements.of_caller(self.database)
        found = completing.chosen(self.catalogue, request.model, included=allowance.includes)
        return pb.GetCompatibleModelResponse(model=bridge.compatible_model(found))
