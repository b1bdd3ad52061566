"""RPCs about OpenID Connect: signing in by a provider, and the identities that can."""

from dataclasses import dataclass

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer

from auth_svc.challenges import Challenged
from auth_svc.oidc.identities import Identities
from auth_svc.oidc.journeys import Arrival, Departure, Journeys, Refused, Returned
from auth_svc.oidc.trips import LIFE
from auth_svc.opening import SignedIn
from auth_svc.servicer.bridge import NO_STORE, caller_of, cookie, identity_message, session_cookie
from svckit import identity
from svckit.rpc.call import Context

_COOKIE = "oidc"
_PATH = "/api/auth/oidc"
_COOKIE_KEY = "x-cookie-oidc"
"""The metadata that the edge tells the cookie in."""


@dataclass(kw_only=True, eq=False)
class IdentityRpcs(AuthServiceServicer):
    """Serves sign-in by providers. `public_url`: where browsers are sent on to, a path of it."""

    identities: Identities
    journeys: Journeys
    public_url: str
    secure_cookies: bool

    async def ListOidcProviders(
        self, request: pb.ListOidcProvidersRequest, context: Context
    ) -> pb.ListOidcProvidersResponse:
        offered = [pb.OidcProvider(name=name, display_name=title) for name, title in self.journeys.offered()]
        return pb.ListOidcProvidersResponse(providers=offered)

    async def BeginOidcSignIn(self, request: pb.BeginOidcSignInRequest, context: Context) -> pb.BeginOidcSignInResponse:
        departure = await self.journeys.sign_in(request.provider, return_to=request.return_to)
        redirect = (("x-http-status", "302"), ("location", departure.url), NO_STORE)
        await context.send_initial_metadata((*redirect, ("set-cookie", self._luggage(departure))))
        return pb.BeginOidcSignInResponse(authorization_url=departure.url)

    async def CompleteOidc(self, request: pb.CompleteOidcRequest, context: Context) -> pb.CompleteOidcResponse:
        metadata = dict(context.invocation_metadata() or ())
        returned = Returned(
            state=request.state,
            cookie=str(metadata.get(_COOKIE_KEY, "")),
            code=request.code,
            iss=request.iss,
            error=request.error,
        )
        arrival = await self.journeys.arrive(request.provider, returned, caller_of(context))
        redirect = (("x-http-status", "303"), ("location", self._onward(arrival)), NO_STORE)
        await context.send_initial_metadata((*redirect, *(("set-cookie", each) for each in self._cookies(arrival))))
        return pb.CompleteOidcResponse()

    async def ListIdentities(self, request: pb.ListIdentitiesRequest, context: Context) -> pb.ListIdentitiesResponse:
        rows = await self.identities.list_own(identity.user_id())
        return pb.ListIdentitiesResponse(identities=[identity_message(row) for row in rows])

    async def LinkIdentity(self, request: pb.LinkIdentityRequest, context: Context) -> pb.LinkIdentityResponse:
        departure = await self.journeys.link(request.provider, return_to=request.return_to, caller=caller_of(context))
        await context.send_initial_metadata((("set-cookie", self._luggage(departure)),))
        return pb.LinkIdentityResponse(authorization_url=departure.url)

    async def UnlinkIdentity(self, request: pb.UnlinkIdentityRequest, context: Context) -> pb.UnlinkIdentityResponse:
        await self.identities.unlink(request.identity_id, caller_of(context))
        return pb.UnlinkIdentityResponse()

    def _luggage(self, departure: Departure) -> str:
        seconds = int(LIFE.total_seconds())
        return cookie(_COOKIE, departure.cookie, path=_PATH, seconds=seconds, secure=self.secure_cookies)

    def _cookies(self, arrival: Arrival) -> list[str]:
        """The session's beginning, then the luggage's end: in front of another one, some versions of curl miss it."""
        gone = cookie(_COOKIE, "", path=_PATH, seconds=0, secure=self.secure_cookies)
        if not isinstance(arrival.entered, SignedIn):
            return [gone]
        return [session_cookie(arrival.entered, secure=self.secure_cookies), gone]

    def _onward(self, arrival: Arrival) -> str:
        """Where the browser goes; what only the page may see goes along as a fragment, which no log sees."""
        url = f"{self.public_url.rstrip('/')}{arrival.return_to}"
        match arrival.entered:
            case Challenged(token=token):
                return f"{url}#mfaChallenge={token.value}"
            case Refused(reason=reason):
                return f"{url}#error={reason.lower()}"
        return url
