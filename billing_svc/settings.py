"""What the billing service reads from its environment, and what of it must not go together."""

from typing import Annotated

from pydantic import AnyHttpUrl, Field, PostgresDsn, RedisDsn, SecretStr, ValidationInfo, field_validator

from svckit.settings import DEVELOPMENT_ONLY, NatsReplicas, ServiceSettings

_STRIPE = "https://api.stripe.com"
_EMULATOR = "http://127.0.0.1:12111"
# Not a secret: the emulator takes any test key.
_EMULATOR_KEY = "sk_test_emulator"


class BillingSettings(ServiceSettings):
    """The variables are these names in upper case. Without a key of Stripe's, the emulator stands in for it."""

    listen: str = "127.0.0.1:3003"
    admin_listen: str = "127.0.0.1:9003"
    database_url: Annotated[PostgresDsn, DEVELOPMENT_ONLY] = PostgresDsn("postgresql://127.0.0.1/chatmesh")
    redis_url: Annotated[RedisDsn, DEVELOPMENT_ONLY] = RedisDsn("redis://127.0.0.1:6379/0")
    nats_url: Annotated[str, DEVELOPMENT_ONLY] = "nats://127.0.0.1:4222"
    nats_replicas: NatsReplicas = 1
    auth_service_url: Annotated[str, DEVELOPMENT_ONLY] = "127.0.0.1:3001"
    # Where people reach the edge: the customer portal's back link.
    public_url: Annotated[AnyHttpUrl, DEVELOPMENT_ONLY] = AnyHttpUrl("http://127.0.0.1:4000")
    # Where the emulator is; a key of Stripe's without it means Stripe itself. Before the key, which is checked with it.
    stripe_api_base: AnyHttpUrl | None = None
    stripe_secret_key: SecretStr | None = None
    # What Stripe signs webhooks with; two of them, comma-separated, while it is being changed.
    stripe_webhook_secret: Annotated[SecretStr, Field(min_length=8), DEVELOPMENT_ONLY] = SecretStr(
        "whsec_chatmesh_development"
    )

    @field_validator("stripe_secret_key")
    @classmethod
    def _key_fits(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if key is None and info.data.get("chatmesh_env") == "production":
            raise ValueError("must be set in production: the emulator takes no real money")
        base = info.data.get("stripe_api_base")
        if key and _is_live(key) and base and not _is_stripe(base):
            raise ValueError("a live key must not be sent anywhere but to Stripe: unset STRIPE_API_BASE")
        return key

    @property
    def emulated(self) -> bool:
        """Whether the money is not real because Stripe is not."""
        return not _is_stripe(self.stripe_url)

    @property
    def live(self) -> bool:
        """Whether real money moves."""
        return self.stripe_secret_key is not None and _is_live(self.stripe_secret_key)

    @property
    def stripe_url(self) -> str:
        default = _STRIPE if self.stripe_secret_key else _EMULATOR
        return str(self.stripe_api_base or default).rstrip("/")

    @property
    def stripe_key(self) -> str:
        return self.stripe_secret_key.get_secret_value() if self.stripe_secret_key else _EMULATOR_KEY

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        return tuple(filter(None, map(str.strip, self.stripe_webhook_secret.get_secret_value().split(","))))


def _is_live(key: SecretStr) -> bool:
    return key.get_secret_value().startswith(("sk_live_", "rk_live_"))


def _is_stripe(url: AnyHttpUrl | str) -> bool:
    return str(url).rstrip("/") == _STRIPE
