"""A service's tables brought up to date by a process that does nothing else: before the service, or beside it."""

from pathlib import Path
from typing import Annotated

from pydantic import PostgresDsn

from svckit import postgres, process
from svckit.settings import DEVELOPMENT_ONLY, Settings, load


class MigrationSettings(Settings):
    """What that process reads from its environment: where the tables are."""

    database_url: Annotated[PostgresDsn, DEVELOPMENT_ONLY] = PostgresDsn("postgresql://127.0.0.1/chatmesh")


def run(name: str, *, schema: str, scripts: Path) -> None:
    """Migrate the schema of the service called `name`, and exit; see `postgres.migrate`."""

    async def main() -> None:
        await postgres.migrate(str(load(MigrationSettings).database_url), schema=schema, scripts=scripts)

    process.run(main, name=f"{name}-migrate")
