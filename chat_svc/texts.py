"""Texts of users and models, made fit to be kept: PostgreSQL takes no NUL and UTF-8 no lone surrogate."""

import re

TITLE_LENGTH = 60

# Marks of headings and emphasis, "Title:", quotation marks of any kind, a full stop at the end.
_AROUND = re.compile(r"""^[\s#*_>-]*(?:title\s*:)?[\s#*_"'“”„«»`]*|[\s*_"'“”«»`.。]*$""", re.IGNORECASE)

_HIGH_SURROGATES = ("\ud800", "\udbff")


def clean(text: str) -> str:
    """`text` without NUL; surrogate pairs become the character they stand for, lone ones U+FFFD."""
    text = text.replace("\0", "")
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Cleaner:
    """Cleans a text that comes in pieces: the two halves of a surrogate pair may come in two of them."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """What is fit of the text so far and was not given yet."""
        piece = self._held + piece
        self._held = ""
        if piece and _HIGH_SURROGATES[0] <= piece[-1] <= _HIGH_SURROGATES[1]:
            piece, self._held = piece[:-1], piece[-1]
        return clean(piece)

    def rest(self) -> str:
        """What is still held when the text has ended."""
        held, self._held = self._held, ""
        return clean(held)


def title_in(answer: str) -> str:
    """The title that a model was asked for: its first line, without what models like to put around it."""
    lines = (_AROUND.sub("", line) for line in answer.splitlines())
    return title_of(next(filter(None, lines), ""))


def title_of(message: str) -> str:
    """A title for a conversation that begins with `message`: its first words on one line, 60 characters at most."""
    line = " ".join(message[: TITLE_LENGTH * 4].split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"
