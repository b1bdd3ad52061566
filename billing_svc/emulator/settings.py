"""The emulator's settings; the only place of it that reads the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from svckit.settings import DEVELOPMENT_ONLY, Settings


class EmulatorSettings(Settings):
    """Where it listens, what it remembers, whom it tells."""

    listen: str = Field(default="127.0.0.1:12111", pattern=r"^[^:]+:\d+$")
    emulator_data: Path = Path(".chatmesh/stripe/emulator.sqlite")
    # Empty: nobody is told; the list of events is there to catch up from.
    stripe_webhook_url: str = Field(default="", pattern=r"^(https?://.+)?$")
    stripe_webhook_secret: Annotated[SecretStr, DEVELOPMENT_ONLY] = SecretStr("whsec_chatmesh_development")
