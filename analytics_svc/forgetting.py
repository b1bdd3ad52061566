"""Forgets people whose accounts were deleted: their ids give way to pseudonyms, figures stay what they are.

A pseudonym is a hash of the id, which is random and which nobody has any more: events that come late get the same one,
so that whoever is deleted still counts as one person. Decision 40 says why nothing is deleted.
"""
# ruff: noqa: S608 - queries are put together from names in this file; values are bound

import hashlib
from collections.abc import Collection, Iterable, Sequence

from analytics_svc.clickhouse import ClickHouse
from analytics_svc.rows import EventRow
from analytics_svc.views import views

# A server takes 128 KiB a parameter.
_IDS_AT_ONCE = 1000
_PREFIX = "deleted-"
_PSEUDONYM = f"concat('{_PREFIX}', lower(hex(SHA256(user_id))))"
_OF_THEM = "user_id IN {ids:Array(String)}"

_TO_FORGET = f"""
SELECT DISTINCT user_id FROM events
WHERE type = 'auth.user.deleted' AND NOT startsWith(user_id, '{_PREFIX}') ORDER BY user_id LIMIT {{most:UInt32}}
"""
_FORGOTTEN = """
SELECT user_id FROM events WHERE type = 'auth.user.deleted' AND user_id IN {pseudonyms:Array(String)}
"""


def pseudonym(user_id: str) -> str:
    """What takes the id's place; the same as _PSEUDONYM makes of it."""
    return _PREFIX + hashlib.sha256(user_id.encode()).hexdigest()


async def to_forget(clickhouse: ClickHouse, *, most: int) -> list[str]:
    """The ids of people who are deleted and not yet forgotten."""
    return [str(user_id) for (user_id,) in await clickhouse.query(_TO_FORGET, {"most": most})]


async def forget(clickhouse: ClickHouse, ids: Sequence[str], *, token: str) -> None:
    """Put pseudonyms in the place of these ids; the same token and ids again finish what broke off.

    No event may be inserted meanwhile. The raw events are last: they say who is not forgotten yet.
    """
    parameters = {"ids": list(ids)}
    # Where the id has a part in the order it cannot be changed, only be replaced by other rows.
    for table in [view.table for view in await views(clickhouse) if "user_id" in view.keys]:
        await clickhouse.command(
            f"INSERT INTO {table} SETTINGS insert_deduplication_token = '{token}:{table}'"
            f" SELECT * REPLACE ({_PSEUDONYM} AS user_id) FROM {table} WHERE {table}.{_OF_THEM}",
            parameters,
        )
        await clickhouse.command(f"DELETE FROM {table} WHERE {_OF_THEM}", parameters)
    await clickhouse.command(
        f"ALTER TABLE events UPDATE user_id = {_PSEUDONYM} WHERE {_OF_THEM} SETTINGS mutations_sync = 2", parameters
    )


async def with_pseudonyms(clickhouse: ClickHouse, rows: Iterable[EventRow]) -> list[EventRow]:
    """The rows, with the pseudonyms of people who are forgotten already."""
    rows = list(rows)
    forgotten = await _forgotten(clickhouse, {row.user_id for row in rows if row.user_id})
    return [row._replace(user_id=forgotten.get(row.user_id, row.user_id)) for row in rows]


async def _forgotten(clickhouse: ClickHouse, ids: Collection[str]) -> dict[str, str]:
    """The pseudonyms of those that are forgotten, by id."""
    by_pseudonym = {pseudonym(user_id): user_id for user_id in ids}
    found: dict[str, str] = {}
    asked = list(by_pseudonym)
    for start in range(0, len(asked), _IDS_AT_ONCE):
        parameters = {"pseudonyms": asked[start : start + _IDS_AT_ONCE]}
        found |= {by_pseudonym[str(known)]: str(known) for (known,) in await clickhouse.query(_FORGOTTEN, parameters)}
    return found
