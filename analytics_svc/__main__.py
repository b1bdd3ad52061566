"""`python -m analytics_svc`: one analytics service, until it is stopped. With a word, what `commands` does."""

import argparse
import sys
from functools import partial

from analytics_svc import app, commands
from analytics_svc.settings import AnalyticsSettings
from analytics_svc.upkeep import TASKS
from svckit import process
from svckit.settings import load


async def serve() -> None:
    async with app.serving(load(AnalyticsSettings)):
        await process.until_stopped()


async def ask(task: str) -> None:
    if code := await commands.ask(task, load(AnalyticsSettings)):
        sys.exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m analytics_svc", description=__doc__)
    parser.add_argument("task", nargs="?", choices=TASKS, help="ask the running service for it; without: serve")
    task = parser.parse_args().task
    process.run(partial(ask, task) if task else serve, name="analytics")


if __name__ == "__main__":
    main()
