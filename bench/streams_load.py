"""Many streamed answers at once, in a process of its own: reads a Job and writes a Sample, as JSON."""

import asyncio
import json
import re
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
_TOKEN = re.compile(rb"w\d+ ")
_REFUSED = re.compile(rb"HTTP/1.1 (?:429|503) [^\0]*\r\nretry-after: *\d", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask where: a stream for each access token, begun evenly over `ramp` seconds.

    An answer has `tokens` tokens and should take `seconds`, more than the ramp, so that for a while all are there;
    `patience` is how much longer each is waited for. `pids` names the processes whose CPU time is read. `direct`: the
    port is the provider's own.
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

    They are the time until the first token, and how much longer than it should a whole answer took. Of the answers
    some came `whole`, to each token; some were `refused` before their first byte, with the time to come again; the
    others are `lost`. `cpu` is in microseconds for each token that came, `rate` in tokens a second while all answers
    are there, `share` in tokens an event.
    """

    first: Sequence[float]
    late: Sequence[float]
    whole: int
    refused: int
    lost: int
    cpu: Mapping[str, float]
    rate: float
    share: float


class _Stream(asyncio.Protocol):
    """One answer. It is only kept while it comes, and read when all have ended."""

    def __init__(self, request: bytes, mark: bytes) -> None:
        self._request = request
        self._mark = mark
        self.parts: list[bytes] = []
        self.times: list[float] = []
        self.first = 0.0
        self.ended = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.began = time.perf_counter()
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self.parts.append(data)
        self.times.append(now)
        if not self.first and self._mark in data:
            self.first = now
        tail = data if len(data) >= len(_END) else b"".join(self.parts[-2:])  # the last chunk may come alone
        if tail.endswith(_END):
            self.ended = now
            self._finish()
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    @property
    def refused(self) -> bool:
        """Whether it was refused in the way that lets a client come again."""
        return bool(_REFUSED.match(b"".join(self.parts)))

    def came(self, *, since: float, until: float) -> int:
        """The tokens that came in that time."""
        return sum(
            len(_TOKEN.findall(part)) for part, at in zip(self.parts, self.times, strict=True) if since <= at < until
        )

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def measure(job: Job) -> Sample:
    """Begin all streams, wait for their ends, then look at what they have brought."""
    before, began = _cpu(job), time.perf_counter()
    asking = [
        asyncio.ensure_future(_ask(job, person, job.ramp * n / len(job.people))) for n, person in enumerate(job.people)
    ]
    await asyncio.wait(asking, timeout=job.ramp + job.seconds + job.patience)
    after = _cpu(job)
    for task in asking:
        task.cancel()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    streams = [each for each in ended if isinstance(each, _Stream)]
    return _sample(job, streams, {name: after[name] - before[name] for name in job.pids}, began=began)


async def _ask(job: Job, person: str, delay: float) -> _Stream:
    await asyncio.sleep(delay)
    loop = asyncio.get_running_loop()
    mark = _DIRECT_DELTA if job.direct else _DELTA
    _, stream = await loop.create_connection(lambda: _Stream(_request(job, person), mark), "127.0.0.1", job.port)
    await stream.done
    return stream


def _request(job: Job, person: str) -> bytes:
    body = json.dumps({"message": f"{job.tokens} tokens, please"}).encode()
    fields = {
        "Host": f"127.0.0.1:{job.port}",
        "Connection": "close",  # a refusal has no last chunk to know its end by
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {person}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /api/chat HTTP/1.1\r\n{head}\r\n".encode() + body


def _sample(job: Job, streams: Sequence[_Stream], cpu: Mapping[str, float], *, began: float) -> Sample:
    wanted = "".join(token(number) for number in range(job.tokens))
    told = [_texts(b"".join(stream.parts), direct=job.direct) for stream in streams]
    whole = [stream for stream, texts in zip(streams, told, strict=True) if stream.ended and "".join(texts) == wanted]
    refused = sum(stream.refused for stream in streams)
    came, events = sum("".join(texts).count(" ") for texts in told), sum(map(len, told))
    since, until = began + job.ramp, began + job.seconds
    return Sample(
        first=sorted((stream.first - stream.began) * 1000 for stream in streams if stream.first),
        late=sorted((stream.ended - stream.began - job.seconds) * 1000 for stream in whole),
        whole=len(whole),
        refused=refused,
        lost=len(job.people) - len(whole) - refused,
        cpu={name: seconds / max(came, 1) * 1e6 for name, seconds in cpu.items()},
        rate=sum(stream.came(since=since, until=until) for stream in streams) / (until - since),
        share=came / max(events, 1),
    )


def _texts(received: bytes, *, direct: bool) -> Sequence[str]:
    """The text of each event of an answer that has any; none unless it ended well."""
    found: list[str] = []
    for line in received.decode(errors="replace").splitlines():
        if line.startswith("event: error"):
            return []
        if line.startswith("data: {"):
            event = json.loads(line.removeprefix("data: "))
            if direct:
                found += [choice["delta"].get("content", "") for choice in event["choices"]]
            elif "error" in event["event"]:
                return []
            else:
                found.append(event["event"].get("delta", {}).get("text", ""))
    return [text for text in found if text]


def _cpu(job: Job) -> Mapping[str, float]:
    return {name: cpu_seconds(pid) for name, pid in job.pids.items()}


if __name__ == "__main__":
    json.dump(asdict(uvloop.run(measure(Job(**json.load(sys.stdin))))), sys.stdout)
