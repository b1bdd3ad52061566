"""Idempotency as Stripe has it: the first answer to a key is kept a day and given again, word for word.

https://docs.stripe.com/api/idempotent_requests: another request with the same key is an error, and a request that
failed its checks before anything was done is not kept.
"""

import hashlib
import json
from dataclasses import dataclass

from billing_svc.emulator.objects import Json, Objects
from billing_svc.emulator.refusals import Refused

_KEPT_SECONDS = 24 * 60 * 60
_LONGEST_KEY = 255
# Done, refused by the bank, or failed in Stripe itself; everything else failed a check.
_KEPT_STATUSES = (200, 402, 500)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered; `replayed` when it was answered before."""

    status: int
    body: Json
    replayed: bool = False


def fingerprint(method: str, path: str, values: Json) -> str:
    """Equal for equal requests."""
    return hashlib.sha256(json.dumps([method, path, values], sort_keys=True).encode()).hexdigest()


def recall(objects: Objects, key: str, request: str, *, now: int) -> Answer | None:
    """The answer that this key already has. Raises Refused when it was another request's."""
    if len(key) > _LONGEST_KEY:
        raise Refused(f"Idempotency-Key: at most {_LONGEST_KEY} characters.", type_="idempotency_error")
    objects.connection.execute("DELETE FROM answers WHERE created < ?", (now - _KEPT_SECONDS,))
    row = objects.connection.execute("SELECT request, status, body FROM answers WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row[0] != request:
        message = (
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{key}' if you meant to execute a different request."
        )
        raise Refused(message, type_="idempotency_error")
    return Answer(row[1], json.loads(row[2]), replayed=True)


def keep(objects: Objects, key: str, request: str, answer: Answer, *, now: int) -> None:
    """Keep what must be answered again."""
    if answer.status in _KEPT_STATUSES:
        row = (key, request, answer.status, json.dumps(answer.body), now)
        objects.connection.execute("INSERT INTO answers (key, request, status, body, created) VALUES (?,?,?,?,?)", row)
