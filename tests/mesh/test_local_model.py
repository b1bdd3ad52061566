"""The model for real: its own process, asked through the OpenAI SDK."""

import sys

import pytest
from openai import AsyncOpenAI

from mesh.fleet import Fleet
from mesh.local_model import NAME, model_file
from mesh.processes import table
from svckit import local

pytestmark = pytest.mark.skipif(model_file() is None, reason="the extra local-model is not installed")


async def test_the_local_model_answers_and_streams(home: local.Home) -> None:
    process = table({}, free_port=home.port, local_model=True)[0]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    fleet = Fleet([process], home=home, environment=environment, say=lambda _: None)

    async with (
        fleet.running(),
        AsyncOpenAI(base_url=f"http://127.0.0.1:{process.ports[0]}/v1", api_key="none", max_retries=0) as client,
    ):
        answer = await client.chat.completions.create(
            model=NAME, messages=[{"role": "user", "content": "What is the capital of France?"}], max_tokens=24
        )
        stream = await client.chat.completions.create(
            model=NAME, messages=[{"role": "user", "content": "Count to three."}], max_tokens=24, stream=True
        )
        deltas = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]

    assert (answer.choices[0].message.content or "").strip()
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 24
    assert len([delta for delta in deltas if delta]) > 1
