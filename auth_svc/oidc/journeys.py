"""Sending a browser to a provider, and taking it in when it comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from auth_svc import reauthentication, sessions
from auth_svc.caller import Caller
from auth_svc.challenges import Challenged, Challenges
from auth_svc.clock import Clock
from auth_svc.oidc import identities
from auth_svc.oidc.identities import Vouched
from auth_svc.oidc.provider import Provider, Redeemable
from auth_svc.oidc.trips import Luggage, Trip, Trips
from auth_svc.opening import SignedIn
from svckit import postgres
from svckit.errors import InvalidArgument, NotFound, PermissionDenied, ServiceError
from svckit.postgres import Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send a browser, and the cookie that it must bring back."""

    url: str
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a browser brings back from a provider, and the cookie that it left with."""

    state: str
    cookie: str = field(repr=False)
    code: str = field(repr=False)
    iss: str
    error: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason of the error, for the page that the browser is sent on to."""

    reason: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where to send the browser on to, and what it has reached; None when an identity was linked."""

    return_to: str
    entered: SignedIn | Challenged | Refused | None


class Journeys:
    """Signs people in by what a provider says of them, and links what it says to their account."""

    def __init__(
        self,
        *,
        database: Database,
        providers: Sequence[Provider],
        trips: Trips,
        return_paths: Sequence[str],
        challenges: Challenges,
        clock: Clock,
    ) -> None:
        """`return_paths`: those that a browser may be sent on to; the first is the default."""
        self._database = database
        self._providers: Mapping[str, Provider] = {provider.configured.name: provider for provider in providers}
        self._trips = trips
        self._return_paths = return_paths
        self._challenges = challenges
        self._clock = clock

    def offered(self) -> Sequence[tuple[str, str]]:
        """Name and title of each provider."""
        return [(name, provider.configured.title) for name, provider in self._providers.items()]

    async def sign_in(self, provider: str, *, return_to: str) -> Departure:
        """Begin to sign in. Raises NotFound, InvalidArgument (RETURN_PATH_INVALID) and Unavailable."""
        return await self._depart(Trip(provider=provider, return_to=self._path(return_to)))

    async def link(self, provider: str, *, return_to: str, caller: Caller) -> Departure:
        """Begin to link an identity to the caller's account.

        Raises as `sign_in` does, and FailedPrecondition (IDENTITY_EXISTS, SIGN_IN_AGAIN, SESSION_NEEDED).
        """
        issuer, now = self._provider(provider).configured.issuer, self._clock()
        async with self._database.transaction() as session:
            own = await sessions.own_session(session, caller, now=now)
            reauthentication.refuse_stale(own, now)
            await identities.refuse_second(session, caller.user_id, issuer)
        trip = Trip(provider=provider, return_to=self._path(return_to), user_id=own.user_id, session_id=own.id)
        return await self._depart(trip)

    async def arrive(self, provider: str, returned: Returned, caller: Caller) -> Arrival:
        """Take a browser in, or send it back refused; InvalidArgument (OIDC_STATE_INVALID) if it never left."""
        luggage, trip = self._trips.end(returned.state, returned.cookie, provider=provider)
        try:
            return Arrival(trip.return_to, await self._enter(trip, luggage, returned, caller))
        except ServiceError as error:
            log.info("a browser is sent back", provider=provider, reason=error.reason)
            return Arrival(trip.return_to, Refused(error.reason))

    async def _enter(
        self, trip: Trip, luggage: Luggage, returned: Returned, caller: Caller
    ) -> SignedIn | Challenged | None:
        """What the provider's answer opens. Raises what the contract says of CompleteOidc."""
        vouching = self._provider(trip.provider)
        if not await vouching.sends(returned.iss):
            raise InvalidArgument.of("iss", "is another provider's", reason="OIDC_STATE_INVALID")
        if returned.error or not returned.code:
            raise PermissionDenied("the provider did not let you through", reason="OIDC_DENIED")
        vouched = Vouched(
            provider=trip.provider,
            issuer=vouching.configured.issuer,
            profile=await vouching.redeem(Redeemable(returned.code, luggage.verifier, luggage.nonce)),
            caller=caller,
            now=self._clock(),
        )
        async with self._database.transaction() as session:
            if trip.user_id:
                await identities.link(session, trip, vouched)
                return None
            user = await identities.owner(session, vouched)
            return await self._challenges.admit(await postgres.driver_of(session), user, caller, now=vouched.now)

    async def _depart(self, trip: Trip) -> Departure:
        provider = self._provider(trip.provider)
        luggage, state = self._trips.begin(trip)
        url = await provider.authorization_url(state=state, nonce=luggage.nonce, challenge=luggage.challenge)
        return Departure(url, luggage.cookie)

    def _provider(self, name: str) -> Provider:
        if (found := self._providers.get(name)) is None:
            raise NotFound("no such provider")
        return found

    def _path(self, asked: str) -> str:
        """One of the paths that are allowed: a redirect to anywhere is what phishers look for."""
        if asked and asked not in self._return_paths:
            raise InvalidArgument.of("return_to", "is not one of the paths allowed", reason="RETURN_PATH_INVALID")
        return asked or self._return_paths[0]
