import asyncio
import threading
from datetime import timedelta

import grpc
from chatmesh.auth.v1 import auth_pb2 as pb

from svckit.errors import ResourceExhausted
from svckit.rpc.status import received
from tests.auth_svc.conftest import Start
from tests.auth_svc.hashing import CountingHasher


class HeldHasher(CountingHasher):
    """Checks no password until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def verify(self, hash: str, password: str) -> bool:
        self.let_go.wait()
        return super().verify(hash, password)


async def test_hashing_holds_up_nothing_else_and_its_queue_has_an_end(start: Start) -> None:
    hasher = HeldHasher()
    async with start(hasher=hasher, argon2_workers=1) as auth:
        calls = [asyncio.ensure_future(_outcome(auth.person().sign_in())) for _ in range(101)]
        try:
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert (await auth.stub.ListSigningKeys(pb.ListSigningKeysRequest())).keys
        finally:
            hasher.let_go.set()
        (refused,) = [call.result() for call in done]
        await asyncio.gather(*calls)

    assert isinstance(refused, ResourceExhausted)
    assert refused.retry_after == timedelta(seconds=2)
    assert hasher.verified == 100


async def _outcome(call: "grpc.aio.UnaryUnaryCall[pb.SignInRequest, pb.SignInResponse]") -> Exception | None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return received(error)
    return None
