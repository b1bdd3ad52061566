"""Run the edge: `python -m edge`."""

import uvloop

from edge.app import serving
from edge.settings import EdgeSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    async with serving(load(EdgeSettings)):
        await process.until_stopped()


if __name__ == "__main__":
    process.run(main, name="edge", loop_factory=uvloop.new_event_loop)
