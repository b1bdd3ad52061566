"""Which of the offered content types a client wants: the Accept header (RFC 9110, section 12.5.1)."""

import re
from functools import lru_cache

_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


@lru_cache(maxsize=1024)  # clients send few different headers
def preferred(accept: str, offers: tuple[str, ...]) -> str | None:
    """The best offer, or None if the client accepts none of them.

    Among equals a type that the client names beats a wildcard, then the first offer wins. Without a header everything
    is acceptable; an element that cannot be read counts for nothing.
    """
    if not accept or accept == "*/*":
        return offers[0]
    ranges = qualities(accept)
    best: tuple[float, int] = (0.0, 0)
    chosen: str | None = None
    for offer in offers:
        exactness, quality = max(
            ((level, q) for wanted, q in ranges if (level := _matches(wanted, offer))), default=(0, 0.0)
        )
        if quality > 0 and (quality, exactness) > best:
            best, chosen = (quality, exactness), offer
    return chosen


def qualities(header: str) -> list[tuple[str, float]]:
    """The elements of a header such as Accept or Accept-Encoding, in lower case, each with its quality."""
    return [found for part in header.split(",") if (found := _range(part))]


def _range(text: str) -> tuple[str, float] | None:
    """A media range and its quality; parameters other than `q` are of no use here."""
    media, *parameters = (part.strip().lower() for part in text.split(";"))
    if not media:
        return None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            return (media, float(value)) if _QUALITY.fullmatch(value) else None
    return media, 1.0


def _matches(wanted: str, offer: str) -> int:
    """How exactly a media range means the offer: 3 the type itself, 2 `type/*`, 1 `*/*`, 0 not at all."""
    if wanted == offer:
        return 3
    if wanted == f"{offer.partition('/')[0]}/*":
        return 2
    return 1 if wanted == "*/*" else 0
