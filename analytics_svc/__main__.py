"""`python -m analytics_svc`: one analytics service, until it is stopped."""

from analytics_svc import app
from analytics_svc.settings import AnalyticsSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    async with app.serving(load(AnalyticsSettings)):
        await process.until_stopped()


if __name__ == "__main__":
    process.run(main, name="analytics")
