"""Many streamed answers at once, in a process of its own: reads a Job and writes a Sample, as JSON."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from bench.proc import cpu_seconds
from bench.slow_provider import token

_DELTA = b'"delta":{"text":'
_DIRECT_DELTA = b'"delta": {"content":'
_END = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask where: a stream for each access token, begun evenly over `ramp` seconds.

    An answer has `tokens` tokens and should take `seconds`; nobody waits longer than `patience` for all of them. `pids`
    names the processes whose CPU time is read. `direct`: the port is the provider's own.
    """

    port: int
    people: Sequence[str]
    ramp: float
    tokens: int
    seconds: float
    patience: float
    pids: Mapping[str, int]
    direct: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """What was found. `first` and `late` are milliseconds, sorted.

    They are the time until the first token, and how much longer than it should a whole answer took. `cpu` is in
    microseconds for each token that came. Of whole answers `lost` tokens are missing; `broken` ones never ended.
    """

    first: Sequence[float]
    late: Sequence[float]
    cpu: Mapping[str, float]
    tokens: int
    lost: int
    broken: int
    rate: float


class _Stream(asyncio.Protocol):
    """One answer. It is only kept while it comes, and read when all have ended."""

    def __init__(self, request: bytes, mark: bytes) -> None:
        self._request = request
        self._mark = mark
        self.parts: list[bytes] = []
        self.first = 0.0
        self.ended = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.began = time.perf_counter()
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.parts.append(data)
        if not self.first and self._mark in data:
            self.first = time.perf_counter()
        tail = data if len(data) >= len(_END) else b"".join(self.parts[-2:])  # the last chunk may come alone
        if tail.endswith(_END):
            self.ended = time.perf_counter()
            self._finish()
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    @property
    def is_good(self) -> bool:
        """Whether it ended with no error, of the answer or of the stream."""
        return not any(b'"error":{' in part or b"event: error" in part for part in self.parts)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def measure(job: Job) -> Sample:
    """Begin all streams, wait for their ends, then look at what they have brought."""
    before, began = _cpu(job), time.perf_counter()
    asking = [
        asyncio.ensure_future(_ask(job, person, job.ramp * n / len(job.people))) for n, person in enumerate(job.people)
    ]
    await asyncio.wait(asking, timeout=job.ramp + job.patience)
    took, after = time.perf_counter() - began, _cpu(job)
    for task in asking:
        task.cancel()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    streams = [each for each in ended if isinstance(each, _Stream)]
    return _sample(job, streams, {name: after[name] - before[name] for name in job.pids}, took)


async def _ask(job: Job, person: str, delay: float) -> _Stream:
    await asyncio.sleep(delay)
    loop = asyncio.get_running_loop()
    mark = _DIRECT_DELTA if job.direct else _DELTA
    _, stream = await loop.create_connection(lambda: _Stream(_request(job, person), mark), "127.0.0.1", job.port)
    await stream.done
    return stream


def _request(job: Job, person: str) -> bytes:
    body = json.dumps({"message": "hello"}).encode()
    fields = {
        "Host": f"127.0.0.1:{job.port}",
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {person}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /api/chat HTTP/1.1\r\n{head}\r\n".encode() + body


def _sample(job: Job, streams: Sequence[_Stream], cpu: Mapping[str, float], took: float) -> Sample:
    wanted = "".join(token(number) for number in range(job.tokens))
    whole = [stream for stream in streams if stream.ended and stream.first and stream.is_good]
    texts = [_text(b"".join(stream.parts), direct=job.direct) for stream in whole]
    came = sum(text.count(" ") for text in texts)
    lost = sum(job.tokens - text.count(" ") if text != wanted else 0 for text in texts)
    return Sample(
        first=sorted((stream.first - stream.began) * 1000 for stream in whole),
        late=sorted((stream.ended - stream.began - job.seconds) * 1000 for stream in whole),
        cpu={name: seconds / max(came, 1) * 1e6 for name, seconds in cpu.items()},
        tokens=came,
        lost=lost,
        broken=len(job.people) - len(whole),
        rate=came / took,
    )


def _text(received: bytes, *, direct: bool) -> str:
    """The text that the events of an answer carry."""
    found: list[str] = []
    for line in received.decode().splitlines():
        if line.startswith("data: {"):
            event = json.loads(line.removeprefix("data: "))
            if direct:
                found += [choice["delta"].get("content", "") for choice in event["choices"]]
            else:
                found.append(event["event"].get("delta", {}).get("text", ""))
    return "".join(found)


def _cpu(job: Job) -> Mapping[str, float]:
    return {name: cpu_seconds(pid) for name, pid in job.pids.items()}


if __name__ == "__main__":
    json.dump(asdict(uvloop.run(measure(Job(**json.load(sys.stdin))))), sys.stdout)
