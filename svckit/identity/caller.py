"""Who calls the RPC being served."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from svckit.errors import Unauthenticated


class Role(StrEnum):
    """What a user may do; each role may do what the ones before it may."""

    USER = "user"
    ANALYST = "analyst"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls an RPC; empty fields mean nobody signed in, or no service."""

    user_id: str = ""
    session_id: str = ""
    role: Role | None = None
    service: str = ""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says. `expires` is aware UTC."""

    user_id: str
    session_id: str
    role: Role
    token_id: str
    expires: datetime


_NOBODY = Identity()
_identity: ContextVar[Identity] = ContextVar("identity", default=_NOBODY)
_authorization: ContextVar[str] = ContextVar("authorization", default="")


def current() -> Identity:
    """Who calls the RPC being served; an empty identity outside of one."""
    return _identity.get()


def user_id() -> str:
    """The signed-in user's id; raises `Unauthenticated` if nobody is signed in."""
    if not (caller := current().user_id):
        raise Unauthenticated("sign in first", reason="CREDENTIALS_MISSING")
    return caller


def authorization() -> str:
    """The verified `authorization` of the RPC being served, for calls made on its user's behalf; else empty."""
    return _authorization.get()


def serve_as(identity: Identity, *, authorization: str = "") -> None:
    """Say who calls, for the rest of the current task. Only what verified the credentials may."""
    _identity.set(identity)
    _authorization.set(authorization)
