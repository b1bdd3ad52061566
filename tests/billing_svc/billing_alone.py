"""The billing service as a process that a test may kill."""

from multiprocessing.synchronize import Event

from billing_svc import app
from billing_svc.settings import BillingSettings
from svckit import process


def run(ready: Event, settings: BillingSettings) -> None:
    """Serve until the process ends; `ready` is set once it does."""

    async def main() -> None:
        async with app.serving(settings):
            ready.set()
            await process.until_stopped()

    process.run(main, name="billing")
