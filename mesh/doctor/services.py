"""The services and the edge, asked from here as their clients ask."""

import aiohttp
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest as _Request
from grpc_health.v1.health_pb2 import HealthCheckResponse as _Response

from mesh.doctor.finding import Unwell
from svckit import clients
from svckit.tls import Tls

_SECONDS = 5.0
_CHECK = "/grpc.health.v1.Health/Check"


async def service(name: str, target: str, tls: Tls | None) -> str:
    """Ask a service by gRPC whether it serves, with this environment's certificate where there is one."""
    todo = f"{name.upper()}_SERVICE_URL: does it run there? Its log says why it does not: `chatmesh {name}` shows it"
    try:
        async with clients.bare_channel(target, services=[], tls=tls) as channel:
            check = channel.unary_unary(_CHECK, _Request.SerializeToString, _Response.FromString)
            answer = await check(_Request(), timeout=_SECONDS)
    except OSError as error:
        raise Unwell(str(error), todo="GRPC_TLS_…: are the three files there, and readable?") from None
    except grpc.aio.AioRpcError as error:
        raise Unwell(f"{target}: {error.details()}", todo=todo) from None
    if answer.status != _Response.SERVING:
        raise Unwell(f"{target}: it is stopping", todo="wait until it is back")
    return f"{target} serves"


async def edge(url: str) -> str:
    """Ask the edge for its own view of all services."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as answer:
            said = await answer.json(content_type=None)
    except (aiohttp.ClientError, ValueError) as error:
        raise Unwell(f"{url}: {error}", todo="does it run there? `chatmesh edge` shows why not") from None
    if answer.status != 200:
        raise Unwell(f"{url}/health: {answer.status} {said}", todo="look at the services that it names")
    return f"{url} serves, and reaches every service"
