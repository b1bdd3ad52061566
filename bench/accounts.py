"""What signing in costs others, and what it gives away: writes docs/benchmarks-accounts.md."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import grpc
from chatmesh.auth.v1 import auth_pb2 as pb
from redis.asyncio import Redis

from bench import auth_rig, proc
from bench.auth_rig import PASSWORD, AuthRig, new_address
from svckit import process
from svckit.local import LocalError
from svckit.revocations import Revocations

_DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks-accounts.md"
_TEMPLATE = Path(__file__).with_name("accounts.md")
_AT_ONCE = 50
_CALLS = 200
_ENDINGS = 30
_ROUNDS = 7
_CHEAP_ARGON2 = {"ARGON2_MEMORY_KIB": "8", "ARGON2_TIME_COST": "1"}
_TURNS = 3  # of each person: fewer wrong passwords than make anybody wait
_PAUSE = 0.06  # seconds; what a call leaves to be done in the background must not slow down the next

Call = Callable[[str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Row:
    """Times of one kind of call, in milliseconds."""

    name: str
    times: Sequence[float]

    def __str__(self) -> str:
        ordered = sorted(self.times)
        p99 = ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
        return f"| {self.name} | {len(ordered)} | {median(ordered):.1f} | {p99:.1f} | {ordered[-1]:.1f} |\n"


async def measured(folder: Path) -> Mapping[str, str]:
    """The tables, by their names in the template."""
    async with auth_rig.running(folder / "cheap", people=1, **_CHEAP_ARGON2) as rig:
        processor = await _spent(rig)
    async with auth_rig.running(folder / "whole", people=_AT_ONCE) as rig:
        return {
            "processor": processor,
            "others": "".join(map(str, await _beside_sign_ins(rig))),
            "endings": str(await _endings(rig)),
            "enumeration": "".join([await _told_apart(rig, name, call) for name, call in _askings(rig).items()]),
        }


async def _spent(rig: AuthRig) -> str:
    """The whole process's time of the processor for a sign-in, background and all: least and median of rounds."""
    spent = []
    for _ in range(_ROUNDS):
        before = proc.cpu_seconds(rig.pid)
        for _ in range(_CALLS):
            await rig.sign_in(rig.people[0])
        await asyncio.sleep(_PAUSE)
        spent.append((proc.cpu_seconds(rig.pid) - before) / _CALLS * 1000)
    return f"| `SignIn` | {_ROUNDS} × {_CALLS} | {min(spent):.2f} | {median(spent):.2f} |\n"


async def _beside_sign_ins(rig: AuthRig) -> Sequence[Row]:
    """`GetMe` alone and while everybody signs in, and those sign-ins."""
    token = (await rig.sign_in(rig.people[0])).tokens.access_token
    me = pb.GetMeRequest()

    async def look() -> object:
        return await rig.stub.GetMe(me, metadata=(("authorization", f"Bearer {token}"),))

    alone = [await _timed(look()) for _ in range(_CALLS)]
    one_by_one = [await _timed(rig.sign_in(address)) for address in rig.people[:20]]
    beside: list[float] = []
    crowd = asyncio.gather(*(_timed(rig.sign_in(address)) for address in rig.people))
    while not crowd.done():
        beside.append(await _timed(look()))
    return [
        Row("`GetMe`, alone", alone),
        Row(f"`GetMe`, while {_AT_ONCE} people sign in", beside),
        Row("`SignIn`, one after the other", one_by_one),
        Row(f"`SignIn`, {_AT_ONCE} at once", await crowd),
    ]


async def _endings(rig: AuthRig) -> Row:
    """From the call that ends a session until two other processes refuse its tokens."""
    times = []
    async with Redis.from_url(rig.redis_url) as one, Redis.from_url(rig.redis_url) as other:
        listeners = [Revocations(one), Revocations(other)]
        async with process.background(*(listener.run for listener in listeners)):
            for listener in listeners:
                await listener.ready.wait()
            for address in rig.people[:_ENDINGS]:
                tokens = (await rig.sign_in(address)).tokens
                metadata = (("authorization", f"Bearer {tokens.access_token}"),)
                listed = await rig.stub.ListSessions(pb.ListSessionsRequest(), metadata=metadata)
                (session,) = [each.id for each in listed.sessions if each.current]
                times.append(await _timed(_end(rig, metadata, session, listeners)))
    return Row("`SignOut`", times)


async def _end(
    rig: AuthRig, metadata: tuple[tuple[str, str], ...], session: str, listeners: Sequence[Revocations]
) -> None:
    await rig.stub.SignOut(pb.SignOutRequest(), metadata=metadata)
    while not all(listener.contains(session) for listener in listeners):  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.0005)


def _askings(rig: AuthRig) -> Mapping[str, Call]:
    """The calls that must not tell whether an address has an account."""
    stub = rig.stub
    return {
        "SignIn": lambda address: rig.sign_in(address, "a wrong password"),
        "SignUp": lambda address: stub.SignUp(pb.SignUpRequest(email=address, password=PASSWORD)),
        "ForgotPassword": lambda address: stub.ForgotPassword(pb.ForgotPasswordRequest(email=address)),
        "ResendVerification": lambda address: stub.ResendVerification(pb.ResendVerificationRequest(email=address)),
    }


async def _told_apart(rig: AuthRig, name: str, call: Call) -> str:
    """Ask for known and unknown addresses by turns."""
    known: list[float] = []
    unknown: list[float] = []
    for turn in range(_TURNS):
        for address in rig.people:
            pair = [(known, address), (unknown, new_address())]
            for times, asked in pair if turn % 2 else reversed(pair):
                times.append(await _timed(call(asked)))
                await asyncio.sleep(_PAUSE)
    ratio = median(known) / median(unknown)
    return f"| `{name}` | {len(known)} | {median(known):.2f} | {median(unknown):.2f} | **{ratio:.3f}** |\n"


async def _timed(call: Awaitable[object]) -> float:
    started = time.perf_counter()
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
    return (time.perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.accounts", description=__doc__)
    parser.add_argument("--output", type=Path, default=_DOCUMENT, help=f"where to write (default: {_DOCUMENT.name})")
    options = parser.parse_args()
    machine = proc.machine(("grpcio", "argon2-cffi", "sqlalchemy", "psycopg"))
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(measured(Path(folder)))
    except LocalError as error:
        sys.exit(f"bench: {error}")
    about = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    document = _TEMPLATE.read_text(encoding="utf-8").format(
        date=datetime.now(UTC).date().isoformat(), at_once=_AT_ONCE, machine=about, **found
    )
    sys.stdout.write(document)
    options.output.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
