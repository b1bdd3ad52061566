"""What the chat service reads from its environment."""

from pathlib import Path
from typing import Annotated

from pydantic import AnyHttpUrl, NonNegativeInt, PositiveFloat, PostgresDsn, RedisDsn, SecretStr

from svckit.settings import DEVELOPMENT_ONLY, NatsReplicas, ServiceSettings


class ChatSettings(ServiceSettings):
    """The variables are these names in upper case. Without a model's URL or key there is nobody to answer."""

    listen: str = "127.0.0.1:3002"
    admin_listen: str = "127.0.0.1:9002"
    database_url: Annotated[PostgresDsn, DEVELOPMENT_ONLY] = PostgresDsn("postgresql://127.0.0.1/chatmesh")
    redis_url: Annotated[RedisDsn, DEVELOPMENT_ONLY] = RedisDsn("redis://127.0.0.1:6379/0")
    nats_url: Annotated[str, DEVELOPMENT_ONLY] = "nats://127.0.0.1:4222"
    nats_replicas: NatsReplicas = 1
    auth_service_url: Annotated[str, DEVELOPMENT_ONLY] = "127.0.0.1:3001"
    # A server on this machine that speaks OpenAI's wire and needs no key; the URL ends in `/v1`.
    local_model_url: AnyHttpUrl | None = None
    openai_api_key: SecretStr | None = None
    openai_base_url: AnyHttpUrl = AnyHttpUrl("https://api.openai.com/v1")
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: AnyHttpUrl = AnyHttpUrl("https://api.anthropic.com")
    # Of their API, a date; empty: the one that the SDK was made for.
    anthropic_version: str | None = None
    google_api_key: SecretStr | None = None
    google_base_url: AnyHttpUrl = AnyHttpUrl("https://generativelanguage.googleapis.com")
    google_api_version: str = "v1beta"
    # Such as catalogue.toml, which it stands for; read anew when it changes.
    models_file: Path | None = None
    # In seconds: how long a provider may take to be connected, to the first text (further attempts included), between
    # two pieces of it, and for a whole answer.
    model_connect_timeout: PositiveFloat = 5
    model_first_token_timeout: PositiveFloat = 120
    model_idle_timeout: PositiveFloat = 30
    model_total_timeout: PositiveFloat = 600
    # Seconds before a provider that failed is asked a second time; four times that before the third and last.
    model_retry_pause: PositiveFloat = 0.5
    # Whether a model is asked for titles; else they are the first words.
    titles_by_model: bool = True
    # Seconds without a reader after which an answer is left behind, and after which it is stopped.
    unread_answer_grace: PositiveFloat = 30
    unread_answer_timeout: PositiveFloat = 300
    # Answers left behind that may go on, of one user and in all; each replica counts its own.
    unread_answers_per_user: NonNegativeInt = 4
    unread_answers_per_replica: NonNegativeInt = 500
