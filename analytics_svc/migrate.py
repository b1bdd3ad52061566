"""`python -m analytics_svc.migrate`: bring the tables up to date, and end; without the service, or before it."""

from analytics_svc import app, clickhouse
from analytics_svc.settings import WarehouseSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    settings = load(WarehouseSettings)
    async with clickhouse.connected(settings.clickhouse_url) as warehouse:
        await app.migrated(warehouse, settings)


if __name__ == "__main__":
    process.run(main, name="analytics-migrate")
