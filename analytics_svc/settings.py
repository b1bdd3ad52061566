"""What the analytics service reads from its environment."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import NonNegativeInt, RedisDsn, ValidationInfo, field_validator

from analytics_svc.nightly import Nightly
from svckit.settings import DEVELOPMENT_ONLY, NatsReplicas, ServiceSettings


class WarehouseSettings(ServiceSettings):
    """Where the tables are and how long they keep what: all that migrating them needs."""

    # http(s)://user:password@host:port/database, or chdb:///path for the engine inside this process.
    clickhouse_url: Annotated[str, DEVELOPMENT_ONLY] = "http://127.0.0.1:8123/default"
    # The name of the server's cluster: one shard, whose replicas then all have all tables.
    clickhouse_cluster: str = ""
    # Days after which an event, and what somebody used in a quarter hour, is deleted; 0: never.
    events_retention_days: NonNegativeInt = 0
    usage_retention_days: NonNegativeInt = 0

    @property
    def kept_days(self) -> dict[str, int]:
        """By table; 0: for ever."""
        return {"events": self.events_retention_days, "user_usage_15m": self.usage_retention_days}

    @field_validator("clickhouse_url")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        url = urlsplit(value)
        where = {"http": url.hostname, "https": url.hostname, "chdb": url.path.strip("/")}
        if not where.get(url.scheme):
            raise ValueError("must be http(s)://user:password@host:port/database or chdb:///path")
        return value

    @field_validator("clickhouse_cluster")
    @classmethod
    def _of_a_server(cls, value: str, info: ValidationInfo) -> str:
        if not re.fullmatch(r"\w*", value):
            raise ValueError("must be a name of letters, digits and underscores")
        if value and info.data.get("clickhouse_url", "").startswith("chdb:"):
            raise ValueError("the embedded engine has no cluster")
        return value


class AnalyticsSettings(WarehouseSettings):
    """The variables are these names in upper case."""

    listen: str = "127.0.0.1:3004"
    admin_listen: str = "127.0.0.1:9004"
    nats_url: Annotated[str, DEVELOPMENT_ONLY] = "nats://127.0.0.1:4222"
    nats_replicas: NatsReplicas = 1
    redis_url: Annotated[RedisDsn, DEVELOPMENT_ONLY] = RedisDsn("redis://127.0.0.1:6379/0")
    auth_service_url: Annotated[str, DEVELOPMENT_ONLY] = "127.0.0.1:3001"
    # When every day the deleted are forgotten and the views are compared with the raw events.
    analytics_audit_at: str = "03:00"

    @field_validator("analytics_audit_at")
    @classmethod
    def _time_of_day(cls, value: str) -> str:
        Nightly.parse(value)
        return value
