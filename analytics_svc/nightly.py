"""When work of every night begins: a time of day in a zone."""

import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

_DAY = timedelta(days=1)
_SHAPE = re.compile(r"(?P<time>(?:[01]\d|2[0-3]):[0-5]\d)(?: (?P<zone>\S+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Nightly:
    """Once a day, when clocks of the zone show the time."""

    at: time
    zone: zoneinfo.ZoneInfo

    @classmethod
    def parse(cls, text: str) -> "Nightly":
        """Read `03:00` (of UTC) or `03:00 Europe/Berlin`. Raises ValueError."""
        shape = _SHAPE.fullmatch(text)
        zone = (shape["zone"] or "UTC") if shape else ""
        if shape is None or zone not in zoneinfo.available_timezones():
            raise ValueError("must be a time of day, such as 03:00, or with an IANA zone 03:00 Europe/Berlin")
        return cls(time.fromisoformat(shape["time"]), zoneinfo.ZoneInfo(zone))

    def next_after(self, moment: datetime) -> datetime:
        """The first instant after that moment, in UTC.

        A time that clocks skip on some day is then as much later as they skip; of a time that they show twice, it is
        the first.
        """
        day = moment.astimezone(self.zone).date()
        while (instant := self._on(day)) <= moment:
            day += _DAY
        return instant

    def _on(self, day: date) -> datetime:
        return datetime.combine(day, self.at, self.zone).astimezone(UTC)
