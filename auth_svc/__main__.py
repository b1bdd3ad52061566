"""`python -m auth_svc`: one auth service, until it is stopped."""

from auth_svc import app
from auth_svc.settings import AuthSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    async with app.serving(load(AuthSettings)):
        await process.until_stopped()


if __name__ == "__main__":
    process.run(main, name="auth")
