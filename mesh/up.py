"""`chatmesh up`: everything, from the engines to the edge, until Ctrl-C."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TextIO

from mesh import administrator, places, settings, state
from mesh.fleet import Fleet, kept
from mesh.local_model import model_file
from mesh.processes import Process, table
from svckit import local
from svckit.local import Console, Home, Supervised

Table = Callable[[Mapping[str, str], Home], Sequence[Process]]


def whole_mesh(given: Mapping[str, str], home: Home) -> Sequence[Process]:
    """List all the processes; the local model only where it is installed."""
    return table(given, free_port=home.port, local_model=model_file() is not None)


async def up(given: Mapping[str, str], *, folder: Path, processes: Table = whole_mesh, output: TextIO) -> None:
    """Run until SIGINT or SIGTERM, then stop everything in order; a second signal hurries.

    Raises LocalError, with everything stopped, when something does not start.
    """
    programs: list[Supervised] = []
    running = asyncio.ensure_future(_run(given, folder=folder, processes=processes, output=output, programs=programs))
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if stopping:
            for program in programs:
                program.hurry()
        else:
            stopping = True
            output.write("\nstopping everything in order; Ctrl-C again hurries\n")
            running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await running
    except asyncio.CancelledError:
        if not stopping:
            raise
        output.write(f"stopped; all data stays in {folder}\n")


async def _run(
    given: Mapping[str, str], *, folder: Path, processes: Table, output: TextIO, programs: list[Supervised]
) -> None:
    """Start everything, say where it is, wait to be cancelled; `programs` gets all that runs."""
    since = time.monotonic()
    settings.refuse_wrong(given)
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(Home.opened(folder))
        state.forget(home.path)
        chosen = processes(given, home)
        places.refuse_taken(chosen)
        names = [process.name for process in chosen]
        console = Console(output, names=names, plain=bool(given.get("NO_COLOR")))  # no-color.org
        engines = await stack.enter_async_context(local.engines(home, given=given))
        programs.extend(engine for engine in (engines.postgres, engines.valkey, engines.nats) if engine)
        console.say(f"the engines are ready after {time.monotonic() - since:.1f} s")
        smtp_url = given.get("SMTP_URL") or ""
        if not smtp_url:
            smtp_url = await stack.enter_async_context(local.mail_catcher(home))
        arranged = settings.arranged(given, home=home, engines=engines, smtp_url=smtp_url, processes=chosen)
        environment = {**given, **arranged}
        await stack.enter_async_context(_followed(console, home, chosen))
        fleet = Fleet(chosen, home=home, environment=environment, say=console.say)
        programs.extend(fleet.programs.values())
        await stack.enter_async_context(fleet.running())
        stack.enter_context(state.kept(home.path, arranged))
        if not model_file() and not given.get("LOCAL_MODEL_URL"):
            console.say("no local model on this machine (extra local-model): chat needs a provider's key")
        if "auth" in fleet.programs:
            console.say(await administrator.create_first(home, environment=environment))
        await stack.enter_async_context(kept(programs, say=console.say))
        console.say(places.described(chosen, engines=engines, home=home.path, smtp_url=smtp_url))
        console.say(f"chatmesh is up after {time.monotonic() - since:.1f} s; Ctrl-C stops it")
        await asyncio.Event().wait()


@asynccontextmanager
async def _followed(console: Console, home: Home, processes: Sequence[Process]) -> AsyncIterator[None]:
    """Show what the processes write while the block runs; the engines' logs stay in their files."""
    following = asyncio.create_task(console.follow({process.name: home.log(process.name) for process in processes}))
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait([following])
