"""`python -m edge.transcoder`: see edge/transcoder/standalone."""

import asyncio
import sys
from contextlib import suppress

from edge.transcoder.standalone import arguments, program
from edge.transcoder.standalone.descriptor_sets import StartError

try:
    import uvloop as loops
except ImportError:  # it is not there for Windows
    import asyncio as loops  # type: ignore[no-redef]


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    found = arguments.read(sys.argv[1:])
    try:
        with suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
            runner.run(program.serve(found))
    except StartError as error:
        sys.stderr.write(f"python -m edge.transcoder: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
