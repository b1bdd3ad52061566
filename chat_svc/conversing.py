"""Many requests over one connection, served side by side; one that fails is answered, and the others go on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeAlias

from chatmesh.chat.v1 import chat_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from svckit.errors import ResourceExhausted, ServiceError

MAX_AT_ONCE = 16  # requests that one connection may have served at the same time
_MAX_WAITING = 16  # answers that wait for a slow client; then nothing more is taken from their generations

Perform: TypeAlias = Callable[[pb.ConverseRequest], AsyncGenerator[pb.ConverseResponse, None]]


async def answers(
    requests: AsyncIterator[pb.ConverseRequest], *, admit: Callable[[], Awaitable[None]], perform: Perform
) -> AsyncGenerator[pb.ConverseResponse, None]:
    """What `perform` answers to each request, mixed as it comes, each with its request's id.

    A ServiceError that it raises is answered as a refusal. `admit` is asked before each request; what it raises ends
    it all. When this is closed, what is still being performed is cancelled.
    """
    connection = _Connection(perform)
    serving = asyncio.create_task(connection.serve(requests, admit=admit))
    serving.add_done_callback(lambda _: connection.end())
    try:
        while (answer := await connection.next()) is not None:
            yield answer
        await serving
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)  # nobody is there any more to be told


class _Connection:
    """The requests of one connection that are being served, and the answers that wait to be sent."""

    def __init__(self, perform: Perform) -> None:
        self._perform = perform
        self._served = 0
        self._room = asyncio.Semaphore(_MAX_WAITING)
        self._waiting: asyncio.Queue[pb.ConverseResponse | None] = asyncio.Queue()

    async def serve(self, requests: AsyncIterator[pb.ConverseRequest], *, admit: Callable[[], Awaitable[None]]) -> None:
        """Serve all requests that come; done when the last one is."""
        try:
            async with asyncio.TaskGroup() as tasks:
                async for request in requests:
                    await admit()
                    if self._served >= MAX_AT_ONCE:
                        await self._answer(request, _refusal(_too_many()))
                        continue
                    self._served += 1
                    tasks.create_task(self._serve(request))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    def end(self) -> None:
        """Nothing more will come."""
        self._waiting.put_nowait(None)

    async def next(self) -> pb.ConverseResponse | None:
        """The next answer; None at the end."""
        answer = await self._waiting.get()
        self._room.release()
        return answer

    async def _serve(self, request: pb.ConverseRequest) -> None:
        try:
            async with aclosing(self._perform(request)) as answered:
                async for answer in answered:
                    await self._answer(request, answer)
        except ServiceError as error:
            await self._answer(request, _refusal(error))
        finally:
            self._served -= 1

    async def _answer(self, request: pb.ConverseRequest, answer: pb.ConverseResponse) -> None:
        """Send it, once there is room."""
        await self._room.acquire()
        answer.request_id = request.request_id
        self._waiting.put_nowait(answer)


def _too_many() -> ResourceExhausted:
    return ResourceExhausted(f"at most {MAX_AT_ONCE} requests at the same time", reason="TOO_MANY_REQUESTS")


def _refusal(error: ServiceError) -> pb.ConverseResponse:
    retry_after = None
    if error.retry_after is not None:
        retry_after = Duration()
        retry_after.FromTimedelta(error.retry_after)
    return pb.ConverseResponse(
        refusal=pb.Refusal(
            code=error.reason.lower(),
            message=error.message,
            violations=[pb.FieldViolation(field=v.field, description=v.description) for v in error.violations],
            retry_after=retry_after,
        )
    )
