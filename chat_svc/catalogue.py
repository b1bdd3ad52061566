"""The models: which there are, which of them answer here, and what they cost. The data is catalogue.toml."""

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from svckit.errors import FailedPrecondition, InvalidArgument

_TABLE = Path(__file__).with_name("catalogue.toml")


class Model(BaseModel):
    """A row of the catalogue; prices in millionths of a US dollar for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    provider: str
    display_name: str
    aliases: tuple[str, ...] = ()
    context_tokens: PositiveInt
    max_output_tokens: PositiveInt
    input_micros_per_million: NonNegativeInt = 0
    # None: tokens read from or written to the provider's cache cost what the others cost.
    cached_input_micros_per_million: NonNegativeInt | None = None
    cache_write_micros_per_million: NonNegativeInt | None = None
    output_micros_per_million: NonNegativeInt = 0
    capabilities: tuple[str, ...]
    plans: tuple[str, ...]
    deprecation_date: str = ""

    @property
    def priced(self) -> bool:
        return bool(self.input_micros_per_million or self.output_micros_per_million)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    models: tuple[Model, ...]


class Catalogue:
    """All models; those whose provider is among `providers` answer. The first of them is the default."""

    def __init__(self, models: Sequence[Model], *, version: str, providers: Iterable[str]) -> None:
        self.models = tuple(models)
        self.version = version
        self._providers = frozenset(providers)

    def answers(self, model: Model) -> bool:
        """Whether its provider is configured here."""
        return model.provider in self._providers

    @property
    def default(self) -> Model | None:
        """The model of a conversation that names none; None when no provider is configured."""
        return next((model for model in self.models if self.answers(model)), None)

    def choose(self, *, provider: str, model: str) -> Model:
        """The model that a request names by provider, id or alias, or both; empty names leave the choice to us.

        Raises InvalidArgument: no such model (MODEL_UNKNOWN), or its provider is not configured (MODEL_UNAVAILABLE);
        FailedPrecondition: no model at all is configured (NO_MODEL).
        """
        if not provider and not model:
            return self._default()
        named = [row for row in self.models if _is_named(row, provider=provider, model=model)]
        field = "model" if model else "provider"
        if not named:
            raise InvalidArgument.of(field, "is none of the models that ListModels lists", reason="MODEL_UNKNOWN")
        answering = next((row for row in named if self.answers(row)), None)
        if answering is None:
            raise InvalidArgument.of(field, "is not set up here", reason="MODEL_UNAVAILABLE")
        return answering

    def find(self, *, provider: str, model: str) -> Model | None:
        """The row of a model that was chosen before; None when the catalogue has dropped it since."""
        return next((row for row in self.models if row.provider == provider and row.id == model), None)

    def _default(self) -> Model:
        if self.default is None:
            raise FailedPrecondition("no model's provider is set up", reason="NO_MODEL")
        return self.default


def load(*, providers: Iterable[str], table: Path = _TABLE) -> Catalogue:
    """Read the catalogue; `providers` are those that are configured. Raises ValueError when the table is wrong."""
    rows = _Table.model_validate(tomllib.loads(table.read_text(encoding="utf-8")))
    return Catalogue(rows.models, version=rows.version, providers=providers)


def _is_named(row: Model, *, provider: str, model: str) -> bool:
    return (not provider or row.provider == provider) and (not model or model == row.id or model in row.aliases)
