"""Who may go on: identity and rate limits, in the order that keeps a stranger's guesses cheap."""

import prometheus_client
from aiohttp import web
from chatmesh.access.v1 import access_pb2

from edge import webhooks
from edge.addresses import home
from edge.callers import NOBODY, Caller, Callers
from edge.console.traces import RECEIVER
from edge.limits.counter import Counter
from edge.limits.rates import Check, Rate, Rates, Standing
from edge.transcoder import Problem, Refused
from svckit.errors import ServiceError, Unauthenticated
from svckit.rpc.call import Rpc

_REFUSED = prometheus_client.Counter("edge_rate_limited_total", "Requests that were over a limit.", ("rate",))
_UNLIMITED_PAGES = frozenset({"/livez", "/readyz", "/metrics", RECEIVER})  # asked by machines of our own, and cheap


class Admission:
    """Every method adds what is known of the client's limit to `headers` and raises Refused (429) when it is used up.

    1. What anybody may call and has a limit of its own (sign-in, mail, documents) counts by address: before anything is
       looked at.
    2. A caller who is known already counts by user; one who shows nothing, by address. No I/O but the count.
    3. A credential that is not known yet must be checked first, which costs a signature or a call to auth. Only those
       that are no good count, by address, in a limit of their own: an office of a thousand people may sign in through
       one address, and its strangers cannot use up what is its people's. Once they are too many, none is looked at.
    """

    def __init__(self, *, callers: Callers, rates: Rates, counter: Counter | None) -> None:
        """Without a counter there are no limits."""
        self._callers = callers
        self._rates = rates
        self._counter = counter

    async def page(self, path: str, address: str, headers: dict[str, str]) -> None:
        """Count a request for what is no RPC."""
        if path in _UNLIMITED_PAGES:
            return
        document = self._rates.of(access_pb2.RATE_CLASS_DOCUMENT)
        await self._take(self._rates.webhooks if path == webhooks.PATH else document, _at(address), headers)

    async def stray(self, address: str, headers: dict[str, str]) -> None:
        """Count a request that nothing serves."""
        await self._take(self._rates.of(access_pb2.RATE_CLASS_UNSPECIFIED), _at(address), headers)

    async def caller(self, request: web.BaseRequest, rpc: Rpc, address: str, headers: dict[str, str]) -> Caller:
        """Count a request for an RPC, and say who sends it.

        Where none is asked for, a credential that is no good, or cannot be checked, does not count: signing in again
        must work, and what everybody may see must not go away with auth.
        """
        public = rpc.level == access_pb2.LEVEL_PUBLIC
        rate = self._rates.of(rpc.rate_class)
        by_address = public and rpc.rate_class != access_pb2.RATE_CLASS_UNSPECIFIED
        if by_address:
            await self._take(rate, _at(address), headers)
        caller = self._callers.known(request)
        if caller is None:
            caller = await self._checked(request, address, headers, public=public)
        if not by_address:
            client = f"user:{caller.user_id}" if caller.user_id else _at(address)
            await self._take(rate, client, headers)
        return caller

    async def _checked(
        self, request: web.BaseRequest, address: str, headers: dict[str, str], *, public: bool
    ) -> Caller:
        """Find out about a credential that is not known yet."""
        try:
            await self._take(self._rates.bad_credentials, _at(address), headers, take=False)
            return await self._callers.identify(request)
        except Unauthenticated:
            await self._count(Check(self._rates.bad_credentials, _at(address)), headers)
            if public:
                return NOBODY
            raise
        except (ServiceError, Refused):
            if public:
                return NOBODY
            raise

    async def _take(self, rate: Rate, client: str, headers: dict[str, str], *, take: bool = True) -> None:
        standing = await self._count(Check(rate, client, take), headers)
        if standing and standing.wait:
            _REFUSED.labels(rate.name).inc()
            raise Refused(_too_many(standing))

    async def _count(self, check: Check, headers: dict[str, str]) -> Standing | None:
        if self._counter is None:
            return None
        standing = await self._counter.check(check)
        headers |= standing.headers
        return standing


def _at(address: str) -> str:
    return f"address:{home(address)}"


def _too_many(standing: Standing) -> Problem:
    problem = Problem(
        429, "rate_limited", f"At most {standing.rate.per_minute} such requests a minute; try again later."
    )
    problem.headers["Retry-After"] = str(standing.retry_after)
    return problem
