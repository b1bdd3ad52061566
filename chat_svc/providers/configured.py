"""The providers that the settings name, each by the name that the catalogue gives it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from chat_svc.providers import Provider, Wire
from chat_svc.providers.anthropic_wire import AnthropicWire
from chat_svc.providers.google_wire import GoogleWire
from chat_svc.providers.observed import Observed
from chat_svc.providers.openai_wire import OpenAIWire
from chat_svc.providers.patience import Patience, Patient
from chat_svc.settings import ChatSettings


@asynccontextmanager
async def providers(settings: ChatSettings) -> AsyncIterator[Mapping[str, Provider]]:
    """Those who run models here, until the block ends. Their SDKs get ready meanwhile, so that no answer waits."""
    patience = _patience(settings)
    wires = _wires(settings, connect=patience.connect)
    found = {name: Observed(name, Patient(wire, patience=patience)) for name, wire in wires.items()}
    preparing = asyncio.create_task(_prepare(wires.values()))
    try:
        yield found
    finally:
        preparing.cancel()
        await asyncio.wait([preparing])
        for provider in found.values():
            await provider.close()


async def _prepare(wires: Iterable[Wire]) -> None:
    """One after the other: they take the processor from those who are served already."""
    for wire in wires:
        await wire.prepare()


def _wires(settings: ChatSettings, *, connect: timedelta) -> Mapping[str, Wire]:
    wires: dict[str, Wire] = {}
    if settings.local_model_url:
        wires["local"] = OpenAIWire(base_url=str(settings.local_model_url), api_key="none", connect=connect)
    if settings.openai_api_key:
        wires["openai"] = OpenAIWire(
            base_url=str(settings.openai_base_url),
            api_key=settings.openai_api_key.get_secret_value(),
            connect=connect,
        )
    if settings.anthropic_api_key:
        wires["anthropic"] = AnthropicWire(
            base_url=str(settings.anthropic_base_url),
            api_key=settings.anthropic_api_key.get_secret_value(),
            version=settings.anthropic_version,
            connect=connect,
        )
    if settings.google_api_key:
        wires["google"] = GoogleWire(
            base_url=str(settings.google_base_url),
            api_key=settings.google_api_key.get_secret_value(),
            version=settings.google_api_version,
            connect=connect,
        )
    return wires


def _patience(settings: ChatSettings) -> Patience:
    retry = timedelta(seconds=settings.model_retry_pause)
    return Patience(
        connect=timedelta(seconds=settings.model_connect_timeout),
        first_token=timedelta(seconds=settings.model_first_token_timeout),
        idle=timedelta(seconds=settings.model_idle_timeout),
        total=timedelta(seconds=settings.model_total_timeout),
        pauses=(retry, retry * 4),
    )
