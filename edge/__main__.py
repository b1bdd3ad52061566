"""`python -m edge`: one edge, until it is stopped."""

import gc

from edge import app
from edge.settings import EdgeSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    async with app.serving(load(EdgeSettings)):
        # Routes and descriptors stay for good: the collector need not look at them again and again.
        gc.freeze()
        await process.until_stopped()


if __name__ == "__main__":
    process.run(main, name="edge")
