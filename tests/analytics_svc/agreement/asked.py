"""What a report is asked for, understood without the service's help: which facts are in it, and in which bucket."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property
from zoneinfo import ZoneInfo

from tests.analytics_svc.agreement.year import Fact

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Asked:
    """From `first` to `last`: days, inclusive, or instants on quarter hours, half-open."""

    first: date | datetime
    last: date | datetime
    zone: str = "UTC"
    interval: str = "day"
    # Further fields of the request.
    only: Mapping[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        only = " ".join(f"{name}={value}" for name, value in self.only.items())
        return f"{self.first}…{self.last} {self.zone} {self.interval} {only}".strip()

    @cached_property
    def start(self) -> datetime:
        return self.first if isinstance(self.first, datetime) else self.midnight(self.first)

    @cached_property
    def end(self) -> datetime:
        return self.last if isinstance(self.last, datetime) else self.midnight(self.last + _DAY)

    def midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, ZoneInfo(self.zone)).astimezone(UTC)

    def covers(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def label(self, moment: datetime) -> str:
        """The name of the bucket that the moment is in."""
        local = moment.astimezone(ZoneInfo(self.zone))
        if self.interval == "hour":
            return local.replace(minute=0, second=0, microsecond=0).isoformat()
        day = local.date()
        if self.interval == "week":
            day -= timedelta(days=day.weekday())
        return (day.replace(day=1) if self.interval == "month" else day).isoformat()

    @property
    def labels(self) -> list[str]:
        """The names of all buckets."""
        return _labels(self.first, self.last, self.zone, self.interval)

    def chosen(self, facts: Iterable[Fact]) -> list[Fact]:
        """Those in the range that are of the plan, provider, model and currency asked for."""
        return [fact for fact in facts if self.covers(fact.time) and self.wants(fact)]

    def wants(self, fact: Fact) -> bool:
        named = {name: str(value) for name, value in self.only.items() if name in ("plan", "provider", "model")}
        return all(getattr(fact.message, name, value) == value for name, value in named.items())

    @property
    def currency(self) -> str:
        return str(self.only.get("currency", "usd"))


@cache
def _labels(first: date | datetime, last: date | datetime, zone: str, interval: str) -> list[str]:
    """Those of every quarter hour."""
    asked = Asked(first, last, zone, interval)
    quarters = (asked.end - asked.start) // timedelta(minutes=15)
    names = (asked.label(asked.start + timedelta(minutes=15) * number) for number in range(quarters))
    return list(dict.fromkeys(names))
