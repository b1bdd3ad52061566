"""The address of the client behind a request, as far as those who pass it on may be believed."""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5}")
_HOME_BITS = 64  # what one customer is given of IPv6, at the least


class ClientAddresses:
    """Reads `X-Forwarded-For`, and only what proxies of the given networks have written there.

    Of the addresses in it, each proxy adds its peer's at the right. So they are read from there, and the first one that
    is not a trusted proxy's is the client's: what stands to the left of it is the client's own invention. `Forwarded`
    (RFC 7239) is not read: a proxy that writes one header lets the other through as the client made it.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self._warned = False

    def of(self, request: web.BaseRequest) -> str:
        """The client's address; empty if the connection has none."""
        peer = request.remote or ""
        if not self.trusts(peer):
            if not self._warned and "X-Forwarded-For" in request.headers:
                self._warn(peer)
            return plain(peer)
        client = peer
        for entry in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
            address = _without_port(entry.strip())
            if parsed(address) is None:
                break  # nobody can say what is left of it
            client = address
            if not self.trusts(client):
                break
        return plain(client)

    def trusts(self, peer: str) -> bool:
        """Whether an address is a trusted proxy's."""
        if not self._trusted:
            return False
        address = parsed(peer)
        return address is not None and any(address in network for network in self._trusted)

    def _warn(self, peer: str) -> None:
        """Say once that a proxy seems to be missing in the list: all who come through it count as one client."""
        address = parsed(peer)
        if address is not None and address.is_private:
            self._warned = True
            log.warning("a proxy is not in TRUSTED_PROXIES: its clients are taken for one", proxy=peer)


@lru_cache(maxsize=4096)
def parsed(text: str) -> Address | None:
    """The address that a text is, an IPv4 address in IPv6's clothes as what it is; None for no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=4096)
def home(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one, all of which is its owner's."""
    found = parsed(address)
    if not isinstance(found, ipaddress.IPv6Address):
        return address
    return str(ipaddress.IPv6Network((int(found), _HOME_BITS), strict=False))


def plain(address: str) -> str:
    """The one spelling of an address."""
    return address if ":" not in address else str(parsed(address) or address)


def _without_port(entry: str) -> str:
    found = _WITH_PORT.fullmatch(entry)
    return (found[1] or found[2]) if found else entry
