"""Percent-decoding that refuses what it cannot read, once and only once."""

import re
from enum import StrEnum
from urllib.parse import unquote_to_bytes

_MALFORMED = re.compile(r"%(?![0-9A-Fa-f]{2})")


class EscapeError(ValueError):
    """A `%` without two hexadecimal digits, or bytes that are no UTF-8."""


class Unescape(StrEnum):
    """Which escapes of a multi-segment path variable are decoded.

    The comment of HttpRule (google/api/http.proto) says all but `%2F`; Google's own servers keep every reserved
    character of RFC 3986 unless the service sets `fully_decode_reserved_expansion`.
    """

    ALL_EXCEPT_SLASH = "all_except_slash"
    ALL_EXCEPT_RESERVED = "all_except_reserved"
    ALL = "all"


_KEPT = {
    Unescape.ALL_EXCEPT_SLASH: re.compile("(%2[Ff])"),
    Unescape.ALL_EXCEPT_RESERVED: re.compile(
        "(" + "|".join(f"%{ord(character):02X}" for character in ":/?#[]@!$&'()*+,;=") + ")", re.IGNORECASE
    ),
}


def decode(text: str) -> str:
    """Decode every escape; raises EscapeError. A plus sign stays a plus sign."""
    if text.isascii() and "%" not in text:
        return text
    if _MALFORMED.search(text):
        raise EscapeError(f"{text!r} holds a malformed percent escape")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise EscapeError(f"{text!r} is not UTF-8") from None


def decode_multi(text: str, mode: Unescape) -> str:
    """Decode a multi-segment variable; the escapes that `mode` keeps stay as they were written, byte for byte."""
    kept = _KEPT.get(mode)
    if kept is None or "%" not in text:
        return decode(text)
    parts = kept.split(text)
    parts[::2] = [decode(part) for part in parts[::2]]
    return "".join(parts)


def decode_form(text: str) -> str:
    """Decode a name or value of a query string, where a plus sign is a space (HTML form encoding)."""
    return decode(text.replace("+", " "))
