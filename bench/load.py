"""One measurement, in a process of its own: `python -m bench.load` reads a Job and writes a Sample, as JSON."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import grpc
import uvloop

from bench.clients import Client, GrpcClient, HttpClient
from bench.proc import cpu_seconds
from bench.rows import ROWS

AT_ONCE = 32
_WARM_UP = 0.1  # of the count
_ALONE = 0.05  # of the count
_PATIENCE = 40.0  # seconds


@dataclass(frozen=True, slots=True)
class Job:
    """What to send where, and whose CPU time to read: a name for each process id."""

    row: str
    grpc: bool
    port: int
    token: str
    pids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a measurement found: CPU in microseconds a unit, units a second, milliseconds of whole requests.

    A unit is a request, or in a streaming row one chunk. `alone` is the median with one request at a time.
    """

    cpu: Mapping[str, float]
    rate: float
    p50: float
    p99: float
    alone: float


async def measure(job: Job) -> Sample:
    """Send some for warming up, then those that count, then a few one by one."""
    row = ROWS[job.row]
    async with _client(job) as client, asyncio.timeout(_PATIENCE):
        await client.send(int(row.count * _WARM_UP) + AT_ONCE, at_once=AT_ONCE)
        before, began = _cpu(job), time.perf_counter()
        seconds = await client.send(row.count, at_once=AT_ONCE)
        took, after = time.perf_counter() - began, _cpu(job)
        alone = await client.send(int(row.count * _ALONE), at_once=1)
    units = row.count * len(row.replies)
    return Sample(
        cpu={name: (after[name] - before[name]) / units * 1e6 for name in job.pids},
        rate=units / took,
        p50=_percentile(seconds, 0.5),
        p99=_percentile(seconds, 0.99),
        alone=_percentile(alone, 0.5),
    )


@asynccontextmanager
async def _client(job: Job) -> AsyncIterator[Client]:
    row = ROWS[job.row]
    if not job.grpc:
        yield HttpClient(row, port=job.port, token=job.token)
        return
    async with grpc.aio.insecure_channel(f"127.0.0.1:{job.port}") as channel:
        yield GrpcClient(row, channel)


def _cpu(job: Job) -> Mapping[str, float]:
    return {name: cpu_seconds(pid) for name, pid in job.pids.items()}


def _percentile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return sorted(seconds)[int(len(seconds) * share)] * 1000


if __name__ == "__main__":
    found = uvloop.run(measure(Job(**json.load(sys.stdin))))
    json.dump(asdict(found), sys.stdout)
