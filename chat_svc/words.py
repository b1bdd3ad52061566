"""Texts as words to be searched for: the same ones for what was written and for what is looked for.

PostgreSQL's own reader of texts is not asked: what it takes for a letter depends on the database's locale.
"""

import re
import unicodedata
from collections.abc import Iterator

# Of a text, so much is searched: PostgreSQL refuses a row whose words are more than 1 MB.
_SEARCHED = 100_000
# Written without spaces (Thai to Khmer, kana, Han), or with more than a word between them (Hangul): each is a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_TERM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')


def words_of(text: str) -> str:
    """The words of a text with a space between each two, in small letters."""
    folded = unicodedata.normalize("NFKC", text[:_SEARCHED]).casefold()
    return " ".join(_WORD.findall(folded))[:_SEARCHED]


def query_of(q: str) -> str:
    """What was typed, in the language of `websearch_to_tsquery`; empty when there is no word in it."""
    return " ".join(_terms(q))


def _terms(q: str) -> Iterator[str]:
    """What is more than one word without a space between them is looked for as it stands."""
    for minus, quoted, bare in _TERM.findall(q):
        if bare.casefold() == "or":
            yield bare
        elif words := words_of(quoted or bare):
            yield f'{minus}"{words}"'
