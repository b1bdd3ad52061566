"""The chat service as a running thing: put together once for production and tests."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2_grpc import add_ChatServiceServicer_to_server
from redis.asyncio import Redis

from chat_svc import catalogue, models
from chat_svc.catalogue import Catalogue, Table
from chat_svc.consumer import Consumer
from chat_svc.endings import Endings
from chat_svc.generations import Generations
from chat_svc.leases import Leases
from chat_svc.owners import Turns
from chat_svc.providers import Provider, configured
from chat_svc.servicer import Chat
from chat_svc.servicer.answers import Answers
from chat_svc.settings import ChatSettings
from chat_svc.signals import Signals
from chat_svc.streams import Streams
from chat_svc.titles import Titles
from chat_svc.unread import Tolerance, Unread
from svckit import events, postgres, process, redis_client, server
from svckit.identity import ServiceCredential, TokenVerifier
from svckit.outbox import Relay
from svckit.postgres import Database
from svckit.server import Service, Serving
from svckit.settings import SettingsError
from svckit.verification import token_verifier

_NAME = "chat"
_CHAT = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]
# Of the time that a stop gives, generations leave so much, or half of a shorter one, in which their readers still see
# how they end: it is saved first.
_READING = timedelta(seconds=2)


@asynccontextmanager
async def serving(settings: ChatSettings) -> AsyncIterator[Serving]:
    """Serve until the block ends; ready when this gives.

    At the end calls and generations may finish for `stop_grace`; what is still being written then is saved as it is.
    """
    grace = timedelta(seconds=settings.stop_grace)
    models_file = settings.models_file or catalogue.TABLE
    table = _table(models_file)
    url = str(settings.database_url)
    credential = ServiceCredential(_NAME, settings.service_secret.get_secret_value())
    await postgres.prepare(url, schema=models.SCHEMA, scripts=models.MIGRATIONS, migrating=settings.migrate_at_start)
    async with (
        postgres.connected(url, name=_NAME) as database,
        events.connected(settings.nats_url, name=_NAME, replicas=settings.nats_replicas) as bus,
        redis_client.connected(str(settings.redis_url)) as redis,
        token_verifier(
            auth_service_url=settings.auth_service_url, redis=redis, credential=credential, tls=settings.tls
        ) as verifier,
        configured.providers(settings) as providers,
    ):
        servicer, loops = _wired(
            settings, table=table, database=database, redis=redis, providers=providers, verifier=verifier
        )
        generations = servicer.generations
        relay = Relay(database=database, table=models.outbox, bus=bus)
        consumer = Consumer(bus=bus, database=database, generations=generations)
        async with (
            process.background(
                relay.run,
                consumer.hear_of_deleted_accounts,
                consumer.hear_of_entitlements,
                partial(catalogue.follow, servicer.catalogue, models_file),
                *loops,
            ),
            generations.owned(),
            server.running(
                name=_NAME,
                services=[Service(_CHAT, add_ChatServiceServicer_to_server, servicer)],
                listen=settings.listen,
                admin_listen=settings.admin_listen,
                verifier=verifier,
                credential=credential,
                checks={"postgres": database.ping},  # without Redis and NATS, what was written can still be read
                grace=grace,
                tls=settings.tls,
                health_listen=settings.health_listen,
            ) as running,
        ):
            try:
                yield running
            finally:
                generations.interrupt_in(max(grace - _READING, grace / 2))


def _wired(
    settings: ChatSettings,
    *,
    table: Table,
    database: Database,
    redis: Redis,
    providers: Mapping[str, Provider],
    verifier: TokenVerifier,
) -> tuple[Chat, tuple[Callable[[], Awaitable[None]], ...]]:
    """What answers, and what runs beside it for ever."""
    offered = Catalogue(table, providers=providers)
    signals = Signals(redis)
    streams = Streams(redis=redis, signals=signals)
    endings = Endings(database=database, streams=streams, catalogue=offered)
    turns = Turns()
    titles = None
    if settings.titles_by_model:
        titles = Titles(database=database, catalogue=offered, providers=providers)
    generations = Generations(
        database=database,
        signals=signals,
        streams=streams,
        endings=endings,
        catalogue=offered,
        providers=providers,
        titles=titles,
        turns=turns,
    )
    unread = Unread(generations=generations, streams=streams, tolerance=_tolerance(settings))
    leases = Leases(redis=redis, database=database, endings=endings, generations=generations)
    servicer = Chat(
        database=database,
        catalogue=offered,
        generations=generations,
        turns=turns,
        answers=Answers(database=database, generations=generations, streams=streams, endings=endings),
        verifier=verifier,
    )
    return servicer, (signals.run, generations.hear_cancels, leases.hold, leases.watch, unread.watch)


def _tolerance(settings: ChatSettings) -> Tolerance:
    return Tolerance(
        grace=timedelta(seconds=settings.unread_answer_grace),
        longest=timedelta(seconds=settings.unread_answer_timeout),
        per_user=settings.unread_answers_per_user,
        per_replica=settings.unread_answers_per_replica,
    )


def _table(models_file: Path) -> Table:
    try:
        return catalogue.read(models_file)
    except (OSError, ValueError) as error:
        raise SettingsError([f"MODELS_FILE: {error}"]) from error
