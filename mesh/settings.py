"""What the processes are told: what the person set wins over what the mesh arranges."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args
from urllib.parse import quote

from dotenv import dotenv_values

from mesh.processes import HOST, SERVICES, Process
from svckit import logs
from svckit.local import Engines, Home, LocalError

# What every process would refuse, one after the other.
_CHOICES = {
    "CHATMESH_ENV": ("development", "production"),
    "LOG_LEVEL": get_args(logs.Level),
    "LOG_FORMAT": get_args(logs.Format),
}

# In milliseconds: spans are to be seen at once.
_SOON = {"OTEL_BSP_SCHEDULE_DELAY": "500"}


def given(environ: Mapping[str, str], *, folder: Path) -> dict[str, str]:
    """Read what the person set: the environment, and below it the file `.env` of a folder."""
    return {name: value for name, value in dotenv_values(folder / ".env").items() if value} | dict(environ)


def refuse_wrong(given: Mapping[str, str]) -> None:
    """Raise LocalError that names every setting common to all processes which none of them would take."""
    wrong = [
        f"{name}: must be {', '.join(choices[:-1])} or {choices[-1]}"
        for name, choices in _CHOICES.items()
        if given.get(name) and given[name] not in choices
    ]
    if wrong:
        raise LocalError("\n".join(wrong))


def arranged(
    given: Mapping[str, str], *, home: Home, engines: Engines, smtp_url: str, processes: Iterable[Process]
) -> dict[str, str]:
    """List what every process is told besides the person's own environment."""
    port = {process.name: process.ports[0] for process in processes}
    edge_url = f"http://{HOST}:{port['edge']}" if "edge" in port else ""
    ours = {
        "DATABASE_URL": engines.database_url,
        "REDIS_URL": engines.redis_url,
        "NATS_URL": engines.nats_url,
        "CLICKHOUSE_URL": f"chdb://{quote(str(home.folder('clickhouse')))}",
        "SMTP_URL": smtp_url,
        "PUBLIC_URL": edge_url,
        "SERVICE_SECRET": home.secret("service"),
        "MFA_SECRET": home.secret("mfa"),
        "LOG_FORMAT": "console",
        **{f"{name.upper()}_SERVICE_URL": f"{HOST}:{port[name]}" for name in SERVICES if name in port},
    }
    if edge_url and given.get("CHATMESH_ENV") != "production":
        # The edge keeps the last traces and shows them at /console/traces.
        ours |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{edge_url}/console/otlp", **_SOON}
    if "model" in port:
        ours["LOCAL_MODEL_URL"] = f"http://{HOST}:{port['model']}/v1"
    if "stripe" in port:
        ours["STRIPE_API_BASE"] = f"http://{HOST}:{port['stripe']}"
        ours["STRIPE_WEBHOOK_URL"] = f"{edge_url}/api/webhooks/stripe"
        ours["STRIPE_WEBHOOK_SECRET"] = f"whsec_{home.secret('stripe-webhook')}"
        ours["EMULATOR_DATA"] = str(home.folder("stripe") / "emulator.sqlite")
    chosen = {name: given.get(name) or value for name, value in ours.items()}
    return chosen | {"CHATMESH_HOME": str(home.path), "PYTHONUNBUFFERED": "1"} | _bytecode(given, home)


def _bytecode(given: Mapping[str, str], home: Home) -> dict[str, str]:
    """Keep compiled modules in the data folder for those who want none in their tree: it saves half of each start."""
    if not given.get("PYTHONDONTWRITEBYTECODE"):
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(home.folder("bytecode"))}
