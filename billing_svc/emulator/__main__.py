"""`python -m billing_svc.emulator`: the Stripe emulator as a process."""

from billing_svc.emulator.server import running
from billing_svc.emulator.settings import EmulatorSettings
from svckit.process import run, until_stopped
from svckit.settings import load


async def main() -> None:
    settings = load(EmulatorSettings)
    async with running(
        listen=settings.listen,
        data=settings.emulator_data,
        webhook_url=settings.stripe_webhook_url,
        webhook_secret=settings.stripe_webhook_secret.get_secret_value().partition(",")[0],
    ):
        await until_stopped()


if __name__ == "__main__":
    run(main, name="stripe-emulator")
