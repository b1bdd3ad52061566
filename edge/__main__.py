"""`python -m edge`: one edge, until it is stopped."""

import uvloop

from edge import app
from edge.settings import EdgeSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    async with app.serving(load(EdgeSettings)):
        await process.until_stopped()


if __name__ == "__main__":
    process.run(main, name="edge", loop_factory=uvloop.new_event_loop)
