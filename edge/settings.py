"""What the edge reads from its environment."""

import ipaddress
import re
from typing import Annotated, TypeAlias

from pydantic import AnyHttpUrl, BeforeValidator, Field, RedisDsn
from pydantic_settings import NoDecode

from edge.addresses import Network
from svckit.settings import DEVELOPMENT_ONLY, Settings

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
PerMinute = Annotated[int, Field(ge=1, le=10_000_000)]
_ORIGIN = re.compile(r"https?://[a-z0-9._-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")
_DEFAULT_PORT = re.compile(r"http:.*:80|https:.*:443")


def _parts(value: object) -> object:
    """The parts of a comma-separated list, as a variable holds it."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _network(value: object) -> Network:
    try:
        return ipaddress.ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}: addresses or networks such as 10.0.0.0/8 are needed, with commas") from None


def _origin(value: object) -> str:
    text = str(value)
    if not _ORIGIN.fullmatch(text) or _DEFAULT_PORT.fullmatch(text):
        raise ValueError(f"{text!r} is no origin as browsers send it, such as https://app.example.com")
    return text


Networks: TypeAlias = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...], NoDecode, BeforeValidator(_parts)
]
Origins: TypeAlias = Annotated[frozenset[Annotated[str, BeforeValidator(_origin)]], NoDecode, BeforeValidator(_parts)]


class EdgeSettings(Settings):
    """Where the edge listens, where the services are, and what it allows a request."""

    edge_host: str = "127.0.0.1"
    edge_port: Port = 4000
    # `host:port`, or `dns:///name:port` for every address behind a name.
    auth_service_url: Annotated[str, DEVELOPMENT_ONLY] = "127.0.0.1:3001"
    chat_service_url: Annotated[str, DEVELOPMENT_ONLY] = "127.0.0.1:3002"
    billing_service_url: Annotated[str, DEVELOPMENT_ONLY] = "127.0.0.1:3003"
    analytics_service_url: Annotated[str, DEVELOPMENT_ONLY] = "127.0.0.1:3004"
    redis_url: Annotated[RedisDsn, DEVELOPMENT_ONLY] = RedisDsn("redis://127.0.0.1:6379/0")
    # Where people reach the edge: whether by https, and which origin is its own.
    public_url: Annotated[AnyHttpUrl, DEVELOPMENT_ONLY] = AnyHttpUrl("http://127.0.0.1:4000")
    # Origins of front ends elsewhere that may call with cookies and read the answers.
    cors_origins: Origins = frozenset()
    # Whose X-Forwarded-For is believed.
    trusted_proxies: Networks = ()
    # Requests a minute: in general by user, or by address for those who are not signed in; 0 switches all limits off.
    rate_limit_per_minute: Annotated[int, Field(ge=0, le=10_000_000)] = 100
    # Tries of passwords and mailed tokens, by address (by user where one is signed in already).
    sign_in_limit_per_minute: PerMinute = 20
    # Requests that send a mail to an address of the caller's choice, by address.
    mail_limit_per_minute: PerMinute = 5
    # A larger request body is refused with 413.
    max_body_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024 * 1024
    # In seconds: for a request's head and for its body to come, between two requests of a connection, and for a client
    # to take something of what waits for it.
    head_timeout: Seconds = 10
    body_timeout: Seconds = 120
    idle_timeout: Seconds = 75  # longer than a load balancer's, which would otherwise send into a closing connection
    stall_timeout: Seconds = 30
    # Open connections, in all and from one address (an IPv6 /64) that is no trusted proxy's.
    max_connections: Annotated[int, Field(ge=1)] = 10_000
    max_connections_per_address: Annotated[int, Field(ge=1)] = 1_000

    @property
    def own_origin(self) -> str:
        """The origin of `public_url`, as browsers send it."""
        url = self.public_url
        port = "" if url.port in (None, {"http": 80, "https": 443}[url.scheme]) else f":{url.port}"
        return f"{url.scheme}://{url.host}{port}"
