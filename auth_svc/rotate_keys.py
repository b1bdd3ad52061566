"""`python -m auth_svc.rotate_keys [--at-once]`: replace the key that signs access tokens, ahead of its time.

The new key signs after a quarter of an hour, when everybody knows it, and nobody notices. With --at-once, for a key
that got out, it signs now and what the others signed counts no more: within five minutes everywhere, and cookies,
refresh tokens and API keys give new access tokens.
"""

import argparse
import asyncio
import sys

from sqlalchemy.exc import OperationalError

from auth_svc import clock, models, signing_keys
from auth_svc.sealing import Seal
from auth_svc.settings import AuthSettings
from svckit import postgres
from svckit.errors import ServiceError
from svckit.settings import SettingsError, load


async def main(settings: AuthSettings, *, at_once: bool) -> None:
    """Migrate if need be, then make the key and say which it is."""
    url = str(settings.database_url)
    await postgres.migrate(url, schema=models.SCHEMA, scripts=models.MIGRATIONS)
    seal = Seal(settings.service_secret.get_secret_value())
    async with (
        postgres.connected(url, pool_size=1, name="rotate_keys") as database,
        database.transaction() as session,
    ):
        kid = await signing_keys.rotate(session, seal, now=clock.now(), at_once=at_once)
    sys.stdout.write(f"{kid} signs {'from now on' if at_once else 'from 15 minutes on'}.\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m auth_svc.rotate_keys", description=__doc__)
    parser.add_argument("--at-once", action="store_true", help="the other keys are void now: for one that got out")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    try:
        asyncio.run(main(load(AuthSettings), at_once=arguments.at_once))
    except SettingsError as error:
        raise SystemExit("\n".join(error.problems)) from None
    except ServiceError as error:
        raise SystemExit(error.message) from None
    except OperationalError as error:
        raise SystemExit(f"DATABASE_URL: {error.orig}") from None
