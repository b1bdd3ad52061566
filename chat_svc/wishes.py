"""What users want to have answered: a message, an old question anew, or a prompt outside of any conversation.

Two wishes under one idempotency key are the same if their fingerprints are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

from chat_svc.parts import NO_TOOLS, Toolbox
from chat_svc.providers import Image, Prompt, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message that a user wants to send; empty strings leave the choice to us. Texts are clean."""

    owner_id: str
    text: str
    conversation_id: str = ""
    provider: str = ""
    model: str = ""
    # None: the last message of the active branch; empty: no message, this one is a first.
    parent_id: str | None = None
    idempotency_key: str = ""
    images: Sequence[Image] = ()
    results: Sequence[Result] = ()
    toolbox: Toolbox = NO_TOOLS

    @property
    def fingerprint(self) -> bytes:
        """Of what is said, wherever: a client may have learned where by the time that it says it again."""
        results = [part for result in self.results for part in (result.call_id, result.text)]
        return _fingerprint("message", self.text, *(image.data for image in self.images), *results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retake:
    """An answer that a user wants to have written anew; empty strings: by the same model as before."""

    owner_id: str
    conversation_id: str
    message_id: str
    provider: str = ""
    model: str = ""
    idempotency_key: str = ""

    @property
    def fingerprint(self) -> bytes:
        """Of the answer that is meant."""
        return _fingerprint("regenerate", self.message_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A prompt that a user wants to have answered outside of any conversation; it names no model yet.

    `body` is the request as it came.
    """

    owner_id: str
    prompt: Prompt
    model: str
    body: bytes
    idempotency_key: str = ""

    @property
    def fingerprint(self) -> bytes:
        """Of the whole request."""
        return _fingerprint("completion", self.body)


Wanted: TypeAlias = Draft | Retake | Completion


def _fingerprint(*parts: str | bytes) -> bytes:
    whole = sha256()
    for part in parts:
        whole.update(sha256(part.encode() if isinstance(part, str) else part).digest())
    return whole.digest()
