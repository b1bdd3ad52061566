"""`python -m billing_svc.emulator`: one Stripe emulator, until it is stopped."""

from billing_svc.emulator import server
from billing_svc.emulator.settings import EmulatorSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    settings = load(EmulatorSettings)
    async with server.running(
        listen=settings.listen,
        data=settings.emulator_data,
        webhook_url=settings.stripe_webhook_url,
        webhook_secret=settings.stripe_webhook_secret.get_secret_value().partition(",")[0],
    ):
        await process.until_stopped()


if __name__ == "__main__":
    process.run(main, name="stripe-emulator")
