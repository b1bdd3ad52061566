"""Everything that the emulator knows: Stripe's objects as JSON in one SQLite file.

A request is one transaction, so a crash at any moment leaves either all of what it did or nothing.
"""

import json
import secrets
import sqlite3
import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from billing_svc.emulator import alarms

# JSON as Stripe defines it: deep and open. This is the wire, and the one place where its shape is not typed.
Json = dict[str, Any]

_TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    rank INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_of_a_kind ON objects (kind, rank);
CREATE INDEX IF NOT EXISTS objects_of_a_customer ON objects (json_extract(body, '$.customer'), kind, rank);
CREATE TABLE IF NOT EXISTS alarms (id TEXT PRIMARY KEY, customer TEXT NOT NULL, due INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS alarms_of_a_customer ON alarms (customer, due);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    event TEXT PRIMARY KEY, attempts INTEGER NOT NULL, due REAL NOT NULL, created INTEGER NOT NULL);
"""
_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """A fresh id of Stripe's form, such as `sub_1a2B…`."""
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(24))


class Objects:
    """The file. Calls block for as long as SQLite needs, well under a millisecond each: one process, one writer."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(file, isolation_level=None)
        # The log survives the process, so NORMAL loses nothing to kill -9; only to a power cut.
        self.connection.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLES}")

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing; a block inside another may be undone alone."""
        self.connection.execute("SAVEPOINT step")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK TO step")
            raise
        finally:
            self.connection.execute("RELEASE step")

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever the block does is undone at its end."""
        self.connection.execute("SAVEPOINT trial")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK TO trial")
            self.connection.execute("RELEASE trial")

    def put(self, body: Json) -> Json:
        """Keep an object, new or changed, and when something is due; its `object` is its kind."""
        self.connection.execute(
            "INSERT INTO objects (id, kind, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (body["id"], body["object"], json.dumps(body)),
        )
        self.connection.execute("DELETE FROM alarms WHERE id = ?", (body["id"],))
        if (due := alarms.due(body)) is not None:
            row = (body["id"], body["customer"], due)
            self.connection.execute("INSERT INTO alarms (id, customer, due) VALUES (?, ?, ?)", row)
        return body

    def next_alarm(self, customer: str, *, until: int) -> tuple[str, int] | None:
        """The id of the customer's object to which something is due first, until then, and when."""
        query = "SELECT id, due FROM alarms WHERE customer = ? AND due <= ? ORDER BY due, rowid LIMIT 1"
        row: tuple[str, int] | None = self.connection.execute(query, (customer, until)).fetchone()
        return row

    def customers_with_alarms(self, *, until: int) -> list[str]:
        """Ids of customers to whom something is due until then."""
        rows = self.connection.execute("SELECT DISTINCT customer FROM alarms WHERE due <= ?", (until,))
        return [row[0] for row in rows]

    def find(self, kind: str, id_: str) -> Json | None:
        row = self.connection.execute("SELECT body FROM objects WHERE id = ? AND kind = ?", (id_, kind)).fetchone()
        return json.loads(row[0]) if row else None

    def find_any(self, id_: str) -> Json | None:
        """The object with that id, of whatever kind."""
        row = self.connection.execute("SELECT body FROM objects WHERE id = ?", (id_,)).fetchone()
        return json.loads(row[0]) if row else None

    def delete(self, id_: str) -> None:
        self.connection.execute("DELETE FROM objects WHERE id = ?", (id_,))

    def newest(
        self,
        kind: str,
        *,
        where: Mapping[str, str] | None = None,
        among: Mapping[str, Sequence[str]] | None = None,
        after: str = "",
        limit: int = 1,
    ) -> list[Json]:
        """Objects of a kind past `after`, newest first: their members equal `where` and are `among` the values.

        Names of members are the code's own, never a caller's: they stand in the SQL so that an index can serve them.
        """
        conditions, values = ["kind = ?"], [kind]
        for member, value in (where or {}).items():
            conditions.append(f"json_extract(body, '$.{member}') = ?")
            values.append(value)
        for member, choices in (among or {}).items():
            conditions.append(f"json_extract(body, '$.{member}') IN ({', '.join('?' * len(choices))})")
            values += choices
        if after:
            conditions.append("rank < (SELECT rank FROM objects WHERE id = ?)")
            values.append(after)
        rows = self.connection.execute(
            f"SELECT body FROM objects WHERE {' AND '.join(conditions)} ORDER BY rank DESC LIMIT ?",  # noqa: S608 - see above
            (*values, limit),
        )
        return [json.loads(row[0]) for row in rows]

    def count(self, kind: str, *, where: Mapping[str, str]) -> int:
        """How many objects of a kind have members equal to `where`."""
        conditions = " AND ".join(["kind = ?", *(f"json_extract(body, '$.{member}') = ?" for member in where)])
        query = f"SELECT count(*) FROM objects WHERE {conditions}"  # noqa: S608 - as in `newest`
        row = self.connection.execute(query, (kind, *where.values())).fetchone()
        return int(row[0])
