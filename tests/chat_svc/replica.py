"""One replica in a process of its own, which a test can kill: `python -m tests.chat_svc.replica <public key>`.

Its settings come from the environment; its address goes to standard output, by itself, on the line that begins with it.
"""

import asyncio
import sys
from dataclasses import dataclass

from joserfc.jwk import OKPKey

from chat_svc import app
from chat_svc.settings import ChatSettings
from svckit import process
from svckit.settings import load


@dataclass(frozen=True)
class GivenKey:
    """Knows the public key that it was given, under any id."""

    x: str

    async def key(self, kid: str) -> OKPKey:
        return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": self.x})


async def main() -> None:
    async with app.serving(load(ChatSettings), keys=GivenKey(sys.argv[1])) as serving:
        sys.stdout.write(f"address {serving.address}\n")
        sys.stdout.flush()
        await process.until_stopped()


if __name__ == "__main__":
    asyncio.run(main())
