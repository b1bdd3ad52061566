"""The auth service as a running thing: put together once for production and tests."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from argon2 import PasswordHasher
from chatmesh.auth.v1 import auth_pb2
from chatmesh.auth.v1.auth_pb2_grpc import add_AuthServiceServicer_to_server

from auth_svc import clock as clocks
from auth_svc import models, passwords, signing_keys
from auth_svc.access_tokens import ACCESS_TOKEN_LIFE, AccessTokens
from auth_svc.accounts import Accounts
from auth_svc.administration import Administration
from auth_svc.api_keys import ApiKeys
from auth_svc.challenges import Challenges
from auth_svc.clock import Clock
from auth_svc.codes import Codes
from auth_svc.endings import Endings
from auth_svc.exporting import Exporting
from auth_svc.known_users import KnownUsers
from auth_svc.letters import Stationery
from auth_svc.oidc import wire as wires
from auth_svc.oidc.identities import Identities
from auth_svc.oidc.journeys import Journeys
from auth_svc.oidc.provider import Provider
from auth_svc.oidc.trips import Trips
from auth_svc.oidc.wire import Wire
from auth_svc.own_account import OwnAccount
from auth_svc.passwords import Hasher, Passwords
from auth_svc.post import Post
from auth_svc.reauthentication import Reauthentication
from auth_svc.refreshing import Refreshing
from auth_svc.sealing import Seal
from auth_svc.second_factors import SecondFactors
from auth_svc.servicer import Auth
from auth_svc.sessions import Sessions
from auth_svc.settings import AuthSettings
from auth_svc.signing_keys import SigningKeys
from auth_svc.smtp import SmtpServer
from auth_svc.sweeping import Sweeping
from svckit import events, postgres, process, redis_client, server
from svckit.identity import RemoteKeys, ServiceCredential, TokenVerifier
from svckit.outbox import Relay
from svckit.postgres import Database
from svckit.revocations import Revocations
from svckit.server import Service, Serving

_NAME = "auth"
_AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]


@asynccontextmanager
async def serving(
    settings: AuthSettings, *, hasher: Hasher | None = None, clock: Clock = clocks.now
) -> AsyncIterator[Serving]:
    """Serve until the block ends; ready when this gives. `hasher` is argon2id by the settings if there is no other."""
    url, secret = str(settings.database_url), settings.service_secret.get_secret_value()
    await postgres.prepare(url, schema=models.SCHEMA, scripts=models.MIGRATIONS, migrating=settings.migrate_at_start)
    async with (
        postgres.connected(url, name=_NAME) as database,
        events.connected(settings.nats_url, name=_NAME, replicas=settings.nats_replicas) as bus,
        redis_client.connected(str(settings.redis_url)) as redis,
        passwords.opened(hasher or argon2id(settings), workers=settings.argon2_workers) as pool,
        wires.opened() as wire,
    ):
        keys = SigningKeys(database=database, seal=Seal(secret), clock=clock)
        await keys.load()
        endings = Endings(database=database, redis=redis, token_life=ACCESS_TOKEN_LIFE, clock=clock)
        access_tokens = AccessTokens(keys)
        post = Post(database=database, server=_smtp(settings), stationery=_stationery(settings), clock=clock)
        revocations = Revocations(redis)
        sweeping = Sweeping(database=database, clock=clock)
        known_users = KnownUsers(database)
        relay = Relay(database=database, table=models.outbox, bus=bus)
        servicer = _servicer(
            settings,
            database=database,
            known_users=known_users,
            passwords=pool,
            access_tokens=access_tokens,
            endings=endings,
            wire=wire,
            clock=clock,
        )
        async with (
            process.background(
                revocations.run, relay.run, endings.run, post.run, keys.run, sweeping.run, known_users.run
            ),
            server.running(
                name=_NAME,
                services=[Service(_AUTH, add_AuthServiceServicer_to_server, servicer)],
                listen=settings.listen,
                admin_listen=settings.admin_listen,
                verifier=TokenVerifier(keys=_own_keys(database), revocations=revocations),
                credential=ServiceCredential(_NAME, secret),
                checks={"postgres": database.ping},  # without Redis and NATS it goes on
                grace=timedelta(seconds=settings.stop_grace),
                tls=settings.tls,
                health_listen=settings.health_listen,
            ) as running,
        ):
            yield running


def _servicer(
    settings: AuthSettings,
    *,
    database: Database,
    known_users: KnownUsers,
    passwords: Passwords,
    access_tokens: AccessTokens,
    endings: Endings,
    wire: Wire,
    clock: Clock,
) -> Auth:
    """Everything that the RPCs are made of."""
    seal = Seal(settings.mfa_secret.get_secret_value())
    codes = Codes(seal)
    reauthentication = Reauthentication(database=database, passwords=passwords, clock=clock)
    challenges = Challenges(database=database, access_tokens=access_tokens, codes=codes, clock=clock)
    return Auth(
        accounts=Accounts(database=database, passwords=passwords, endings=endings, clock=clock),
        own_account=OwnAccount(
            database=database,
            known_users=known_users,
            passwords=passwords,
            reauthentication=reauthentication,
            endings=endings,
            clock=clock,
        ),
        sessions=Sessions(
            database=database,
            passwords=passwords,
            challenges=challenges,
            access_tokens=access_tokens,
            endings=endings,
            clock=clock,
        ),
        challenges=challenges,
        second_factors=SecondFactors(
            database=database, reauthentication=reauthentication, seal=seal, codes=codes, clock=clock
        ),
        exporting=Exporting(database=database, clock=clock),
        identities=Identities(database=database, clock=clock),
        journeys=_journeys(settings, database=database, challenges=challenges, wire=wire, clock=clock),
        public_url=str(settings.public_url),
        refreshing=Refreshing(database=database, access_tokens=access_tokens, endings=endings, clock=clock),
        api_keys=ApiKeys(database=database, access_tokens=access_tokens, endings=endings, clock=clock),
        administration=Administration(database=database, endings=endings, clock=clock),
        database=database,
        secure_cookies=settings.production,
    )


def _journeys(
    settings: AuthSettings, *, database: Database, challenges: Challenges, wire: Wire, clock: Clock
) -> Journeys:
    """Signing in by the providers that are configured."""
    make = partial(Provider, wire=wire, public_url=str(settings.public_url), clock=clock)
    return Journeys(
        database=database,
        providers=[make(configured) for configured in settings.oidc_providers],
        trips=Trips(seal=Seal(settings.service_secret.get_secret_value(), purpose="oidc"), clock=clock),
        return_paths=settings.oidc_return_paths,
        challenges=challenges,
        clock=clock,
    )


def argon2id(settings: AuthSettings) -> PasswordHasher:
    return PasswordHasher(
        time_cost=settings.argon2_time_cost,
        memory_cost=settings.argon2_memory_kib,
        parallelism=settings.argon2_parallelism,
    )


def _own_keys(database: Database) -> RemoteKeys:
    """The keys of access tokens, without asking oneself over the network."""

    async def fetch() -> Sequence[tuple[str, str]]:
        return [(key.kid, key.x) for key in await signing_keys.published(database)]

    return RemoteKeys(fetch)


def _smtp(settings: AuthSettings) -> SmtpServer:
    return SmtpServer.at(settings.smtp_url.get_secret_value())


def _stationery(settings: AuthSettings) -> Stationery:
    return Stationery(
        sender=settings.mail_from, public_url=str(settings.public_url), for_developers=not settings.production
    )
