"""The plans of plans.toml: what can be subscribed to, what it costs, what it includes."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, field_validator

from billing_svc.money import Money

FREE = "free"
DEFAULT_CURRENCY = "usd"
FILE = Path(__file__).with_name("plans.toml")

Interval = Literal["month", "year"]
_MONTHS = {"month": 1, "year": 12}
_Currency = Annotated[str, StringConstraints(pattern="^[a-z]{3}$")]
_Amounts = Mapping[_Currency, Annotated[int, Field(gt=0)]]


class Limits(BaseModel):
    """What a plan includes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens_per_month: int = Field(ge=0)
    concurrent_generations: int = Field(ge=1)
    # Patterns of "<provider>/<model>".
    models: tuple[str, ...]
    # Minor units by currency; empty: nothing beyond what is included.
    overage_per_1000_tokens: _Amounts = {}

    def tokens_per(self, interval: str) -> int:
        """Those of a paid period: a year has its twelve months' tokens for the whole of it."""
        return self.tokens_per_month * _MONTHS[interval]


class Plan(Limits):
    """A plan and its prices; one without prices is free."""

    id: str
    name: str
    # How long it may be tried for nothing, once a customer; Stripe's limit is two years.
    trial_days: int = Field(default=0, ge=0, le=730)
    month: _Amounts = {}
    year: _Amounts = {}

    @field_validator("month", "year")
    @classmethod
    def _can_be_charged(cls, amounts: _Amounts) -> _Amounts:
        for currency, minor in amounts.items():
            if (near := Money(minor, currency).chargeable()).minor != minor:
                raise ValueError(f"{currency}: Stripe does not charge {minor}, but {near.minor}")
        return amounts

    @property
    def limits(self) -> Limits:
        return Limits(**self.model_dump(include=set(Limits.model_fields)))

    def price(self, interval: Interval, currency: str) -> Money | None:
        """What an interval costs; None when it is not sold so."""
        amount = (self.month if interval == "month" else self.year).get(currency)
        return Money(amount, currency) if amount else None


class Plans:
    """All plans, cheapest first."""

    def __init__(self, plans: Mapping[str, Plan]) -> None:
        self._plans = plans

    @classmethod
    def read(cls, file: Path = FILE) -> "Plans":
        """Read the file; raises ValueError when it is wrong, naming the plan and the field."""
        rows = tomllib.loads(file.read_text())
        plans = TypeAdapter(dict[str, Plan]).validate_python({id_: row | {"id": id_} for id_, row in rows.items()})
        if FREE not in plans:
            raise ValueError(f"{file.name}: there must be a plan `{FREE}`")
        return cls(plans)

    def get(self, plan_id: str) -> Plan | None:
        return self._plans.get(plan_id)

    def rank(self, plan_id: str) -> int:
        """The place among the plans, cheapest first; of one that there is."""
        return list(self._plans).index(plan_id)

    def sold_in(self, currency: str) -> list[Plan]:
        """The free plan, and those that have a price in that currency."""
        return [plan for plan in self._plans.values() if plan.id == FREE or {currency} & {*plan.month, *plan.year}]

    @property
    def free(self) -> Plan:
        return self._plans[FREE]
