"""Runs ClickHouse's commands of docs/operations/backup.md, in an engine of its own, and prints what each table has.

`python clickhouse_restored.py make|restore FOLDER BACKUPS COMMAND`: `make` first fills the tables of analytics.
"""

import asyncio
import sys

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from analytics_svc import clickhouse, schema

EVENTS = """
INSERT INTO events (event_id, type, ts, user_id, plan, amount_minor)
SELECT toString(number), ['auth.user.registered', 'chat.message.sent'][number % 2 + 1],
    toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + number * 60, toString(number % 7), 'free', 0 FROM numbers(1000)
"""


async def migrate(folder: str) -> None:
    async with clickhouse.connected(f"chdb://{folder}") as warehouse:
        await schema.migrate(warehouse)


def opened(folder: str, backups: str) -> Client:
    options = {"backups.allowed_path": backups}
    return clickhouse_connect.get_client(interface="chdb", path=folder, chdb_options=options)


def main(act: str, folder: str, backups: str, command: str) -> None:
    if act == "make":
        asyncio.run(migrate(folder))
    client = opened(folder, backups)
    if act == "make":
        client.command(EVENTS)
    client.query(command)
    tables = client.query(
        "SELECT name FROM system.tables WHERE database = 'default' AND engine LIKE '%MergeTree' ORDER BY name"
    )
    for (name,) in tables.result_rows:
        [(rows, digest)] = client.query(
            f"SELECT count(), groupBitXor(sipHash64(toString(tuple(*)))) FROM `{name}`"
        ).result_rows
        sys.stdout.write(f"table {name} {rows} {digest}\n")
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
