"""What the edge reads from its environment."""

from typing import Annotated

from pydantic import Field, RedisDsn

from svckit.settings import DEVELOPMENT_ONLY, Settings

Port = Annotated[int, Field(ge=0, le=65535)]


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
    # A larger request body is refused with 413.
    max_body_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024 * 1024
