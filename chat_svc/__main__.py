"""`python -m chat_svc`: one chat service, until it is stopped."""

from chat_svc import app
from chat_svc.settings import ChatSettings
from svckit import process
from svckit.settings import load


async def main() -> None:
    async with app.serving(load(ChatSettings)):
        await process.until_stopped()


if __name__ == "__main__":
    process.run(main, name="chat")
