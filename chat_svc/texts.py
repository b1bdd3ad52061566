"""Texts of users and models, made fit to be kept: PostgreSQL takes no NUL and UTF-8 no lone surrogate."""

TITLE_LENGTH = 60

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


def title_of(message: str) -> str:
    """A title for a conversation that begins with `message`: its first words on one line, 60 characters at most."""
    line = " ".join(message[: TITLE_LENGTH * 4].split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"
