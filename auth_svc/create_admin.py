"""`python -m auth_svc.create_admin EMAIL [--password-stdin]`: make an administrator, or make an account one.

Without a password, a new account gets a random one, which is printed. An account that is already the administrator's
stays as it is, so this can run at every start.
"""

import argparse
import asyncio
import secrets
import sys

from sqlalchemy.exc import OperationalError

from auth_svc import accounts, addresses, app, clock, models, passwords
from auth_svc.settings import AuthSettings
from svckit import postgres
from svckit.errors import ServiceError
from svckit.settings import SettingsError, load

_LENGTHS = range(8, 257)


async def main(settings: AuthSettings, *, email: str, password: str | None) -> None:
    """Migrate if need be, then make the administrator and say what was done."""
    chosen = secrets.token_urlsafe(12) if password is None else password
    if len(chosen) not in _LENGTHS:
        raise SystemExit(f"the password must have {_LENGTHS[0]} to {_LENGTHS[-1]} characters")
    passwords.refuse_weak(chosen, addresses.parse(email))
    await postgres.migrate(str(settings.database_url), schema=models.SCHEMA, scripts=models.MIGRATIONS)
    password_hash = app.argon2id(settings).hash(passwords.prepared(chosen))
    async with (
        postgres.connected(str(settings.database_url), pool_size=1, name="create_admin") as database,
        database.transaction() as session,
    ):
        password_set = await accounts.make_admin(session, email=email, password_hash=password_hash, now=clock.now())
    _say(f"{email} is an administrator.")
    if not password_set:
        _say("The account was there already and keeps its password.")
    elif password is None:
        _say(f"Password: {chosen}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m auth_svc.create_admin", description=__doc__)
    parser.add_argument("email")
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    typed = sys.stdin.readline().rstrip("\r\n") if arguments.password_stdin else None
    try:
        asyncio.run(main(load(AuthSettings), email=arguments.email, password=typed))
    except SettingsError as error:
        raise SystemExit("\n".join(error.problems)) from None
    except ServiceError as error:
        raise SystemExit(error.message) from None
    except OperationalError as error:
        raise SystemExit(f"DATABASE_URL: {error.orig}") from None
