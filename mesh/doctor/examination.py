"""The whole examination, and its report."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TextIO

from mesh import state
from mesh.doctor import engines, machine, services
from mesh.doctor.finding import Finding, found
from mesh.processes import EDGE_PORT, HOST, SERVICES, table
from svckit.local.home import PORTS, read_json
from svckit.local.ports import free_port
from svckit.tls import Tls


async def run(*, given: Mapping[str, str], folder: Path, as_json: bool, output: TextIO) -> int:
    """Check all at the same time and report in order; returns 0 if all is well, else 1."""
    told = state.read(folder) if (folder / state.STATE).exists() else {}
    everything = {**told, **{name: value for name, value in given.items() if value}}
    checks = dict(_checks(everything, folder=folder, runs_here=bool(told)))
    findings = await asyncio.gather(*(found(name, check) for name, check in checks.items()))
    output.write(_json(findings) if as_json else _text(findings, nothing_named="DATABASE_URL" not in everything))
    return 0 if all(finding.ok for finding in findings) else 1


def _checks(told: Mapping[str, str], *, folder: Path, runs_here: bool) -> Iterator[tuple[str, Awaitable[str]]]:
    """What there is to check: the engines that are named, the services if there are engines, else the ports."""
    yield "versions", machine.versions()
    yield "disk", machine.disk(folder)
    yield "settings", machine.settings(told)
    for variable, (name, check) in _engines(folder).items():
        if url := told.get(variable):
            yield name, check(url)
    if not runs_here and "DATABASE_URL" not in told:
        yield "ports", machine.ports(table(told, free_port=lambda _: free_port(), local_model=False))
        return
    for name, port in SERVICES.items():
        yield name, services.service(name, told.get(f"{name.upper()}_SERVICE_URL") or f"{HOST}:{port}", _tls(told))
    yield "edge", services.edge((told.get("PUBLIC_URL") or f"http://{HOST}:{EDGE_PORT}").rstrip("/"))


def _engines(folder: Path) -> Mapping[str, tuple[str, Callable[[str], Awaitable[str]]]]:
    """By the variable with its URL: the name of each engine, and its check."""
    return {
        "DATABASE_URL": ("PostgreSQL", engines.postgres),
        "REDIS_URL": ("Redis", engines.redis),
        "NATS_URL": ("NATS", partial(engines.events, chosen=read_json(folder / PORTS))),
        "CLICKHOUSE_URL": ("ClickHouse", engines.clickhouse),
        "SMTP_URL": ("mail", engines.mail),
    }


def _tls(told: Mapping[str, str]) -> Tls | None:
    """What the processes show each other; a part of it only is for the settings to complain of."""
    certificate, key, authority = (told.get(f"GRPC_TLS_{part}") for part in ("CERT", "KEY", "CA"))
    return Tls(Path(certificate), Path(key), Path(authority)) if certificate and key and authority else None


def _json(findings: list[Finding]) -> str:
    return json.dumps([asdict(finding) for finding in findings], indent=2) + "\n"


def _text(findings: list[Finding], *, nothing_named: bool) -> str:
    lines = []
    for finding in findings:
        lines.append(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:<11} {finding.said}")
        if finding.todo:
            lines.append(f"                  to do: {finding.todo}")
    if nothing_named:
        lines.append("No mesh runs here and no engine is named: `make run` starts both.")
    return "\n".join(lines) + "\n"
