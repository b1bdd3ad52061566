"""A stand-in for a ClickHouse server: its HTTP protocol, answered by the embedded engine. `python -m … ADDRESS FOLDER`.

What it takes is what the ordinary client sends: the query in the URL, in the body or in a form; `param_…` and settings
beside it; data to insert in any format; bodies compressed by gzip or lz4. The engine makes every format itself, so the
client decodes what a server would have sent. Not here: sessions, users, answers that begin before their query ends.

With `--replicated` there are replicated tables, in a cluster of this one and a keeper in its memory. The engine has no
queue of distributed statements: of them, the UUID is made here that the queue would send to all replicas. One that
would change the tables of this replica only is refused.
"""

import asyncio
import gzip
import re
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import chdb
import lz4.frame
from aiohttp import web

_connect: Any = chdb.connect
_RESERVED = {
    "query",
    "database",
    "user",
    "password",
    "query_id",
    "session_id",
    "wait_end_of_query",
    "client_protocol_version",
}
_INSERT = re.compile(r"(?P<into>\s*INSERT\s+INTO\s.+?)\s+FORMAT\s+(?P<format>\w+)\s*$", re.I | re.S)
_FORMAT = re.compile(r"(?P<query>.*?)\s+FORMAT\s+(?P<format>\w+)\s*;?\s*$", re.I | re.S)
_CODE = re.compile(r"Code: (\d+)")
_PACK = {"gzip": gzip.compress, "lz4": lz4.frame.compress}
_UNPACK = {"gzip": gzip.decompress, "lz4": lz4.frame.decompress}


_CONFIGURATION = """
<clickhouse>
  <zookeeper><implementation>testkeeper</implementation><node><host>here</host><port>2181</port></node></zookeeper>
  <macros><shard>1</shard><replica>one</replica></macros>
</clickhouse>
"""
_ON_CLUSTER = re.compile(r"(?P<made>CREATE TABLE IF NOT EXISTS \w+)? ON CLUSTER \w+")
_DEFINES = re.compile(r"\s*(?:CREATE|DROP|EXCHANGE|RENAME|TRUNCATE|ALTER TABLE .* (?:MODIFY|REMOVE|ADD))\b")


class Engine:
    """The folder's data. Every request gets a handle of its own, which takes its settings along when it is closed."""

    def __init__(self, folder: str, *, replicated: bool) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._replicated = replicated
        if replicated:
            configuration = Path(f"{folder}.xml")
            configuration.write_text(_CONFIGURATION)
            folder += f"?config-file={configuration}"
        self._folder = folder
        self._kept_open = _connect(folder)

    def answer(self, query: str, data: bytes, told: Mapping[str, str]) -> tuple[bytes, str]:
        """The query's answer and its format. Raises RuntimeError with the engine's own words."""
        handle = _connect(self._folder)
        try:
            for name, value in sorted(told.items(), key=lambda setting: setting[0] == "readonly"):
                handle.query(f"SET {name} = {_quoted(value)}")
            if data:
                return self._insert(handle, query, data), "TabSeparated"
            found = _FORMAT.match(query)
            text, form = (found["query"], found["format"]) if found else (query, "TabSeparated")
            if self._replicated:
                if _DEFINES.match(text) and not _ON_CLUSTER.search(text):
                    raise RuntimeError("Code: 36. DB::Exception: not ON CLUSTER")
                text = _ON_CLUSTER.sub(lambda on: f"{on['made']} UUID '{uuid.uuid4()}'" if on["made"] else "", text)
            return handle.query(text, form).bytes(), form
        finally:
            handle.close()

    def _insert(self, handle: Any, query: str, data: bytes) -> bytes:
        found = _INSERT.match(query)
        if found is None:
            raise RuntimeError("Code: 62. DB::Exception: data without INSERT … FORMAT")
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            insert = f"{found['into']} FROM INFILE {_quoted(file.name)} FORMAT {found['format']}"
            return bytes(handle.query(insert).bytes())


class Server:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ping(self, _request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def query(self, request: web.Request) -> web.Response:
        told = dict(request.query)
        body = b""
        if request.content_type == "multipart/form-data":
            told |= {name: str(value) for name, value in (await request.post()).items()}
        else:
            body = _unpacked(await request.read(), request.headers.get("Content-Encoding", ""))
        query, data = (told["query"], body) if told.get("query") else (body.decode(), b"")
        settings = {name: value for name, value in told.items() if name not in _RESERVED}
        compressed = settings.pop("enable_http_compression", "0") == "1"
        try:
            answer, form = await asyncio.to_thread(self._engine.answer, query, data, settings)
        except RuntimeError as error:
            return _refused(str(error))
        headers = {"X-ClickHouse-Format": form, "X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Summary": "{}"}
        accepted = request.headers.get("Accept-Encoding", "") if compressed else ""
        if coding := next((coding for coding in _PACK if coding in accepted), ""):
            answer = _PACK[coding](answer)
            headers["Content-Encoding"] = coding
        return web.Response(body=answer, headers=headers)


def _refused(told: str) -> web.Response:
    found = _CODE.search(told)
    return web.Response(status=500, text=told, headers={"X-ClickHouse-Exception-Code": found[1] if found else "1000"})


def _unpacked(body: bytes, coding: str) -> bytes:
    return _UNPACK[coding](body) if coding in _UNPACK else body


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


async def main(address: str, folder: str, *flags: str) -> None:
    host, port = address.split(":")
    server = Server(Engine(folder, replicated="--replicated" in flags))
    application = web.Application(client_max_size=1 << 28)
    application.add_routes([web.get("/ping", server.ping), web.get("/", server.query), web.post("/", server.query)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, host, int(port)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
