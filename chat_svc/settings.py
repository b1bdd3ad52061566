"""What the chat service reads from its environment."""

from typing import Annotated

from pydantic import AnyHttpUrl, PostgresDsn, RedisDsn, SecretStr

from svckit.settings import DEVELOPMENT_ONLY, Settings


class ChatSettings(Settings):
    """The variables are these names in upper case. Without a model's URL or key there is nobody to answer."""

    listen: str = "127.0.0.1:3002"
    admin_listen: str = "127.0.0.1:9002"
    database_url: Annotated[PostgresDsn, DEVELOPMENT_ONLY] = PostgresDsn("postgresql://127.0.0.1/chatmesh")
    redis_url: Annotated[RedisDsn, DEVELOPMENT_ONLY] = RedisDsn("redis://127.0.0.1:6379/0")
    nats_url: Annotated[str, DEVELOPMENT_ONLY] = "nats://127.0.0.1:4222"
    auth_service_url: Annotated[str, DEVELOPMENT_ONLY] = "127.0.0.1:3001"
    # A server on this machine that speaks OpenAI's wire and needs no key; the URL ends in `/v1`.
    local_model_url: AnyHttpUrl | None = None
    openai_api_key: SecretStr | None = None
    openai_base_url: AnyHttpUrl = AnyHttpUrl("https://api.openai.com/v1")
