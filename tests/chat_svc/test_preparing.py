"""The SDKs of providers, which take long to import: ready before somebody asks."""

import asyncio
import sys

# In a process of its own: in this one they are imported already.
SCRIPT = """
import asyncio, sys
from chat_svc.providers import configured
from chat_svc.settings import ChatSettings

async def main():
    settings = ChatSettings.model_validate({"openai_api_key": "sk-test", "local_model_url": None})
    assert not {"openai", "anthropic", "google.genai"} & set(sys.modules)
    async with configured.providers(settings):
        while "openai" not in sys.modules:
            await asyncio.sleep(0.01)
    assert "httpx" in sys.modules, "the SDK looks at it, and must not find it half imported"
    assert not {"anthropic", "google.genai"} & set(sys.modules)

asyncio.run(main())
"""


async def test_the_sdks_of_configured_providers_are_imported_before_anybody_asks_and_no_others() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT)

    assert await process.wait() == 0
