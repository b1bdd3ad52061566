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

# JSON as Stripe defines it: deep and open. This is the wire, and the one place where its shape is not typed.
Json = dict[str, Any]

_TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    rank INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_of_a_kind ON objects (kind, rank);
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

    def put(self, body: Json) -> Json:
        """Keep an object, new or changed; its `object` is its kind."""
        self.connection.execute(
            "INSERT INTO objects (id, kind, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (body["id"], body["object"], json.dumps(body)),
        )
        return body

    def find(self, kind: str, id_: str) -> Json | None:
        row = self.connection.execute("SELECT body FROM objects WHERE id = ? AND kind = ?", (id_, kind)).fetchone()
        return json.loads(row[0]) if row else None

    def newest(
        self,
        kind: str,
        *,
        where: Mapping[str, str] | None = None,
        among: Mapping[str, Sequence[str]] | None = None,
        after: str = "",
        limit: int = 1,
    ) -> list[Json]:
        """Objects of a kind past `after`, newest first: their members equal `where` and are `among` the values."""
        conditions, values = ["kind = ?"], [kind]
        for member, value in (where or {}).items():
            conditions.append("json_extract(body, ?) = ?")
            values += [f"$.{member}", value]
        for member, choices in (among or {}).items():
            conditions.append(f"json_extract(body, ?) IN ({', '.join('?' * len(choices))})")
            values += [f"$.{member}", *choices]
        if after:
            conditions.append("rank < (SELECT rank FROM objects WHERE id = ?)")
            values.append(after)
        rows = self.connection.execute(
            f"SELECT body FROM objects WHERE {' AND '.join(conditions)} ORDER BY rank DESC LIMIT ?",  # noqa: S608 - only ? varies
            (*values, limit),
        )
        return [json.loads(row[0]) for row in rows]

    def count(self, kind: str, *, where: Mapping[str, str]) -> int:
        """How many objects of a kind have members equal to `where`."""
        conditions = " AND ".join(["kind = ?"] + ["json_extract(body, ?) = ?"] * len(where))
        values = [kind, *(part for member, value in where.items() for part in (f"$.{member}", value))]
        row = self.connection.execute(f"SELECT count(*) FROM objects WHERE {conditions}", values).fetchone()  # noqa: S608
        return int(row[0])
