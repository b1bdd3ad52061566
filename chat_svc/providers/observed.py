"""What a provider's answers cost in time and tokens: a span and measurements each, never a word of what was said.

Names are those of OpenTelemetry's conventions for generative AI, which are still in development, so they are kept here.
https://github.com/open-telemetry/semantic-conventions-genai
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from prometheus_client import Counter, Histogram

from chat_svc.providers import Finish, Part, Prompt, Provider, ProviderError, Text, Usage
from svckit import telemetry
from svckit.telemetry import Recording

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 600)
# Providers and models are those of the catalogue, so there are as many series as it has lines.
_MODEL = ["gen_ai_provider_name", "gen_ai_request_model"]
_DURATION = Histogram(
    "gen_ai_client_operation_duration_seconds",
    "Answers of models: from the question to the end, further attempts included.",
    [*_MODEL, "outcome"],
    buckets=_SECONDS,
)
_FIRST_TEXT = Histogram(
    "gen_ai_client_time_to_first_chunk_seconds",
    "From the question to the first text of the answer.",
    _MODEL,
    buckets=_SECONDS,
)
_TOKENS = Counter("gen_ai_client_tokens_total", "Tokens as the providers counted them.", [*_MODEL, "gen_ai_token_type"])
# The provider's name by the conventions, where it is another than ours.
_NAMES = {"google": "gcp.gemini"}


class Observed:
    """A provider, watched."""

    def __init__(self, name: str, provider: Provider) -> None:
        self._name = name
        self._provider = provider

    async def answer(self, prompt: Prompt) -> AsyncGenerator[Sequence[Part], None]:
        """The parts of an answer; see `Provider`."""
        answer = _Answer(self._name, prompt.model, _begun(self._name, prompt))
        try:
            async with aclosing(self._provider.answer(prompt)) as answered:
                async for parts in answered:
                    for part in parts:
                        answer.take(part)
                    yield parts
            answer.outcome = "done"
        except ProviderError as error:
            answer.outcome = error.code
            raise
        finally:
            answer.end()

    async def close(self) -> None:
        """Give the connections back."""
        await self._provider.close()


@dataclass(slots=True)
class _Answer:
    """One answer while it comes. It counts as cancelled until something else is known."""

    provider: str
    model: str
    recording: Recording | None
    outcome: str = "cancelled"
    asked: float = field(default_factory=time.perf_counter)
    first_text: float | None = None
    usage: Usage | None = None
    finish: str = ""

    def take(self, part: Part) -> None:
        match part:
            case Text() if self.first_text is None:
                self.first_text = time.perf_counter() - self.asked
                _FIRST_TEXT.labels(self.provider, self.model).observe(self.first_text)
            case Usage():
                self.usage = part
            case Finish(reason):
                self.finish = reason.value

    def end(self) -> None:
        seconds = time.perf_counter() - self.asked
        _DURATION.labels(self.provider, self.model, self.outcome).observe(seconds)
        if self.usage is not None:  # as counted, which may be less than nothing
            _TOKENS.labels(self.provider, self.model, "input").inc(max(self.usage.input_tokens, 0))
            _TOKENS.labels(self.provider, self.model, "output").inc(max(self.usage.output_tokens, 0))
        if self.recording is not None:
            self._describe(self.recording)

    def _describe(self, recording: Recording) -> None:
        usage = self.usage or Usage(input_tokens=0, output_tokens=0)
        recording.note(
            {
                "gen_ai.usage.input_tokens": usage.input_tokens or "",
                "gen_ai.usage.output_tokens": usage.output_tokens or "",
                "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens or "",
                "gen_ai.response.finish_reasons": [self.finish] if self.finish else "",
                "gen_ai.response.time_to_first_chunk": self.first_text or "",
            }
        )
        if self.outcome != "done":
            recording.fail(self.outcome, ours=self.outcome != "cancelled")
        recording.end()


def _begun(provider: str, prompt: Prompt) -> Recording | None:
    return telemetry.begin(
        f"chat {prompt.model}",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _NAMES.get(provider, provider),
            "gen_ai.request.model": prompt.model,
            "gen_ai.request.stream": True,
            "gen_ai.request.max_tokens": prompt.max_output_tokens,
        },
    )
