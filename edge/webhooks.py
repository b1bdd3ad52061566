"""Stripe's webhooks: the body goes on byte for byte, because its signature is over the bytes."""

from collections.abc import Awaitable, Callable

import grpc
from aiohttp import web
from chatmesh.billing.v1 import billing_pb2, billing_pb2_grpc

from edge.transcoder.reading import read_body
from svckit.errors import InvalidArgument
from svckit.rpc.status import received

PATH = "/api/webhooks/stripe"


def stripe(channel: grpc.aio.Channel, *, patience: float) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """The handler of `PATH`. `channel` leads to billing and shows the edge's service credential.

    A body may take `patience` seconds to come.
    """
    stub = billing_pb2_grpc.BillingServiceStub(channel)

    async def receive(request: web.BaseRequest) -> web.Response:
        signature = request.headers.get("Stripe-Signature")
        if not signature:
            raise InvalidArgument("the Stripe-Signature header is missing", reason="SIGNATURE_INVALID")
        event = billing_pb2.ReceiveStripeEventRequest(
            payload=await read_body(request, patience=patience), signature=signature
        )
        try:
            await stub.ReceiveStripeEvent(event)
        except grpc.aio.AioRpcError as error:
            raise received(error) from None
        return web.Response(text="{}", content_type="application/json")

    return receive
