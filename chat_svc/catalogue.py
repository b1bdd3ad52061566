"""The models: which there are, which of them answer here, and what they cost. The data is catalogue.toml."""

import asyncio
import tomllib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

import structlog
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, model_validator

from svckit.errors import FailedPrecondition, FieldViolation, InvalidArgument, PermissionDenied

log = structlog.get_logger(__name__)

TABLE = Path(__file__).with_name("catalogue.toml")

_LOOK_AGAIN = 1.0  # seconds between two looks at the file


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
    # The first day on which its provider does not serve it any more.
    deprecation_date: date | None = None
    # The id of the same provider's model that takes its place.
    successor: str = ""
    # Whether it makes titles of conversations with its provider's models; the first one of the provider does.
    titles: bool = False
    # Who answers while this one fails, in that order, each as `provider/id`.
    fallbacks: tuple[str, ...] = ()
    # The day on which the prices were read, and where.
    price_date: date | None = None
    price_source: str = ""

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        if self.priced and not (self.price_date and self.price_source):
            raise ValueError(f"{self.id}: its prices need price_date and price_source")
        return self

    @property
    def name(self) -> str:
        """Unlike that of any other model, whoever serves it."""
        return f"{self.provider}/{self.id}"

    @property
    def priced(self) -> bool:
        return bool(self.input_micros_per_million or self.output_micros_per_million)

    @property
    def cached_price(self) -> int:
        """Of a million input tokens that the provider's cache had."""
        own = self.cached_input_micros_per_million
        return self.input_micros_per_million if own is None else own

    @property
    def cache_write_price(self) -> int:
        """Of a million input tokens that the provider's cache took."""
        own = self.cache_write_micros_per_million
        return self.input_micros_per_million if own is None else own


class Retired(BaseModel):
    """A model that was served once. Who still asks for it is told of its successor, of the same provider."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    provider: str
    aliases: tuple[str, ...] = ()
    since: date
    successor: str


class Table(BaseModel):
    """What the file holds. No name means two models; successors and fallbacks are there.

    A fallback is in all plans of the model that it stands in for and can do all that it can, so that nobody has to ask
    again while an answer is waited for. A user's snapshot may still leave it out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    models: tuple[Model, ...]
    retired: tuple[Retired, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        rows: tuple[Model | Retired, ...] = (*self.models, *self.retired)
        names = [(row.provider, name) for row in rows for name in (row.id, *row.aliases)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"named twice: {sorted(twice)}")
        ids = {(row.provider, row.id) for row in self.models}
        for row in rows:
            if row.successor and (row.provider, row.successor) not in ids:
                raise ValueError(f"{row.id}: its successor {row.successor} is none of {row.provider}'s models")
        return self

    @model_validator(mode="after")
    def _fallbacks_suit(self) -> Self:
        models = {row.name: row for row in self.models}
        for row in self.models:
            for name in row.fallbacks:
                other = models.get(name)
                if other is None or other is row:
                    raise ValueError(f"{row.id}: its fallback {name} is no other model of the table")
                if missing := {*row.plans, *row.capabilities} - {*other.plans, *other.capabilities}:
                    raise ValueError(f"{row.id}: its fallback {name} lacks {sorted(missing)}")
        return self


def _today() -> date:
    return datetime.now(UTC).date()


class Catalogue:
    """All models; those whose provider is among `providers` answer. The first of them is the default."""

    def __init__(self, table: Table, *, providers: Iterable[str], today: Callable[[], date] = _today) -> None:
        self._table = table
        self._providers = frozenset(providers)
        self._today = today

    def replace(self, table: Table) -> None:
        """Go by another table from now on."""
        self._table = table

    @property
    def version(self) -> str:
        """Written beside every cost that is worked out from the table."""
        return self._table.version

    @property
    def models(self) -> Sequence[Model]:
        """Those that their providers still serve."""
        today = self._today()
        return [row for row in self._table.models if row.deprecation_date is None or today < row.deprecation_date]

    def answers(self, model: Model) -> bool:
        """Whether its provider is configured here."""
        return model.provider in self._providers

    def default(self, *, included: Callable[[Model], bool]) -> Model | None:
        """The model of a conversation that names none; None when no provider of an included one is configured."""
        return next((model for model in self.models if self.answers(model) and included(model)), None)

    def choose(self, *, provider: str, model: str, included: Callable[[Model], bool]) -> Model:
        """The model that a request names by provider, id or alias, or both; empty names leave the choice to us.

        `included` says which models the caller's plan has. Raises InvalidArgument: no such model (MODEL_UNKNOWN), no
        longer (MODEL_RETIRED), or its provider is not configured (MODEL_UNAVAILABLE); PermissionDenied: not in the
        plan (MODEL_NOT_IN_PLAN); FailedPrecondition: no model at all is configured (NO_MODEL).
        """
        if not provider and not model:
            return self._default(included)
        named = [row for row in self.models if _is_named(row, provider=provider, model=model)]
        field = "model" if model else "provider"
        if not named:
            self._refuse_retired(provider=provider, model=model)
            raise InvalidArgument.of(field, "is none of the models that ListModels lists", reason="MODEL_UNKNOWN")
        answering = [row for row in named if self.answers(row)]
        if not answering:
            raise InvalidArgument.of(field, "is not set up here", reason="MODEL_UNAVAILABLE")
        return _first_included(answering, included)

    def find(self, *, provider: str, model: str) -> Model | None:
        """The row of a model that was chosen before; None when the catalogue has dropped it since."""
        return next((row for row in self._table.models if row.provider == provider and row.id == model), None)

    def titler(self, model: Model) -> Model | None:
        """Who makes titles of conversations with that model: one of its own provider, else a local one, else nobody."""
        marked = [row for row in self.models if row.titles and self.answers(row)]
        of_providers = (row for name in (model.provider, "local") for row in marked if row.provider == name)
        return next(of_providers, None)

    def fallbacks(self, model: Model, *, included: Callable[[Model], bool]) -> Sequence[Model]:
        """Who may answer in its place: those still served, of a provider configured here, in the caller's plan."""
        served = {row.name: row for row in self.models if self.answers(row) and included(row)}
        return [served[name] for name in model.fallbacks if name in served]

    def _default(self, included: Callable[[Model], bool]) -> Model:
        answering = [row for row in self.models if self.answers(row)]
        if not answering:
            raise FailedPrecondition("no model's provider is set up", reason="NO_MODEL")
        return _first_included(answering, included)

    def _refuse_retired(self, *, provider: str, model: str) -> None:
        """Raises InvalidArgument when the names mean a model that is not served any more."""
        rows: tuple[Model | Retired, ...] = (*self._table.retired, *self._table.models)
        gone = next((row for row in rows if model and _is_named(row, provider=provider, model=model)), None)
        if gone is None:
            return
        told = f"was retired by its provider; {gone.successor} takes its place" if gone.successor else "was retired"
        raise InvalidArgument(
            f"model: {told}",
            reason="MODEL_RETIRED",
            metadata={"successor": gone.successor},
            violations=[FieldViolation("model", told, "MODEL_RETIRED")],
        )


def read(path: Path = TABLE) -> Table:
    """Read a table. Raises OSError or ValueError when it cannot be read or is wrong."""
    return Table.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


async def follow(catalogue: Catalogue, path: Path) -> None:
    """Go by the file as it changes, for ever; while it is wrong, by the table before."""
    seen = _stamp(path)
    while True:
        await asyncio.sleep(_LOOK_AGAIN)
        if (now := _stamp(path)) == seen:
            continue
        seen = now
        try:
            catalogue.replace(read(path))
            log.info("the table of models was read anew", version=catalogue.version)
        except (OSError, ValueError) as error:
            log.error("the table of models is wrong, the one before stays", error=str(error))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _first_included(answering: Sequence[Model], included: Callable[[Model], bool]) -> Model:
    """Raises PermissionDenied when none is."""
    found = next((row for row in answering if included(row)), None)
    if found is None:
        plans = ", ".join(answering[0].plans)
        raise PermissionDenied(
            f"{answering[0].id} is not in your plan; it is in: {plans}",
            reason="MODEL_NOT_IN_PLAN",
            metadata={"model": answering[0].id, "plans": plans},
        )
    return found


def _is_named(row: Model | Retired, *, provider: str, model: str) -> bool:
    return (not provider or row.provider == provider) and (not model or model == row.id or model in row.aliases)
