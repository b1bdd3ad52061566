"""The providers as an operator names them."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


def _issuer(text: str) -> str:
    if not text.startswith(("https://", "http://")) or "?" in text or "#" in text:
        raise ValueError("must be an https:// URL without query, exactly as the provider's own documents spell it")
    return text


def _scopes(text: str) -> str:
    if "openid" not in text.split():
        raise ValueError("must contain openid")
    return text


class Configured(BaseModel):
    """One provider. Its callback is `<PUBLIC_URL>/api/auth/oidc/<name>/callback`, which is told to it beforehand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    display_name: Annotated[str, Field(max_length=100)] = ""
    """For people; empty: the name, with a capital."""
    issuer: Annotated[str, AfterValidator(_issuer)]
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr = SecretStr("")
    """Empty for a public client."""
    scopes: Annotated[str, AfterValidator(_scopes)] = "openid email profile"

    @property
    def title(self) -> str:
        return self.display_name or self.name.capitalize()
