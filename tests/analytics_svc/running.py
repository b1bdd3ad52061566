"""The analytics service as tests start it: a process of its own, because the embedded engine wants one."""

import os
import sys

from svckit.local import Engines, Home, Program, Supervised
from svckit.local.probes import answers

SECRET = "a service secret that only tests know"
LOOPBACK = "127.0.0.1"


def environment_of(home: Home, engines: Engines, auth_address: str) -> dict[str, str]:
    return {
        **os.environ,
        "LISTEN": f"{LOOPBACK}:{home.port('grpc')}",
        "ADMIN_LISTEN": f"{LOOPBACK}:{home.port('admin')}",
        "CLICKHOUSE_URL": f"chdb://{home.path}/clickhouse",
        "NATS_URL": engines.nats_url,
        "REDIS_URL": engines.redis_url,
        "AUTH_SERVICE_URL": auth_address,
        "SERVICE_SECRET": SECRET,
    }


def service_of(home: Home, environment: dict[str, str], *, name: str = "analytics") -> Supervised:
    program = Program(name=name, command=(sys.executable, "-m", "analytics_svc"), environment=environment)
    ready = answers(f"http://{environment['ADMIN_LISTEN']}/readyz")
    return Supervised(program, home=home, url=environment["LISTEN"], ready=ready)
