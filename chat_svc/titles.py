"""Titles of conversations, by a cheap model in the background: nobody waits for one, and nobody pays for it but us."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from chat_svc import entitlements, quota, store
from chat_svc.accounting import Bill, bill
from chat_svc.catalogue import Catalogue, Model
from chat_svc.models import Author
from chat_svc.providers import Prompt, Provider, ProviderError, Text, Turn, Usage
from chat_svc.quota import Work
from chat_svc.sending import Accepted
from chat_svc.texts import Cleaner, title_in
from svckit import postgres
from svckit.errors import Unavailable
from svckit.ids import new_id
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_PATIENCE = 30.0  # seconds for the whole title; the first words stay when it takes longer
_SHOWN = 500  # characters of the message that a title is made of
_LONGEST = 300  # tokens; some models think before they write
_ENOUGH = 200  # characters, after which the rest is not waited for
_WISH = (
    "Write a title of two to six words for a conversation that begins with the user's message, in its language. "
    "Answer with the title alone: no quotation marks, no full stop. Do not answer the message itself."
)


@dataclass(slots=True)
class _Said:
    """What a model has said so far."""

    texts: list[str] = field(default_factory=list)
    usage: Usage | None = None
    whole: bool = False

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Titles:
    """Asks models for titles."""

    def __init__(self, *, database: Database, catalogue: Catalogue, providers: Mapping[str, Provider]) -> None:
        self._database = database
        self._catalogue = catalogue
        self._providers = providers

    async def improve(self, accepted: Accepted) -> str:
        """A better title than the first words, already kept; empty: none came, or the user has given one meanwhile."""
        model = self._catalogue.titler(accepted.model)
        if model is None:
            return ""
        asked = _prompt(accepted, model)
        said = await self._ask(asked, provider=self._providers[model.provider])
        charged = bill(said.usage, prompt=asked, text=said.text, model=model, whole=said.whole)
        title = title_in(said.text) if said.text else ""
        try:
            return title if await self._keep(accepted, title, model=model, charged=charged) else ""
        except Unavailable:  # it is only a title
            return ""

    async def _ask(self, asked: Prompt, *, provider: Provider) -> _Said:
        said, cleaner = _Said(), Cleaner()
        try:
            async with asyncio.timeout(_PATIENCE), aclosing(provider.answer(asked)) as answered:
                async for parts in answered:
                    for part in parts:
                        if isinstance(part, Text):
                            said.texts.append(cleaner.feed(part.text))
                        elif isinstance(part, Usage):
                            said.usage = part
                    if len(said.text) > _ENOUGH:
                        return said
                said.whole = True
        except (ProviderError, TimeoutError) as error:
            log.info("no title came", model=asked.model, error=str(error))
        return said

    async def _keep(self, accepted: Accepted, title: str, *, model: Model, charged: Bill) -> bool:
        """Count what it has used, and write it in place of the first words; False if those are not there any more."""
        generation, now = accepted.generation, datetime.now(UTC)
        work = Work(
            id=new_id(),
            owner_id=generation.owner_id,
            provider=model.provider,
            model=model.id,
            conversation_id=generation.conversation_id or "",
        )
        async with self._database.transaction() as session:
            kept = bool(title) and await store.retitle(session, work.conversation_id, title, instead_of=accepted.title)
            driver = await postgres.driver_of(session)
            if not await store.owner_is_deleted(driver, work.owner_id):
                allowance = await entitlements.allowance(driver, work.owner_id, now=now)
                await quota.count_title(driver, work, charged, allowance=allowance, now=now)
        return kept


def _prompt(accepted: Accepted, model: Model) -> Prompt:
    question = accepted.prompt.turns[-1].text[:_SHOWN]
    return Prompt(
        model=model.id,
        system=_WISH,
        turns=[Turn(Author.USER, question)],
        max_output_tokens=min(_LONGEST, model.max_output_tokens),
    )
