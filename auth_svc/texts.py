"""What a text of one line may hold."""

import unicodedata

from svckit.errors import InvalidArgument

_REFUSED = {"Cc", "Zl", "Zp"}


def line(field: str, text: str) -> str:
    """The text without spaces around it; InvalidArgument on `field` if it has control characters or line breaks.

    PostgreSQL keeps no NUL, and nobody's name has a line break.
    """
    if any(unicodedata.category(character) in _REFUSED for character in text):
        raise InvalidArgument.of(field, "must not contain control characters or line breaks")
    return text.strip()
