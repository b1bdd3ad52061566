"""The processes of the mesh as data: what each is, where it listens, when it is ready, whom it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from svckit.local import LocalError

HOST = "127.0.0.1"
SERVICES = {"auth": 3001, "chat": 3002, "billing": 3003, "analytics": 3004}
EDGE_PORT = 4000
ADMIN_OFFSET = 6000  # from a service's gRPC port to its admin port
CREATE_ADMIN = "auth_svc.create_admin"
ROTATE_KEYS = "auth_svc.rotate_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """`python -m module`, ready when `ready` answers (http: with 200), started after all that it needs are ready."""

    name: str
    module: str
    ports: tuple[int, ...]
    moved_by: str
    """What sets another port, to be followed by it; empty when the port was chosen because it is free."""
    ready: str
    about: str
    """Where a person finds it, and what it speaks."""
    needs: tuple[str, ...] = ()
    """Names of others; one that is not started here counts as ready."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it alone is told, beside what all are."""


def table(given: Mapping[str, str], *, free_port: Callable[[str], int], local_model: bool) -> list[Process]:
    """List the processes to start, given what the person's environment says; see `settings` for what they are told."""
    helpers = []
    if local_model and not given.get("LOCAL_MODEL_URL"):
        helpers.append(_model(free_port("model")))
    if not given.get("STRIPE_SECRET_KEY") and not given.get("STRIPE_API_BASE"):
        helpers.append(_stripe(free_port("stripe")))
    services = [_service(name, port, given) for name, port in SERVICES.items()]
    port = _port_in(given.get("EDGE_PORT") or str(EDGE_PORT), variable="EDGE_PORT", largest=65_535)
    edge = Process(
        name="edge",
        module="edge",
        ports=(port,),
        moved_by="EDGE_PORT=",
        ready=f"http://{HOST}:{port}/readyz",
        about=f"http://{HOST}:{port}   docs: http://{HOST}:{port}/docs",
        needs=tuple(SERVICES),
        environment={"EDGE_PORT": str(port)},
    )
    return [*helpers, *services, edge]


def _service(name: str, port: int, given: Mapping[str, str]) -> Process:
    """Describe a service; it listens where AUTH_SERVICE_URL (or CHAT_…, …) says that it is reached."""
    variable = f"{name.upper()}_SERVICE_URL"
    if address := given.get(variable):
        port = _port_in(address, variable=variable, largest=65_535 - ADMIN_OFFSET)
    admin = port + ADMIN_OFFSET
    return Process(
        name=name,
        module=f"{name}_svc",
        ports=(port, admin),
        moved_by=f"{variable}={HOST}:",
        ready=f"http://{HOST}:{admin}/readyz",
        about=f"{HOST}:{port} (gRPC)   admin: http://{HOST}:{admin}/health",
        needs=("stripe",) if name == "billing" else (),
        environment={"LISTEN": f"{HOST}:{port}", "ADMIN_LISTEN": f"{HOST}:{admin}"},
    )


def _port_in(address: str, *, variable: str, largest: int) -> int:
    """Read the port from `4000` or `host:4000`."""
    port = address.rpartition(":")[2]
    if not port.isdecimal() or not 0 < int(port) <= largest:
        raise LocalError(f"{variable}: {address!r} names no port from 1 to {largest}")
    return int(port)


def _model(port: int) -> Process:
    return Process(
        name="model",
        module="mesh.local_model",
        ports=(port,),
        moved_by="",
        ready=f"http://{HOST}:{port}/health",
        about=f"http://{HOST}:{port}/v1 (OpenAI's wire)",
        environment={"LISTEN": f"{HOST}:{port}"},
    )


def _stripe(port: int) -> Process:
    return Process(
        name="stripe",
        module="billing_svc.emulator",
        ports=(port,),
        moved_by="",
        ready=f"tcp://{HOST}:{port}",
        about=f"http://{HOST}:{port} (an emulator of Stripe's wire)",
        environment={"LISTEN": f"{HOST}:{port}"},
    )
