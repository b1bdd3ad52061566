"""What the auth service reads from its environment."""

from email.utils import parseaddr
from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, Field, PostgresDsn, RedisDsn, SecretStr

from auth_svc.smtp import SmtpServer
from svckit.settings import DEVELOPMENT_ONLY, Settings


def _smtp_url(url: SecretStr) -> SecretStr:
    SmtpServer.at(url.get_secret_value())
    return url


def _mailbox(text: str) -> str:
    if "@" not in parseaddr(text)[1]:
        raise ValueError("must be `address` or `Name <address>`")
    return text


class AuthSettings(Settings):
    """The variables are these names in upper case."""

    listen: str = "127.0.0.1:3001"
    admin_listen: str = "127.0.0.1:9001"
    database_url: Annotated[PostgresDsn, DEVELOPMENT_ONLY] = PostgresDsn("postgresql://127.0.0.1/chatmesh")
    redis_url: Annotated[RedisDsn, DEVELOPMENT_ONLY] = RedisDsn("redis://127.0.0.1:6379/0")
    nats_url: Annotated[str, DEVELOPMENT_ONLY] = "nats://127.0.0.1:4222"
    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url), DEVELOPMENT_ONLY] = SecretStr("smtp://127.0.0.1:1025")
    mail_from: Annotated[str, AfterValidator(_mailbox), DEVELOPMENT_ONLY] = "chatmesh <no-reply@localhost>"
    # Where people reach the product: links in mails begin with it.
    public_url: Annotated[AnyHttpUrl, DEVELOPMENT_ONLY] = AnyHttpUrl("http://127.0.0.1:4000")
    # Seals the secrets of authenticator apps: whoever loses it, has everybody enrol anew.
    mfa_secret: Annotated[SecretStr, Field(min_length=32), DEVELOPMENT_ONLY] = SecretStr(
        "chatmesh-development-second-factors"
    )
    # argon2id; the defaults are OWASP's minimum. A password is hashed anew when its owner signs in after a change.
    argon2_memory_kib: Annotated[int, Field(ge=8)] = 19456
    argon2_time_cost: Annotated[int, Field(ge=1)] = 2
    argon2_parallelism: Annotated[int, Field(ge=1)] = 1
    # Passwords that are hashed at a time: each keeps a core busy.
    argon2_workers: Annotated[int, Field(ge=1)] = 2
