"""`python -m analytics_svc`."""

from analytics_svc import app
from analytics_svc.settings import AnalyticsSettings
from svckit.process import run, until_stopped
from svckit.settings import load


async def main() -> None:
    async with app.serving(load(AnalyticsSettings)):
        await until_stopped()


if __name__ == "__main__":
    run(main, name="analytics")
