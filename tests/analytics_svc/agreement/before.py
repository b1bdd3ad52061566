"""`python -m tests.analytics_svc.agreement.before URL`: ClickHouse as an earlier version left it.

It had counted half of the year into the tables of the first script, and died before it noted that it had made them. In
a process of its own, because the embedded engine wants one.
"""

import asyncio
import sys

from analytics_svc import clickhouse, schema, store
from analytics_svc.rows import row
from tests.analytics_svc.agreement.year import first_half


async def main(url: str) -> None:
    async with clickhouse.connected(url) as warehouse:
        for statement in schema.statements((schema.SCRIPTS / "0001_start.sql").read_text(), version=1):
            if not statement.startswith("INSERT"):  # it kept no notes
                await warehouse.command(statement)
        rows = [row(event, seq=number, batch="before") for number, event in enumerate(first_half(), start=1)]
        await store.add_events(warehouse, await store.unseen(warehouse, rows, batch="before"), batch="before")


asyncio.run(main(sys.argv[1]))
