"""What the auth service reads from its environment."""

import json
from email.utils import parseaddr
from typing import Annotated, TypeAlias

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BeforeValidator,
    Field,
    PostgresDsn,
    RedisDsn,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode

from auth_svc.oidc.configured import Configured
from auth_svc.smtp import SmtpServer
from svckit.settings import DEVELOPMENT_ONLY, NatsReplicas, ServiceSettings


def _smtp_url(url: SecretStr) -> SecretStr:
    SmtpServer.at(url.get_secret_value())
    return url


def _mailbox(text: str) -> str:
    if "@" not in parseaddr(text)[1]:
        raise ValueError("must be `address` or `Name <address>`")
    return text


def _providers(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"must be a JSON list: {error}") from None


def _distinct(providers: tuple[Configured, ...]) -> tuple[Configured, ...]:
    if len({provider.name for provider in providers}) < len(providers):
        raise ValueError("two providers have the same name")
    return providers


def _parts(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Providers: TypeAlias = Annotated[
    tuple[Configured, ...], NoDecode, BeforeValidator(_providers), AfterValidator(_distinct)
]
# A browser takes `//elsewhere.example`, and the same with a backslash, for another site.
Path: TypeAlias = Annotated[str, Field(pattern=r"^/([A-Za-z0-9._~-][A-Za-z0-9._~/-]*)?$")]
Paths: TypeAlias = Annotated[tuple[Path, ...], Field(min_length=1), NoDecode, BeforeValidator(_parts)]


class AuthSettings(ServiceSettings):
    """The variables are these names in upper case."""

    listen: str = "127.0.0.1:3001"
    admin_listen: str = "127.0.0.1:9001"
    database_url: Annotated[PostgresDsn, DEVELOPMENT_ONLY] = PostgresDsn("postgresql://127.0.0.1/chatmesh")
    redis_url: Annotated[RedisDsn, DEVELOPMENT_ONLY] = RedisDsn("redis://127.0.0.1:6379/0")
    nats_url: Annotated[str, DEVELOPMENT_ONLY] = "nats://127.0.0.1:4222"
    nats_replicas: NatsReplicas = 1
    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url), DEVELOPMENT_ONLY] = SecretStr("smtp://127.0.0.1:1025")
    mail_from: Annotated[str, AfterValidator(_mailbox), DEVELOPMENT_ONLY] = "chatmesh <no-reply@localhost>"
    # Where people reach the product: links in mails begin with it.
    public_url: Annotated[AnyHttpUrl, DEVELOPMENT_ONLY] = AnyHttpUrl("http://127.0.0.1:4000")
    # Seals the secrets of authenticator apps: whoever loses it, has everybody enrol anew.
    mfa_secret: Annotated[SecretStr, Field(min_length=32), DEVELOPMENT_ONLY] = SecretStr(
        "chatmesh-development-second-factors"
    )
    # Whom people can sign in with besides a password: a JSON list, see `oidc.configured`.
    oidc_providers: Providers = ()
    # Paths that a browser may be sent on to after that, below PUBLIC_URL; the first is the default.
    oidc_return_paths: Paths = ("/",)
    # argon2id; the defaults are OWASP's minimum. A password is hashed anew when its owner signs in after a change.
    argon2_memory_kib: Annotated[int, Field(ge=8)] = 19456
    argon2_time_cost: Annotated[int, Field(ge=1)] = 2
    argon2_parallelism: Annotated[int, Field(ge=1)] = 1
    # Passwords that are hashed at a time: each keeps a core busy.
    argon2_workers: Annotated[int, Field(ge=1)] = 2

    @field_validator("oidc_providers")
    @classmethod
    def _refuse_plain_http(cls, value: tuple[Configured, ...], info: ValidationInfo) -> tuple[Configured, ...]:
        plain = [provider.name for provider in value if not provider.issuer.startswith("https:")]
        if plain and info.data.get("chatmesh_env") == "production":
            raise ValueError(f"{', '.join(plain)}: the issuer must be https in production")
        return value
