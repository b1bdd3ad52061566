"""The tables and views, made and changed by numbered SQL scripts; a table says which of them were applied."""

from pathlib import Path

import structlog

from analytics_svc.clickhouse import ClickHouse

_SCRIPTS = Path(__file__).parent / "migrations"
_APPLIED = """
CREATE TABLE IF NOT EXISTS migrations (version UInt32, name String, applied_at DateTime('UTC') DEFAULT now('UTC'))
ENGINE = MergeTree ORDER BY version
"""

log = structlog.get_logger(__name__)


async def migrate(clickhouse: ClickHouse) -> None:
    """Apply the scripts that were not, in order. One that broke off half-way is run again from its beginning."""
    await clickhouse.command(_APPLIED)
    applied = {row[0] for row in await clickhouse.query("SELECT version FROM migrations")}
    for script in sorted(_SCRIPTS.glob("*.sql")):
        version = int(script.name.partition("_")[0])
        if version not in applied:
            await _apply(clickhouse, script, version)


async def _apply(clickhouse: ClickHouse, script: Path, version: int) -> None:
    for statement in _statements(script):
        await clickhouse.command(statement)
    await clickhouse.insert("migrations", ["version", "name"], [[version, script.stem]], token=f"migration:{version}")
    log.info("schema migrated", version=version, script=script.stem)


def _statements(script: Path) -> list[str]:
    return [statement for statement in script.read_text(encoding="utf-8").split(";\n") if statement.strip()]
