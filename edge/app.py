"""The edge put together: from settings to a server that listens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import structlog
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from chatmesh.analytics.v1 import analytics_pb2
from chatmesh.auth.v1 import auth_pb2, auth_pb2_grpc
from chatmesh.billing.v1 import billing_pb2
from chatmesh.chat.v1 import chat_pb2
from google.protobuf.descriptor import ServiceDescriptor

from edge import webhooks
from edge.callers import Callers
from edge.connections import ConnectionLimits, Connections
from edge.console.traces import trace_pages
from edge.limits import Admission, Counter, Rates
from edge.limits.shared import connected
from edge.observed_upstream import ObservedUpstream
from edge.openapi import NULLS, api_document
from edge.pages import descriptors, pages
from edge.policies import policies_of
from edge.protocol import Server
from edge.requests import Requests
from edge.sessions import Credential, Exchanged, Sessions
from edge.settings import EdgeSettings
from edge.transcoder import GrpcUpstream, Options, Transcoder
from svckit import clients, process, redis_client
from svckit.identity import RemoteKeys, ServiceCredential, TokenVerifier, keys_of
from svckit.revocations import Revocations
from svckit.rpc.call import rpcs_of
from svckit.rpc.status import received

log = structlog.get_logger(__name__)

# By the name that `/health` and the log show.
SERVICES: Mapping[str, ServiceDescriptor] = {
    "auth": auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
    "chat": chat_pb2.DESCRIPTOR.services_by_name["ChatService"],
    "billing": billing_pb2.DESCRIPTOR.services_by_name["BillingService"],
    "analytics": analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"],
}


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a running edge is: `url` as `http://host:port`."""

    url: str


@asynccontextmanager
async def serving(settings: EdgeSettings) -> AsyncIterator[Serving]:
    """Serve for as long as the block runs. Services may be away: their routes answer 503 until they are back."""
    credential = ServiceCredential("edge", settings.service_secret.get_secret_value())
    targets = {
        "auth": settings.auth_service_url,
        "chat": settings.chat_service_url,
        "billing": settings.billing_service_url,
        "analytics": settings.analytics_service_url,
    }
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(
                clients.bare_channel(targets[name], services=[service], tls=settings.tls)
            )
            for name, service in SERVICES.items()
        }
        # For what the edge itself asks: the bare ones carry other people's requests and add nothing to them.
        auth, billing = [
            await stack.enter_async_context(
                clients.channel(targets[name], services=[SERVICES[name]], credential=credential, tls=settings.tls)
            )
            for name in ("auth", "billing")
        ]
        redis = await stack.enter_async_context(redis_client.connected(str(settings.redis_url)))
        revocations = Revocations(redis)
        await stack.enter_async_context(process.background(revocations.run))
        callers = Callers(
            sessions=Sessions(exchange=_exchange(auth), revocations=revocations),
            verifier=TokenVerifier(keys=RemoteKeys(keys_of(auth)), revocations=revocations),
        )
        straight = GrpcUpstream({SERVICES[name].full_name: channel for name, channel in channels.items()})
        found = descriptors()
        rpcs = {f"/{rpc.name}": rpc for service in SERVICES.values() for rpc in rpcs_of(service)}
        options = Options(
            emit_defaults=True,
            patience=settings.body_timeout,
            event_id="event.sequence",
            open_queries={path for path, rpc in rpcs.items() if rpc.open_query},
            nulls=NULLS,
        )
        transcoder = Transcoder(found, ObservedUpstream(straight), options)
        requests = Requests(
            transcoder=transcoder,
            pages=pages(channels=channels, document=api_document(found, transcoder.routes, rpcs))
            | {("POST", webhooks.PATH): webhooks.stripe(billing, patience=settings.body_timeout)}
            | ({} if settings.production else trace_pages(patience=settings.body_timeout)),
            rpcs=rpcs,
            admission=Admission(callers=callers, rates=_rates(settings), counter=await _counter(stack, settings)),
            credential=credential,
            policies=policies_of(settings),
        )
        url = await _listen(stack, requests, settings)
        stack.push_async_callback(transcoder.close)
        yield Serving(url)


def _rates(settings: EdgeSettings) -> Rates:
    return Rates(
        general=settings.rate_limit_per_minute,
        sign_in=settings.sign_in_limit_per_minute,
        mail=settings.mail_limit_per_minute,
    )


async def _counter(stack: AsyncExitStack, settings: EdgeSettings) -> Counter | None:
    """What counts requests, on a connection of its own, which gives up sooner than others; None without limits."""
    if not settings.rate_limit_per_minute:
        return None
    counter = Counter(await stack.enter_async_context(connected(str(settings.redis_url))))
    await stack.enter_async_context(process.background(counter.run))
    return counter


def _exchange(channel: grpc.aio.Channel) -> Callable[[Credential], Awaitable[Exchanged]]:
    """Ask auth for the access token of a cookie or an API key."""
    stub = auth_pb2_grpc.AuthServiceStub(channel)

    async def exchange(credential: Credential) -> Exchanged:
        request = auth_pb2.ExchangeSessionRequest()
        setattr(request, credential.kind, credential.secret)
        try:
            answer = await stub.ExchangeSession(request)
        except grpc.aio.AioRpcError as error:
            raise received(error) from None
        return Exchanged(answer.access_token, answer.session_id, answer.expire_time.seconds)

    return exchange


async def _listen(stack: AsyncExitStack, requests: Requests, settings: EdgeSettings) -> str:
    """Open the port; at the end of the stack, requests that are being answered get `stop_grace` seconds."""
    loop = asyncio.get_running_loop()

    def request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=settings.max_body_bytes)

    # The low-level server: one handler, no application router or middleware between a request and its route.
    connections = Connections(_connection_limits(settings), requests.policies.addresses)
    await stack.enter_async_context(process.background(connections.run))
    server = Server(
        requests.handle, headers=requests.policies.headers, connections=connections, request_factory=request
    )
    runner = web.ServerRunner(server, shutdown_timeout=settings.stop_grace)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, settings.edge_host, settings.edge_port)
    await site.start()
    host, port = runner.addresses[0][:2]
    log.info("serving", address=f"{host}:{port}")
    return f"http://{host}:{port}"


def _connection_limits(settings: EdgeSettings) -> ConnectionLimits:
    return ConnectionLimits(
        head=settings.head_timeout,
        idle=settings.idle_timeout,
        stall=settings.stall_timeout,
        most=settings.max_connections,
        most_per_address=settings.max_connections_per_address,
    )
