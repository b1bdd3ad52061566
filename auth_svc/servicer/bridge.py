"""Between rows and messages, and between a call's metadata and what the domain wants to know of it."""

from urllib.parse import unquote

from chatmesh.auth.v1 import auth_pb2 as pb

from auth_svc import models
from auth_svc.caller import Caller
from auth_svc.challenges import Challenged
from auth_svc.opening import LONGEST_LIFE, SignedIn, Tokens
from svckit import identity
from svckit.identity import Role
from svckit.rpc.call import Context
from svckit.timestamps import timestamp

NO_STORE = ("cache-control", "no-store")
"""With an answer that holds a secret: no cache keeps it, not even the browser's own (RFC 6749, section 5.1)."""

_LONGEST_USER_AGENT = 500
_ROLES = {Role.USER: pb.ROLE_USER, Role.ANALYST: pb.ROLE_ANALYST, Role.ADMIN: pb.ROLE_ADMIN}


def caller_of(context: Context) -> Caller:
    """Who is at the other end: as the edge says if it is the edge that calls, else as the connection says."""
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    who = identity.current()
    if who.service:
        user_agent, ip_address = metadata.get("x-client-user-agent", ""), metadata.get("x-client-ip", "")
    else:
        user_agent, ip_address = metadata.get("user-agent", ""), _host(context.peer())
    return Caller(
        user_agent=user_agent[:_LONGEST_USER_AGENT],
        ip_address=ip_address,
        user_id=who.user_id,
        session_id=who.session_id,
    )


def _host(peer: str) -> str:
    """The address in gRPC's `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")


def cookie(name: str, value: str, *, path: str, seconds: int, secure: bool) -> str:
    """A cookie for a browser to keep that long; 0 removes it. `secure`: it is sent over HTTPS only."""
    attributes = f"Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
    return f"{name}={value}; {attributes}"


def session_cookie(signed_in: SignedIn, *, secure: bool) -> str:
    """The cookie of the session that was just opened."""
    seconds = int(LONGEST_LIFE.total_seconds())
    return cookie("session", signed_in.session.value, path="/", seconds=seconds, secure=secure)


async def keep_signed_in(context: Context, signed_in: SignedIn, *, secure: bool) -> None:
    """Have a browser keep the session that was just opened; the answer has its tokens."""
    await context.send_initial_metadata((NO_STORE, ("set-cookie", session_cookie(signed_in, secure=secure))))


async def forget_session(context: Context, *, secure: bool) -> None:
    """Have a browser forget its session."""
    gone = cookie("session", "", path="/", seconds=0, secure=secure)
    await context.send_initial_metadata((("set-cookie", gone),))


def role_of(role: pb.Role.ValueType) -> Role:
    return next(ours for ours, theirs in _ROLES.items() if theirs == role)


def user_message(user: models.User) -> pb.User:
    return pb.User(
        id=user.id,
        email=user.email,
        name=user.name,
        role=_ROLES[user.as_role],
        email_verified=user.verified,
        disabled=user.disabled_at is not None,
        create_time=timestamp(user.created_at),
    )


def token_pair(tokens: Tokens) -> pb.TokenPair:
    return pb.TokenPair(
        access_token=tokens.access.value,
        access_token_expire_time=timestamp(tokens.access.expires_at),
        refresh_token=tokens.refresh.value,
        refresh_token_expire_time=timestamp(tokens.refresh.expires_at),
    )


def challenge_message(challenged: Challenged) -> pb.MfaChallenge:
    return pb.MfaChallenge(token=challenged.token.value, expire_time=timestamp(challenged.token.expires_at))


def identity_message(row: models.Identity) -> pb.Identity:
    return pb.Identity(
        id=row.id,
        provider=row.provider,
        email=row.email,
        create_time=timestamp(row.created_at),
        last_used_time=timestamp(row.last_used_at),
    )


def session_message(session: models.Session, *, current: str) -> pb.Session:
    """`current` is the id of the session that asks."""
    return pb.Session(
        id=session.id,
        user_agent=session.user_agent,
        ip_address=session.ip_address,
        create_time=timestamp(session.created_at),
        last_seen_time=timestamp(session.last_seen_at),
        expire_time=timestamp(session.expires_at),
        current=session.id == current,
    )


def api_key_message(key: models.ApiKey) -> pb.ApiKey:
    return pb.ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        create_time=timestamp(key.created_at),
        last_used_time=timestamp(key.last_used_at),
        expire_time=timestamp(key.expires_at),
    )


def audit_event_message(event: models.AuditEvent) -> pb.AuditEvent:
    return pb.AuditEvent(
        id=event.id,
        create_time=timestamp(event.created_at),
        type=event.type,
        user_id=event.user_id or "",
        actor_id=event.actor_id or "",
        session_id=event.session_id or "",
        ip_address=event.ip_address,
        user_agent=event.user_agent,
        detail=event.detail,
    )
