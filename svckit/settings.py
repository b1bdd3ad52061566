"""What every process reads from its environment; all that is wrong there is said at once, by variable name."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import AnyHttpUrl, Field, PositiveFloat, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from svckit import logs
from svckit.tls import Tls

# Marks a field whose default serves development only: `database_url: Annotated[str, DEVELOPMENT_ONLY] = "…"`.
DEVELOPMENT_ONLY = "development only"
# On how many servers of a cluster JetStream keeps each event, of streams that are not there yet; as many as it knows.
NatsReplicas: TypeAlias = Annotated[int, Field(ge=1, le=5)]


class SettingsError(Exception):
    """The environment is wrong; `problems` has one line for each variable that must change."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Settings(BaseSettings):
    """The base of each process's own settings: one field a variable, an empty variable counting as unset.

    Check fields with `field_validator`, not `model_validator`: pydantic runs the latter only when every field is
    right, and then its problem would come after the others instead of with them.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, validate_default=True)

    # First, so that the checks of the other fields can look at it.
    chatmesh_env: Literal["development", "production"] = "development"
    log_level: logs.Level = "info"
    log_format: logs.Format = "json"
    # Where spans go, by OTLP over HTTP; the other OTEL_… variables are read by OpenTelemetry's SDK itself.
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = None
    # Where errors are reported to: Sentry, or what speaks its protocol.
    sentry_dsn: SecretStr | None = None
    # What the processes of the mesh sign their service tokens with; the same in all of them.
    service_secret: Annotated[SecretStr, Field(min_length=32), DEVELOPMENT_ONLY] = SecretStr(
        "chatmesh-development-service-secret"
    )
    # Seconds that calls and streams being served may take to end when the process is stopped.
    stop_grace: PositiveFloat = 10
    # Mutual TLS between the processes: this one's certificate and key and the authority's certificates, all PEM files.
    grpc_tls_cert: Path | None = None
    grpc_tls_key: Path | None = None
    grpc_tls_ca: Path | None = None

    @property
    def tls(self) -> Tls | None:
        """What services are reached with and, of a service, served with; None for plaintext."""
        cert, key, authority = self.grpc_tls_cert, self.grpc_tls_key, self.grpc_tls_ca
        return Tls(cert, key, authority) if cert and key and authority else None

    @property
    def production(self) -> bool:
        return self.chatmesh_env == "production"

    @field_validator("grpc_tls_cert", "grpc_tls_key", "grpc_tls_ca")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value and not os.access(value, os.R_OK):
            raise ValueError(f"{value} cannot be read")
        return value

    @field_validator("grpc_tls_ca")
    @classmethod
    def _all_or_none(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        given = {value is None, *(info.data.get(name) is None for name in ("grpc_tls_cert", "grpc_tls_key"))}
        if len(given) > 1 and {"grpc_tls_cert", "grpc_tls_key"} <= info.data.keys():
            raise ValueError("GRPC_TLS_CERT, GRPC_TLS_KEY and GRPC_TLS_CA belong together: set all or none")
        return value

    @field_validator("*")
    @classmethod
    def _refuse_development_defaults(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        field = cls.model_fields[name]
        if info.data.get("chatmesh_env") != "production" or DEVELOPMENT_ONLY not in field.metadata:
            return value
        # An address may be the same there; a secret that everybody can read may not, even if it was set by hand.
        chosen = name.upper() in os.environ and not isinstance(value, SecretStr)
        if value == field.default and not chosen:
            raise ValueError("must be set in production")
        return value


class ServiceSettings(Settings):
    """The base of a gRPC service with tables of its own."""

    # A second gRPC port, for probes that speak no TLS: nothing but grpc.health.v1, in plaintext.
    health_listen: str = ""
    # Whether the process brings its tables up to date when it starts; if not, it waits until `chatmesh migrate` has.
    migrate_at_start: bool = True


SettingsT = TypeVar("SettingsT", bound=Settings)


def load(settings: type[SettingsT]) -> SettingsT:
    """Read the environment; raises `SettingsError` with every problem."""
    try:
        return settings()
    except ValidationError as error:
        raise SettingsError([_problem(str(e["loc"][0]), e["type"], e["msg"]) for e in error.errors()]) from None


def _problem(field: str, kind: str, message: str) -> str:
    """One line for a person; it never shows the value, which may be a secret."""
    said = "is required" if kind == "missing" else message.removeprefix("Value error, ")
    return f"{field.upper()}: {said[0].lower()}{said[1:]}"


def log_settings() -> tuple[logs.Level, logs.Format]:
    """LOG_LEVEL and LOG_FORMAT, or their defaults if they are wrong: even a process that cannot start must log."""
    level: Any = os.environ.get("LOG_LEVEL")
    format_: Any = os.environ.get("LOG_FORMAT")
    return level if level in get_args(logs.Level) else "info", format_ if format_ in get_args(logs.Format) else "json"


def otlp_endpoint() -> str:
    """Where spans go, empty where tracing is off; it begins before a process loads its settings."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    return os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")


def sentry() -> tuple[str, str]:
    """SENTRY_DSN, empty where errors are not reported, and the environment's name; they, too, count from the start."""
    return os.environ.get("SENTRY_DSN", ""), os.environ.get("CHATMESH_ENV") or "development"
