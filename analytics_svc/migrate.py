"""`python -m analytics_svc.migrate`: bring the tables up to date, and end; without the service, or before it."""

from analytics_svc import clickhouse, schema
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.settings import WarehouseSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    settings = load(WarehouseSettings)
    async with clickhouse.connected(settings.clickhouse_url) as warehouse:
        await migrated(warehouse, settings)


async def migrated(warehouse: ClickHouse, settings: WarehouseSettings) -> None:
    """Bring the tables, and how long they keep rows, to what this code and its settings want."""
    await schema.migrate(warehouse, cluster=settings.clickhouse_cluster)
    await schema.keep(warehouse, settings.kept_days, cluster=settings.clickhouse_cluster)


if __name__ == "__main__":
    process.run(main, name="analytics-migrate")
