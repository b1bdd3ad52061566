"""`python -m billing_svc`: one billing service, until it is stopped."""

from billing_svc import app
from billing_svc.settings import BillingSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    async with app.serving(load(BillingSettings)):
        await process.until_stopped()


if __name__ == "__main__":
    process.run(main, name="billing")
