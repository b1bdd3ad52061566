"""`python -m edge.transcoder` put together: descriptors, transcoder, server; until it is stopped."""

import asyncio
import signal
import sys
from collections.abc import Collection, Sequence

import grpc.aio

from edge.transcoder import openapi
from edge.transcoder.forwarding import Forwarding
from edge.transcoder.grpc_upstream import GrpcUpstream
from edge.transcoder.options import Options
from edge.transcoder.problems import Refused
from edge.transcoder.routes import Route
from edge.transcoder.standalone import descriptor_sets
from edge.transcoder.standalone.arguments import USUAL_HEADERS, Arguments
from edge.transcoder.standalone.descriptor_sets import Files, StartError
from edge.transcoder.standalone.reflection import reflected
from edge.transcoder.standalone.serving import OPENAPI, Handler, listening
from edge.transcoder.transcoder import Transcoder

_CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 200),  # an upstream that was away is found soon after its return
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    ("grpc.max_receive_message_length", -1),  # the upstream is trusted; what clients send is limited before
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)


async def serve(arguments: Arguments) -> None:
    """Serve until a signal cancels this task; raises StartError."""
    _end_on_signals()
    async with grpc.aio.insecure_channel(str(arguments.upstream), options=_CHANNEL) as channel:
        files, present = await _descriptors(arguments, channel)
        services = _chosen(present, arguments.services)
        descriptors = descriptor_sets.serialized(files, services)
        transcoder = _transcoder(arguments, descriptors, services, channel)
        handler = Handler(
            transcoder,
            Forwarding((*USUAL_HEADERS, *arguments.headers)),
            openapi=_document(transcoder, descriptors) if arguments.openapi else None,
            timeout=arguments.timeout,
            access_log=arguments.access_log,
        )
        async with listening(
            handler, arguments.listen, max_body_bytes=arguments.max_body_bytes, grace=arguments.grace
        ) as url:
            _say(_summary(transcoder.routes, url, arguments))
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await transcoder.close()


def _end_on_signals() -> None:
    """SIGINT or SIGTERM cancels the running task, whose contexts close what they opened; a second one kills."""
    loop, serving = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)
            signal.signal(signum, signal.SIG_DFL)
        if serving is not None:
            serving.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop)


async def _descriptors(arguments: Arguments, channel: grpc.aio.Channel) -> tuple[Files, set[str]]:
    """The files, and the full names of the services in them that can be served."""
    if arguments.descriptor_set is None:
        return await reflected(channel, arguments.services)
    files = descriptor_sets.read(arguments.descriptor_set)
    return files, descriptor_sets.services_of(files)


def _chosen(present: Collection[str], wanted: Sequence[str]) -> Collection[str]:
    for name in wanted:
        if name not in present:
            raise StartError(f"there is no service {name}; there are: {', '.join(sorted(present)) or 'none'}")
    return wanted or present


def _transcoder(
    arguments: Arguments, descriptors: bytes, services: Collection[str], channel: grpc.aio.Channel
) -> Transcoder:
    options = Options(
        unescape=arguments.unescape,
        ignore_unknown=arguments.ignore_unknown,
        emit_defaults=arguments.emit_defaults,
    )
    try:
        transcoder = Transcoder(descriptors, GrpcUpstream(dict.fromkeys(services, channel)), options)
    except ValueError as error:  # a RuleError, or descriptors that contradict one another
        raise StartError(str(error)) from None
    if not transcoder.routes:
        raise StartError(f"no google.api.http annotation on any RPC of {', '.join(sorted(services)) or 'no service'}")
    return transcoder


def _document(transcoder: Transcoder, descriptors: bytes) -> bytes | None:
    """The OpenAPI document; None if an RPC is what its path means."""
    try:
        transcoder.match("GET", OPENAPI)
    except Refused:
        title = ", ".join(sorted({route.method.parent.type_name for route in transcoder.routes}))
        return openapi.document(descriptors, transcoder.routes, openapi.About(title=title, version="unversioned"))
    return None


def _summary(routes: Sequence[Route], url: str, arguments: Arguments) -> str:
    services = {route.method.parent.type_name for route in routes}
    lines = [
        f"serving {_count(len(routes), 'route')} of {_count(len(services), 'service')} on {url} → {arguments.upstream}"
    ]
    if arguments.verbose:
        methods = max(len(route.http_method) for route in routes)
        texts = max(len(route.template.text) for route in routes)
        lines += [f"  {r.http_method:{methods}} {r.template.text:{texts}}  {r.rpc}" for r in routes]
    return "\n".join(lines)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
